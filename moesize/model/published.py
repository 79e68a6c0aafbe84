"""Models whose layout nobody has published: what the counts alone can say."""

from moesize.errors import InputError, NotSizeableError, printable
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, PublishedCounts, Role, Tensor

#: A thousand times the largest model anybody claims.
MAX_PARAMETERS = 2 * 10**15

#: Ours take two lines.
_LONGEST_REASON = 600

_KEYS = frozenset({"total", "active", "experts", "experts_per_token", "source"})


def counts_spec(document: Fields) -> ModelSpec:
    """The spec of a document that states `counts`: weights as two pseudo tensors, no caches, no layers.

    Raises:
        NotSizeableError: the document says `undisclosed`, with the sentence it gives.
        InputError: a key that is unknown, missing or cannot be right.
    """
    if document.has("undisclosed"):
        sentence = document.text("undisclosed")
        if len(sentence.split()) < 3:
            raise InputError(
                f"{document.where}: undisclosed is {printable(sentence, 60)!r}, expected a sentence that says why"
            )
        raise NotSizeableError(printable(sentence, _LONGEST_REASON))
    counts = document.sub("counts")
    unknown = sorted(str(key) for key in counts.values if key not in _KEYS)
    if unknown:
        raise InputError(f"{counts.where}: unknown key {printable(unknown[0])!r}; known are {', '.join(sorted(_KEYS))}")
    total, active = (counts.count(key, maximum=MAX_PARAMETERS) for key in ("total", "active"))
    experts = counts.expert_count("experts")
    per_token = counts.count("experts_per_token", maximum=experts)
    if active > total:
        raise InputError(f"{counts.where}: active is {active}, more than the total of {total}")
    tensors = [Tensor("published.active", (1, active), Role.OTHER, Kind.LINEAR)]
    if total > active:
        idle = Tensor("published.inactive", (1, total - active), Role.ROUTED_EXPERT, Kind.LINEAR, experts=1)
        tensors.append(idle)
    return ModelSpec(
        name="",
        source=document.where,
        architecture="published-counts",
        num_layers=0,
        hidden_size=None,
        vocab_size=None,
        context_length=None,
        dtype="bfloat16",
        tensors=tuple(tensors),
        counts=PublishedCounts(total, active, experts, per_token),
        notes=(
            (
                f"Only counts are known of this model, from {counts.text('source')}: its weights can be sized; "
                "its KV cache, layers and how it would be divided over GPUs cannot."
            ),
        ),
    )
