"""A quantisation of a model: which format each tensor is stored in, layer by layer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from moesize.errors import InputError
from moesize.model.spec import Kind, Role, Tensor
from moesize.quant.formats import Array, Plain, UnstorableError, WeightFormat

Part = tuple[Tensor, WeightFormat | None]
#: Splits a tensor by layers; None leaves a part in the scheme's dtype.
Rule = Callable[[Tensor], Iterable[Part]]

#: The matrices quantisers take; all else (embeddings, head, norms, routers, convolutions, towers) stays as it is.
QUANTISED_ROLES = frozenset(
    {Role.ATTENTION, Role.LINEAR_ATTENTION, Role.STATE_SPACE, Role.MLP, Role.ROUTED_EXPERT, Role.SHARED_EXPERT}
)
#: Projections of linear attention and state-space layers with fewer rows or columns than this (gates and decays: a
#: value per head) are left alone by every published recipe; see the ignore lists of
#: https://huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct-FP8 and https://huggingface.co/nvidia (Nemotron-3, Qwen3.5).
SMALLEST_RECURRENT_SIDE = 256


@dataclass(frozen=True, slots=True)
class QuantScheme:
    """How a whole model is stored.

    Attributes:
        name: Canonical, as `--quant` takes it.
        method: The family, as engines name it: gptq, awq, fp8, compressed-tensors, modelopt, gguf, none, ….
        dtype: Of what is left alone and has no dtype of its own.
        rule: Which format which layers of a tensor get.
        format: The main one; None when nothing is quantised.
        notes: Sentences for the report.
        kv_format: What the checkpoint asks for its KV cache (`fp8`); None when it is silent.
        from_checkpoint: Whether the checkpoint's own configuration says so, not the user.
    """

    name: str
    method: str
    dtype: str
    rule: Rule = field(compare=False, repr=False)
    format: WeightFormat | None = None
    notes: tuple[str, ...] = ()
    kv_format: str | None = None
    from_checkpoint: bool = False
    _parts: dict[Tensor, tuple[Part, ...]] = field(default_factory=dict, compare=False, repr=False)
    _bytes: dict[Tensor, int] = field(default_factory=dict, compare=False, repr=False)

    def parts(self, tensor: Tensor) -> tuple[Part, ...]:
        """The tensor split by layers, each part with its format; None: left alone.

        Raises:
            InputError: a matrix the format cannot store; names it.
        """
        known = self._parts.get(tensor)
        if known is None:
            known = self._parts[tensor] = tuple(self._checked(tensor))
        return known

    def format_of(self, part: Tensor, fmt: WeightFormat | None) -> WeightFormat:
        """The format of a part, with what is left alone as a `Plain` one."""
        return fmt or Plain(part.dtype or self.dtype)

    def tensor_bytes(self, tensor: Tensor) -> int:
        """Bytes over all layers and experts; 0 when the tensor shares another's storage."""
        known = self._bytes.get(tensor)
        if known is None:
            known = sum(part_bytes(part, self.format_of(part, fmt)) for part, fmt in self.parts(tensor))
            self._bytes[tensor] = known
        return known

    def _checked(self, tensor: Tensor) -> Iterable[Part]:
        for part, fmt in self.rule(tensor):
            if fmt is not None:
                try:
                    fmt.check(part.out_features, part.in_features)
                except InputError as error:
                    why = f"{part.name} {error.why}" if isinstance(error, UnstorableError) else str(error)
                    raise UnstorableError(f"{part.name} cannot be stored as {self.name}: {error}", why) from None
            yield part, fmt


def arrays_of(part: Tensor, fmt: WeightFormat) -> tuple[Array, ...]:
    """What one layer and expert of a part is stored as; a vector or a convolution keeps its shape."""
    if isinstance(fmt, Plain):
        suffix = ".weight" if part.name.endswith(".weight") else ""
        return (Array(suffix, part.shape, fmt.dtype),)
    return fmt.arrays(part.out_features, part.in_features)


def module_of(tensor: Tensor) -> str:
    """The module a tensor is the weight of: what suffixes are appended to and what configurations list."""
    return tensor.name.removesuffix(".weight")


def part_bytes(part: Tensor, fmt: WeightFormat) -> int:
    """Bytes of a part over its layers and experts; 0 when it shares another tensor's storage."""
    if part.tied_to:
        return 0
    if isinstance(fmt, Plain):
        return sum(a.nbytes for a in arrays_of(part, fmt)) * part.copies
    return fmt.nbytes(part.out_features, part.in_features) * part.copies


def is_quantisable(tensor: Tensor) -> bool:
    """Whether a quantiser that goes by convention takes this tensor.

    Tensors with a dtype of their own were kept in it on purpose and stay.
    """
    if tensor.kind is not Kind.LINEAR or tensor.role not in QUANTISED_ROLES or tensor.dtype or tensor.tied_to:
        return False
    if tensor.role in (Role.LINEAR_ATTENTION, Role.STATE_SPACE):
        return min(tensor.out_features, tensor.in_features) >= SMALLEST_RECURRENT_SIDE
    # A shared expert's or an attention's scalar gate is a matrix of a few rows: recipes list it beside the router.
    return tensor.out_features >= 8


def by_convention(fmt: WeightFormat, *, takes: Callable[[Tensor], bool] = is_quantisable) -> Rule:
    """The rule that gives `fmt` to every tensor `takes` accepts."""

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        return ((tensor, fmt if takes(tensor) else None),)

    return rule


def unquantised(name: str, dtype: str, *, from_checkpoint: bool = False) -> QuantScheme:
    """Everything in `dtype`, but for tensors with a dtype of their own."""
    return QuantScheme(name, "none", dtype, _leave, from_checkpoint=from_checkpoint)


def split_layers(tensor: Tensor, formats: dict[int, WeightFormat | None]) -> tuple[Part, ...]:
    """The parts of a tensor whose layers have the formats given."""
    groups: dict[WeightFormat | None, list[int]] = {}
    for layer, fmt in formats.items():
        groups.setdefault(fmt, []).append(layer)
    if len(groups) == 1:
        return ((tensor, next(iter(groups))),)
    return tuple((replace(tensor, layers=tuple(layers)), fmt) for fmt, layers in groups.items())


def _leave(tensor: Tensor) -> tuple[Part, ...]:
    return ((tensor, None),)
