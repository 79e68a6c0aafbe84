"""What decoders before llama share: LayerNorms with biases, learned positions, a head tied to the embedding."""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Tensor


def stem(
    config: Fields,
    width: int,
    *,
    table: str,
    final_norm: str,
    tied_by_default: bool = True,
    norm_bias: bool = True,
    head: str = "lm_head",
    head_bias: bool = False,
) -> list[Tensor]:
    """Embedding, final LayerNorm and head."""
    vocab = config.count("vocab_size")
    name = f"{table}.weight"
    tied = name if config.flag("tie_word_embeddings", default=tied_by_default) else None
    return [
        blocks.embedding(name, vocab, width),
        *blocks.norm(final_norm, width, None, bias=norm_bias),
        *blocks.lm_head(f"{head}.weight", vocab, width, tied_to=tied, bias=head_bias),
    ]


def learned_positions(name: str, rows: int, width: int) -> Tensor:
    """The table of learned positions; engines keep it whole on every rank."""
    return Tensor(name, (rows, width), Role.POSITION_EMBEDDING, Kind.EMBEDDING)
