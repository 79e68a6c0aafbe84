"""OPT: learned positions (two rows more than positions), biases everywhere; the 350M projects a narrower embedding.

Names: transformers `models/opt`; checkpoints `facebook/opt-*` use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder, decoder
from moesize.model.architectures._early import learned_positions
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor

#: `OPTLearnedPositionalEmbedding` starts two rows in.
POSITION_OFFSET = 2


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `opt` configuration."""
    dims = decoder(config, "opt")
    layer = "model.decoder.layers.{layer}"
    bias = config.flag("enable_bias", default=True)
    affine = config.flag("layer_norm_elementwise_affine", default=True)
    norms = dims.norms(layer, "self_attn_layer_norm", "final_layer_norm", bias=True) if affine else []
    return dims.finish(
        [
            *stem(config, dims, final_norm=affine),
            *norms,
            *dims.attention(
                f"{layer}.self_attn",
                qkv_bias=bias,
                out_bias=bias,
                names=("q_proj", "k_proj", "v_proj", "out_proj"),
            ),
            *dims.plain_mlp(layer, intermediate_size=config.count("ffn_dim"), bias=bias, names=("fc1", "fc2")),
        ],
        ropes=(),
    )


def stem(config: Fields, dims: Decoder, *, final_norm: bool) -> list[Tensor]:
    """Embedding, positions, the projections of a narrower embedding, final norm and head."""
    width, vocab = dims.hidden_size, config.count("vocab_size")
    inner = config.count("word_embed_proj_dim", default=width)
    before = config.flag("do_layer_norm_before", default=True)
    removed = config.flag("_remove_final_layer_norm", default=False)
    table, prefix = "model.decoder.embed_tokens.weight", "model.decoder"
    rows = config.count("max_position_embeddings") + POSITION_OFFSET
    tied = table if config.flag("tie_word_embeddings", default=True) else None
    tensors = [
        blocks.embedding(table, vocab, inner),
        learned_positions(f"{prefix}.embed_positions.weight", rows, width),
        *blocks.lm_head("lm_head.weight", vocab, inner, tied_to=tied),
    ]
    if final_norm and before and not removed:
        tensors += blocks.norm(f"{prefix}.final_layer_norm", width, None, bias=True)
    if inner != width:
        tensors += blocks.linear(f"{prefix}.project_in", width, inner, Role.OTHER, None)
        tensors += blocks.linear(f"{prefix}.project_out", inner, width, Role.OTHER, None)
    return tensors
