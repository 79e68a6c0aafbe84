"""A deployment's speculative decoding: what can be sized of it, and a note about what cannot."""

from typing import NamedTuple

from moesize.engines.base import Speculation
from moesize.errors import MoesizeError, printable
from moesize.gate.demands import Demands
from moesize.gate.facts import Deployment, Fact
from moesize.gate.lookup import FoundModel, Lookup
from moesize.model.spec import ModelSpec
from moesize.speculation import METHODS, read_method, speculation_of


class Speculating(NamedTuple):
    """What is counted, and what is not."""

    counted: Speculation | None = None
    note: str | None = None


def speculating(deployment: Deployment, spec: ModelSpec, lookup: Lookup, demands: Demands) -> Speculating:
    """The speculation a deployment names, its drafting model looked up like the model itself."""
    drafted, method = deployment.draft_model, deployment.speculative_method
    if drafted is None and method is None:
        return Speculating()
    if deployment.engine.value not in ("vllm", "unknown"):
        return Speculating(note="the draft model's memory is not counted")
    given: dict[str, object] = {}
    if method is not None:
        given["method"] = method.value
    if deployment.speculative_tokens is not None:
        given["num_speculative_tokens"] = deployment.speculative_tokens.value
    draft = _found(drafted, spec, lookup, demands, given)
    if isinstance(draft, str):
        return Speculating(note=f"the draft model's memory is not counted: {draft}")
    try:
        found = speculation_of(spec, given, draft)
    except MoesizeError as error:
        return Speculating(note=f"speculative decoding is not counted: {printable(str(error))}")
    return Speculating(found)


def _found(
    drafted: Fact[str] | None, spec: ModelSpec, lookup: Lookup, demands: Demands, given: dict[str, object]
) -> ModelSpec | str | None:
    """The drafting model; None where the checkpoint's own layers or no weights propose."""
    try:
        needed = METHODS.get(read_method(given), True) if "method" in given else True
    except MoesizeError:
        needed = True
    if drafted is None:
        return None
    found: FoundModel | str = lookup.model((drafted,), drafted.value, demands.models)
    if not needed and (isinstance(found, str) or found.spec.architecture == spec.architecture):
        return None  # prediction layers are often named by the repository that holds them
    return found if isinstance(found, str) else found.spec
