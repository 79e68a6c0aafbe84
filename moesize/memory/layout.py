"""How a model is spread over GPUs."""

from dataclasses import dataclass
from typing import NamedTuple

from moesize.errors import InputError


class LayoutError(InputError):
    """A layout the model's shapes do not allow; the text says which number does not divide."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Tensor, pipeline and data parallel sizes; `ep` spreads whole experts over the tp × dp ranks of a stage.

    `dcp` (decode context parallel) ranks of a tensor-parallel group share the tokens of a sequence's cache.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    dcp: int = 1

    def __post_init__(self) -> None:
        for name in ("tp", "pp", "dp", "dcp"):
            if getattr(self, name) < 1:
                raise LayoutError(f"{name} is {getattr(self, name)}; it counts GPUs and is at least 1")

    @property
    def gpus(self) -> int:
        """GPUs of the whole deployment."""
        return self.tp * self.pp * self.dp

    @property
    def ep_size(self) -> int:
        """Ranks the experts of a layer are spread over."""
        return self.tp * self.dp if self.ep else 1

    def __str__(self) -> str:
        sizes = (("tp", self.tp), ("pp", self.pp), ("dp", self.dp), ("dcp", self.dcp))
        parts = [f"{name}={n}" for name, n in sizes if n > 1]
        return " ".join(parts + (["ep"] if self.ep else [])) or "one GPU"


class Stage(NamedTuple):
    """A run of layers one pipeline rank holds; the first has the embedding, the last the final norm and the head."""

    layers: range
    first: bool
    last: bool


def stages(num_layers: int, pp: int) -> tuple[Stage, ...]:
    """The stages vLLM makes: layers divided evenly, the remainder to the stages before the last.

    Source: vllm `distributed/utils.py` get_pp_indices.

    Raises:
        LayoutError: more stages than layers.
    """
    if num_layers == 0 and pp == 1:
        return (Stage(range(0), first=True, last=True),)
    if pp > num_layers:
        raise LayoutError(f"{pp} pipeline stages for {num_layers} layers leave a stage empty; use at most {num_layers}")
    sizes = [num_layers // pp] * pp
    for i in range(num_layers % pp):
        sizes[-(i + 2) if pp > 1 else -1] += 1
    starts = [sum(sizes[:i]) for i in range(pp)]
    return tuple(
        Stage(range(start, start + size), i == 0, i == pp - 1)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    )
