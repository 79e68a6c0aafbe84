"""GPT-J: rotary positions on part of each head, attention and MLP side by side behind one norm, a head with a bias.

Names: transformers `models/gptj`; checkpoint `EleutherAI/gpt-j-6b`.
"""

from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Rope


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gptj` configuration."""
    dims = decoder(config, "gptj")
    positions = config.count("n_positions", "max_position_embeddings")
    layer = "transformer.h.{layer}"
    return dims.finish(
        [
            *stem(
                config,
                dims.hidden_size,
                table="transformer.wte",
                final_norm="transformer.ln_f",
                tied_by_default=False,
                head_bias=True,
            ),
            *dims.norms(layer, "ln_1", bias=True),
            *dims.attention(f"{layer}.attn", names=("q_proj", "k_proj", "v_proj", "out_proj")),
            *dims.plain_mlp(
                f"{layer}.mlp",
                intermediate_size=config.count("n_inner", default=4 * dims.hidden_size),
                bias=True,
                names=("fc_in", "fc_out"),
            ),
        ],
        ropes=(Rope(config.count("rotary_dim", default=dims.head_dim), positions),),
        context_length=positions,
    )
