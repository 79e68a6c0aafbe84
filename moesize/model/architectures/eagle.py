"""EAGLE and EAGLE-2 draft heads: a Llama layer over the target's last hidden state, joined with the embedding.

Names: `eagle/model/cnets1.py` of SafeAILab/EAGLE @cb7e084; vLLM 0.33 `models/llama_eagle.py` and
`transformers_utils/configs/eagle.py`, whose `model_type` and nesting this reads. The first layer has no norm before
its attention, there is none at the end, and embedding and head are the target's: checkpoints that carry a copy of the
embedding say so with `has_own_embed_tokens`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._moe import not_loaded
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `eagle` configuration; the layer's own keys may be nested under `model`."""
    if config.has("model"):
        own = {key: value for key, value in config.values.items() if value is not None}
        config = Fields({**config.sub("model").values, **own}, config.where)
    dims = decoder(config, "eagle")
    layer, hidden, table = "layers.{layer}", dims.hidden_size, "embed_tokens.weight"
    own_table = config.flag("has_own_embed_tokens", default=False)
    copy = [blocks.embedding(table, config.count("vocab_size"), hidden)] if own_table else []
    bias = config.flag("eagle_fc_bias", "bias", default=False)
    qkv_bias = config.flag("qkv_bias", "attention_bias", default=False)
    return dims.finish(
        [
            # SafeAILab's older heads have a bias here and vLLM's class none: the file has to say so.
            *blocks.linear("fc", hidden, 2 * hidden, Role.OTHER, None, bias=bias),
            *dims.attention(f"{layer}.self_attn", qkv_bias=qkv_bias),
            *blocks.norm(f"{layer}.input_layernorm", hidden, dims.layers[1:]),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, dims.layers),
            *dims.glu_mlp(f"{layer}.mlp"),
            *not_loaded(copy),
        ]
    )
