"""MiniCPM 1, 2 and 4 (llama tensor for tensor, a tied head in the small ones), and MiniCPM3 with latent attention.

Names: vLLM `models/minicpm.py`; transformers `models/minicpm3`; the checkpoints use the same.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.architectures.deepseek import latent_attention
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, ModelSpec

#: vLLM `models/minicpm3.py` pads values to the keys' width and caches every head.
EXPANDED = (
    "The KV cache is counted as the latent, as transformers and SGLang keep it; vLLM's class for MiniCPM3 expands it "
    "to {:,} B a token in 16 bit."
)


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `minicpm` or `minicpm3` configuration.

    Raises:
        InputError: experts.
    """
    if config.count("num_experts", default=0, minimum=0):
        raise InputError(f"{config.where}: num_experts is set, but only MiniCPM without experts is known")
    return minicpm3(config) if config.text("model_type") == "minicpm3" else minicpm(config)


def minicpm(config: Fields) -> ModelSpec:
    """Grouped-query attention."""
    dims = decoder(config, "minicpm")
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size, tied_by_default=True),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *dims.glu_mlp(f"{layer}.mlp"),
        ]
    )


def minicpm3(config: Fields) -> ModelSpec:
    """Latent attention; `v_head_dim` is hidden size over heads where the file leaves it out."""
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    v_dim = config.count("v_head_dim", default=hidden // heads)
    config = Fields({**config.values, "v_head_dim": v_dim}, config.where)
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    nope, rope = config.count("qk_nope_head_dim"), config.count("qk_rope_head_dim")
    latent = config.count("kv_lora_rank") + rope
    layer = "model.layers.{layer}"
    bias = config.flag("mlp_bias", default=False)
    inner = config.count("intermediate_size")
    return blocks.assemble(
        config,
        family="minicpm3",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden, tied_by_default=True),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers),
            *latent_attention(config, f"{layer}.self_attn", hidden, layers),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers),
            *blocks.glu_mlp(f"{layer}.mlp", layers, hidden_size=hidden, intermediate_size=inner, bias=bias),
        ],
        caches=[Cache(CacheKind.LATENT, layers, 1, latent, 0, rope_dim=rope)],
        attentions=[Attention(layers, heads, nope + rope, v_dim)],
        ropes=blocks.rope_of(config, rope),
        notes=[EXPANDED.format(4 * heads * (nope + rope) * len(layers))],
    )
