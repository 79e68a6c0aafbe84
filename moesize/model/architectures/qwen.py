"""The first Qwen: one biased matrix for queries, keys and values, a gated MLP half as wide as the file says.

Names: checkpoint `Qwen/Qwen-7B` and vLLM `models/qwen.py`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `qwen` configuration.

    Raises:
        InputError: an odd `intermediate_size`.
    """
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    both = config.count("intermediate_size")
    if both % 2:
        raise InputError(f"{config.where}: intermediate_size {both} is odd, but Qwen's is gate and up together")
    dims = Decoder(
        config,
        "qwen",
        hidden_size=hidden,
        layers=tuple(range(config.layer_count("num_hidden_layers"))),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=config.count("kv_channels", default=hidden // heads),
    )
    layer = "transformer.h.{layer}"
    bias = not config.flag("no_bias", default=True)
    table, vocab = "transformer.wte.weight", config.count("vocab_size")
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    return dims.finish(
        [
            blocks.embedding(table, vocab, hidden),
            *blocks.norm("transformer.ln_f", hidden, None),
            *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=tied),
            *dims.norms(layer, "ln_1", "ln_2"),
            *dims.fused_attention(f"{layer}.attn.c_attn", f"{layer}.attn.c_proj", qkv_bias=True, out_bias=bias),
            *blocks.glu_mlp(
                f"{layer}.mlp",
                dims.layers,
                hidden_size=hidden,
                intermediate_size=both // 2,
                bias=bias,
                names=("w2", "w1", "c_proj"),
            ),
        ],
        # Trained on `seq_length`; `max_position_embeddings` is how far its extrapolation was tried.
        context_length=config.maybe_count("seq_length"),
    )
