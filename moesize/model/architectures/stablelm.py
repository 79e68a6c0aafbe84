"""StableLM: llama with LayerNorms and partly rotated heads; the 12B adds a norm for every single head.

Names: transformers `models/stablelm`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder, decoder, partial_rotary_dim
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `stablelm` configuration."""
    dims = decoder(config, "stablelm")
    layer = "model.layers.{layer}"
    parallel = config.flag("use_parallel_residual", default=False)
    norms = ("input_layernorm",) if parallel else ("input_layernorm", "post_attention_layernorm")
    per_head = config.flag("qk_layernorm", default=False)
    return dims.finish(
        [
            *stem(
                config,
                dims.hidden_size,
                table="model.embed_tokens",
                final_norm="model.norm",
                tied_by_default=False,
            ),
            *dims.norms(layer, *norms, bias=True),
            *dims.attention(f"{layer}.self_attn", qkv_bias=config.flag("use_qkv_bias", default=False)),
            *(per_head_norms(dims, f"{layer}.self_attn") if per_head else ()),
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        ropes=blocks.rope_of(config, partial_rotary_dim(config, dims.head_dim, "rope_pct", default=0.25)),
    )


def per_head_norms(dims: Decoder, prefix: str) -> list[Tensor]:
    """One norm per query head and per key head, each a tensor of its own."""
    return [
        tensor
        for name, heads in (("q_layernorm", dims.num_heads), ("k_layernorm", dims.num_kv_heads))
        for head in range(heads)
        for tensor in blocks.norm(f"{prefix}.{name}.norms.{head}", dims.head_dim, dims.layers)
    ]
