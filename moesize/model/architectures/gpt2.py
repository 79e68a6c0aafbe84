"""GPT-2 and GPTBigCode (StarCoder, SantaCoder, Granite code 20B/34B): learned positions, fused attention, a plain MLP.

Names: transformers `models/gpt2`, `models/gpt_bigcode`. GPT-2 stores its matrices `[in, out]`; the `attn.bias` masks of
its old checkpoints are no weights and are left out.
"""

from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import learned_positions, stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gpt2` or `gpt_bigcode` configuration."""
    family = config.text("model_type")
    single = family == "gpt_bigcode" and config.flag("multi_query", default=True)
    dims = decoder(config, family, kv_heads=1 if single else None)
    positions = config.count("n_positions", "max_position_embeddings", default=1024)
    layer = "transformer.h.{layer}"
    transposed = family == "gpt2"
    return dims.finish(
        [
            *stem(config, dims.hidden_size, table="transformer.wte", final_norm="transformer.ln_f"),
            learned_positions("transformer.wpe.weight", positions, dims.hidden_size),
            *dims.norms(layer, "ln_1", "ln_2", bias=True),
            *dims.fused_attention(
                f"{layer}.attn.c_attn", f"{layer}.attn.c_proj", qkv_bias=True, out_bias=True, transposed=transposed
            ),
            *dims.plain_mlp(
                f"{layer}.mlp",
                intermediate_size=config.count("n_inner", default=4 * dims.hidden_size),
                bias=True,
                names=("c_fc", "c_proj"),
                transposed=transposed,
            ),
        ],
        ropes=(),
        context_length=positions,
    )
