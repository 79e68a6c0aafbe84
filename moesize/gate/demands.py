"""What a policy asks of one deployment beyond what its files say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moesize.gate.findings.base import Level


@dataclass(frozen=True, slots=True)
class Demands:
    """Defaults and demands for one path.

    Attributes:
        gpu: GPU of deployments whose files name none.
        pools: GPU by the name of a pool, compute class or label value nothing else is known by.
        models: Catalogue name or Hub id by the path, URI or name a file gives.
        context_tokens: Every server must take sequences this long.
        concurrency: Sequences at once each copy must hold.
        headroom_bytes: Memory of the budget that must stay free on the fullest GPU.
        headroom_share: The same as a share of the budget.
        allowed_gpus: Ids of the GPUs deployments may run on; empty allows all.
        max_usd_per_hour: Most one copy may cost.
        levels: Levels that differ from the rules' own; None turns a rule off.
    """

    gpu: str | None = None
    pools: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    context_tokens: int | None = None
    concurrency: int | None = None
    headroom_bytes: int = 0
    headroom_share: float = 0.0
    allowed_gpus: tuple[str, ...] = ()
    max_usd_per_hour: float | None = None
    levels: Mapping[str, Level | None] = field(default_factory=dict)
