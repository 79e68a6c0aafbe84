"""GPT-Neo: learned positions, every other layer seeing a window.

Names: transformers `models/gpt_neo`; checkpoints `EleutherAI/gpt-neo-*`.
"""

from moesize.errors import InputError
from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import learned_positions, stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gpt_neo` configuration."""
    dims = decoder(config, "gpt_neo")
    positions = config.count("max_position_embeddings")
    layer = "transformer.h.{layer}"
    return dims.finish(
        [
            *stem(config, dims.hidden_size, table="transformer.wte", final_norm="transformer.ln_f"),
            learned_positions("transformer.wpe.weight", positions, dims.hidden_size),
            *dims.norms(layer, "ln_1", "ln_2", bias=True),
            *dims.attention(f"{layer}.attn.attention", out_bias=True, names=("q_proj", "k_proj", "v_proj", "out_proj")),
            *dims.plain_mlp(
                f"{layer}.mlp",
                intermediate_size=config.count("intermediate_size", default=4 * dims.hidden_size),
                bias=True,
                names=("c_fc", "c_proj"),
            ),
        ],
        windows=windows(config, len(dims.layers)),
        ropes=(),
    )


def windows(config: Fields, num_layers: int) -> list[int | None]:
    """`attention_layers`, or alternating global and local layers as the class repeats them.

    Raises:
        InputError: words that are not global or local, or not one per layer.
    """
    default = ("local" if i % 2 else "global" for i in range(num_layers))
    kinds = config.layer_types(num_layers, default, key="attention_layers")
    for kind in kinds:
        if kind not in ("global", "local"):
            raise InputError(f"{config.where}: attention_layers has {kind[:40]!r}, expected global or local")
    window = config.count("window_size", default=256)
    return [window if kind == "local" else None for kind in kinds]
