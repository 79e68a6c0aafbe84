"""InternVL 3 and 3.5 as converted for transformers (`-HF`): InternViT and a projector around any language model.

Names: transformers `models/internvl`, checkpoints `OpenGVLab/InternVL3_5-*-HF`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _towers as towers
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor

PROJECTOR = "multi_modal_projector"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `internvl` configuration."""
    language = towers.language_model(config, config.sub("text_config"))
    vision = config.sub("vision_config")
    hidden = language.hidden_size or 0
    ratio = config.number("downsample_ratio", default=0.5)
    if not 0 < ratio <= 1:
        raise InputError(f"{config.where}: downsample_ratio is {ratio:g}, expected more than 0 and at most 1")
    merged = vision.count("hidden_size") * int(1 / ratio) ** 2
    joint = [
        *towers.as_vision(blocks.norm(f"{PROJECTOR}.layer_norm", merged, None, bias=True)),
        *towers.projector(PROJECTOR, merged, hidden, bias=True),
    ]
    return towers.wrapped(language, "internvl", [*intern_vit(vision, "vision_tower"), *joint])


def intern_vit(config: Fields, prefix: str) -> list[Tensor]:
    """A ViT whose two residuals are scaled by learned vectors; the 6B one norms queries and keys.

    Raises:
        InputError: a tower that ends in a norm, which no release has.
    """
    if not config.flag("use_mean_pooling", default=True):
        raise InputError(f"{config.where}: use_mean_pooling is false, but only towers without a last norm are known")
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer, role = f"{prefix}.encoder.layer.{{layer}}", Role.VISION
    size, patch = (pair(config, key) for key in ("image_size", "patch_size"))
    positions = (size[0] // patch[0]) * (size[1] // patch[1]) + 1
    norm_bias = config.text("norm_type", default="layer_norm") == "layer_norm"
    table = f"{prefix}.embeddings"
    name = f"{table}.patch_embeddings.projection"
    attention = blocks.gqa(
        f"{layer}.attention",
        layers,
        hidden_size=width,
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=width // heads,
        qkv_bias=config.flag("attention_bias", default=False),
        out_bias=True,
        names=("q_proj", "k_proj", "v_proj", "projection_layer"),
    )
    qk_norms = ("attention.q_norm", "attention.k_norm") if config.flag("use_qk_norm", default=False) else ()
    return towers.as_vision(
        [
            Tensor(f"{table}.cls_token", (1, 1, width), role, Kind.PARAMETER),
            Tensor(f"{table}.position_embeddings", (1, positions, width), role, Kind.PARAMETER),
            Tensor(f"{name}.weight", (width, config.count("num_channels", default=3), *patch), role, Kind.CONV),
            blocks.vector(f"{name}.bias", width, role, None),
            *attention,
            *(t for norm in qk_norms for t in blocks.norm(f"{layer}.{norm}", width, layers)),
            *(blocks.vector(f"{layer}.lambda_{i}", width, role, layers) for i in (1, 2)),
            *(
                t
                for side in ("before", "after")
                for t in blocks.norm(f"{layer}.layernorm_{side}", width, layers, bias=norm_bias)
            ),
            *blocks.linear(
                f"{layer}.mlp.fc1",
                config.count("intermediate_size"),
                width,
                role,
                layers,
                split=Split.COLUMN,
                bias=True,
            ),
            *blocks.linear(
                f"{layer}.mlp.fc2", width, config.count("intermediate_size"), role, layers, split=Split.ROW, bias=True
            ),
        ]
    )


def pair(config: Fields, key: str) -> tuple[int, int]:
    """A height and a width, which may be one number.

    Raises:
        InputError: a list that is not two whole numbers.
    """
    if isinstance(config.values.get(key), int):
        return config.count(key), config.count(key)
    numbers = config.counts(key, minimum=1)
    if len(numbers) != 2:
        raise InputError(f"{config.where}: {key} has {len(numbers)} numbers, expected a height and a width")
    return numbers[0], numbers[1]
