"""Published checkpoint sizes against moesize's: `python -m validation.checkpoints` prints the table."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from moesize.data import read_yaml
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.names import resolve_quant
from moesize.quant.scheme import QuantScheme
from moesize.quant.sizes import checkpoint_bytes
from moesize.units import parse_bytes

DATA = Path(__file__).with_name("data") / "checkpoint_sizes.yaml"


@dataclass(frozen=True, slots=True)
class Score:
    """One published size and the prediction for it; `rounding_bytes` is how far the printed digits can be off."""

    repo: str
    source: str
    model: str
    quant: str
    method: str
    published_bytes: int
    rounding_bytes: int
    predicted_bytes: int

    @property
    def error(self) -> float:
        """Signed, as a share of the published size."""
        return self.predicted_bytes / self.published_bytes - 1

    @property
    def within_rounding(self) -> bool:
        """Whether the printed digits would be the same."""
        return abs(self.predicted_bytes - self.published_bytes) <= self.rounding_bytes


def scores() -> list[Score]:
    """Every row of the data file that a label predicts."""
    return [score for entry in read_yaml(DATA)["sets"] for score in _of_set(entry)]


def excluded() -> list[tuple[str, str, str, int]]:
    """What is not scored: repository, source, reason, number of sizes."""
    return [(e["repo"], e["source"], e["reason"], len(e["sizes"])) for e in read_yaml(DATA)["excluded"]]


def summary(rows: Iterable[Score]) -> list[tuple[str, int, float, float, float]]:
    """Per method: count, median and 90th percentile of the absolute error, and the worst signed one."""
    rows = list(rows)
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.method, []).append(row.error)
    groups["all"] = [row.error for row in rows]
    return [(name, len(e), median(map(abs, e)), percentile(e, 0.9), max(e, key=abs)) for name, e in groups.items()]


def percentile(errors: Iterable[float], share: float) -> float:
    """The absolute error that `share` of the rows do not exceed."""
    ordered = sorted(map(abs, errors))
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _of_set(entry: dict[str, Any]) -> Iterable[Score]:
    spec = load_model(entry["model"], offline=True)
    if "kv_heads" in entry:
        spec = _with_kv_heads(spec, entry["kv_heads"])
    for quant, printed in entry["sizes"].items():
        scheme, spec_used = _scheme(spec, quant)
        exact = parse_bytes(f"{printed} {entry['unit']}")
        digits = -int(Decimal(printed).as_tuple().exponent)
        step = parse_bytes(f"1 {entry['unit']}") / 10**digits
        yield Score(
            repo=entry["repo"],
            source=entry["source"],
            model=entry["model"],
            quant=quant,
            method=f"{scheme.method} {scheme.dtype}" if scheme.method == "none" else scheme.method,
            published_bytes=exact,
            rounding_bytes=round(step if entry.get("rounded") == "up" else step / 2),
            predicted_bytes=checkpoint_bytes(spec_used, scheme),
        )


def _scheme(spec: ModelSpec, quant: str) -> tuple[QuantScheme, ModelSpec]:
    if not quant.startswith("autogptq-"):
        return resolve_quant(quant, spec), spec
    bits, group = quant.removeprefix("autogptq-").split("bit-g")
    config = {"quant_method": "gptq", "bits": int(bits), "group_size": int(group), "desc_act": True, "sym": True}
    spec = replace(spec, quantization_config=config)
    return stored_scheme(spec), spec


def _with_kv_heads(spec: ModelSpec, heads: int) -> ModelSpec:
    def widened(tensor: Any) -> Any:  # noqa: ANN401  a tensor in, a tensor out
        if not tensor.name.endswith(("k_proj.weight", "v_proj.weight")):
            return tensor
        (segment,) = tensor.segments
        return replace(tensor, shape=(tensor.shape[0] // segment.units * heads, tensor.shape[1]))

    return replace(spec, tensors=tuple(widened(tensor) for tensor in spec.tensors))


def main() -> None:
    """Print the table, the rows beyond half a percent, and what is excluded."""
    rows = scores()
    print(f"{'method':24} rows  median    p90     worst")
    for name, count, middle, most, worst in summary(rows):
        print(f"{name:24} {count:4} {middle:7.3%} {most:7.3%} {worst:+8.3%}")
    print(f"\n{sum(r.within_rounding for r in rows)} of {len(rows)} rows are within the printed rounding")
    for row in sorted(rows, key=lambda r: -abs(r.error)):
        if abs(row.error) > 0.005:
            print(f"  {row.error:+.3%} {row.repo} {row.quant}")
    print(f"\nnot scored: {sum(n for *_, n in excluded())} sizes")
    for repo, _, reason, count in excluded():
        print(f"  {count:2} {repo}: {reason}")


if __name__ == "__main__":
    main()
