"""Baichuan 1 and 2: llama with one matrix for queries, keys and values; positions are rotated at 7B, ALiBi at 13B.

Names: checkpoints `baichuan-inc/Baichuan2-7B-Chat`, `baichuan-inc/Baichuan-13B-Chat`, and vLLM `models/baichuan.py`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: Both 7B releases; the code of the 13B ones has no rotary embedding.
ROTARY_HIDDEN_SIZE = 4096


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `baichuan` configuration."""
    dims = decoder(config, "baichuan")
    layer = "model.layers.{layer}"
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.fused_attention(f"{layer}.self_attn.W_pack", f"{layer}.self_attn.o_proj"),
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        ropes=blocks.rope_of(config, dims.head_dim) if dims.hidden_size == ROTARY_HIDDEN_SIZE else (),
        context_length=config.maybe_count("max_position_embeddings", "model_max_length"),
    )
