"""vLLM's rules by version, read from `constants.yaml`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from moesize.data import read_yaml
from moesize.errors import InputError, printable
from moesize.model.spec import CacheKind, ModelSpec, State
from moesize.quant.kv import KvFormat

_FILE = Path(__file__).with_name("constants.yaml")


class Rules(NamedTuple):
    """The rules of one version; calibrated terms are read from `entry` by the module that prices them."""

    version: str
    key: tuple[int, ...]
    constants: Mapping[str, Any]
    gpu_memory_utilization: float
    graphs_in_budget: bool
    hybrid_groups: bool
    group_padding_limit: float
    batches_in_flight: int
    tokens_by_concurrency: bool
    gdn_alignment_tokens: int
    cached_state_blocks: int
    states_cached: bool
    context_parallel: bool
    moe_refines_tiles: bool
    counts_free_memory: bool
    workspaces_stay: bool
    latent_cache: bool
    default_block_tokens: int = 16

    def entry(self, name: str) -> dict[str, Any]:
        """The entry of a versioned list that holds for this version."""
        return _entry(self.constants[name], self.key)

    @property
    def server_defaults(self) -> dict[str, Any]:
        """The default step sizes of the server, by class of card."""
        return self.entry("server_defaults")

    def block_tokens(self, spec: ModelSpec, kv: KvFormat) -> int:
        """Tokens of one block: 16, or what the attention backend asks for (FlashMLA and sparse MLA: 64)."""
        kinds = {cache.kind for cache in spec.caches}
        sparse = CacheKind.INDEXER in kinds
        return 64 if sparse or (CacheKind.LATENT in kinds and kv.bits < 16) else self.default_block_tokens

    def state_blocks(self, mixer: str, *, prefix_caching: bool | None = None) -> int:
        """Blocks of one layer's state for one sequence; Mamba-1 models run without overlapped steps."""
        if not (self.states_cached if prefix_caching is None else prefix_caching):
            return 1
        return min(2, self.cached_state_blocks) if mixer == "mamba1" else self.cached_state_blocks

    def state_alignment_tokens(self, mixer: str) -> int:
        """What the block length of attention layers beside such a state is a multiple of."""
        return self.gdn_alignment_tokens if mixer in ("gdn", "kda") else self.default_block_tokens

    def state_dtype(self, spec: ModelSpec, mixer: str, state: State) -> str:
        """The dtype a state is kept in: what the configuration names, or the model's; delta attention's is float32."""
        if mixer == "kda" and not state.name.startswith("conv"):
            return "float32"
        return state.configured_dtype or spec.dtype


class Kernels(NamedTuple):
    """What decides how weights are kept: version, quantisation method, dtype, and whether Hopper's kernels run."""

    rules: Rules
    method: str
    dtype: str
    hopper: bool
    tp: int


@cache
def rules_for(version: str | None) -> Rules:
    """The rules of a version; the newest measured one when None.

    Raises:
        InputError: no version number, or one outside the supported range.
    """
    constants = read_yaml(_FILE)
    wanted = version or constants["default"]
    key = version_key(wanted)
    if not version_key(constants["oldest"]) <= key:
        raise InputError(f"vLLM {wanted} is too old; versions from {constants['oldest']} are known")
    if key[:2] > version_key(constants["newest"])[:2]:
        raise InputError(f"vLLM {wanted} is not known yet; the newest known is {constants['newest']}")
    held = {name: _entry(entries, key)["value"] for name, entries in constants["rules"].items()}
    return Rules(
        version=wanted,
        key=key,
        constants=constants,
        cached_state_blocks=held.pop("state_blocks"),
        **held,
    )


def _entry(entries: list[dict[str, Any]], key: tuple[int, ...]) -> dict[str, Any]:
    return next(entry for entry in entries if version_key(entry["since"]) <= key)


def version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare by; what follows them (`rc1`, `.dev134`) does not count.

    Raises:
        InputError: no number at its start.
    """
    numbers = []
    for part in version.removeprefix("v").split("."):
        digits = part[: next((i for i, c in enumerate(part) if not c.isdigit()), len(part))]
        if not digits:
            break
        numbers.append(int(digits[:9]))
        if digits != part:
            break
    if not numbers:
        raise InputError(f"{printable(version)!r} is no vLLM version; write it like 0.19.0")
    return tuple(numbers)
