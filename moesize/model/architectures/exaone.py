"""EXAONE 3 and 3.5 (llama under other names) and EXAONE 4 (norms behind the blocks and on heads, windows in the 32B).

Names: checkpoint `LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct` and vLLM `models/exaone.py`; transformers `models/exaone4`.
"""

from moesize.errors import InputError, printable
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import FULL, SLIDING, alternating_windows, decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `exaone` or `exaone4` configuration."""
    return exaone4(config) if config.text("model_type") == "exaone4" else exaone3(config)


def exaone3(config: Fields) -> ModelSpec:
    """The third generation."""
    dims = decoder(config, "exaone")
    layer = "transformer.h.{layer}"
    table, vocab = "transformer.wte.weight", config.count("vocab_size")
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    return dims.finish(
        [
            blocks.embedding(table, vocab, dims.hidden_size),
            *blocks.norm("transformer.ln_f", dims.hidden_size, None),
            *blocks.lm_head("lm_head.weight", vocab, dims.hidden_size, tied_to=tied),
            *dims.norms(layer, "ln_1", "ln_2"),
            *dims.attention(f"{layer}.attn.attention", names=("q_proj", "k_proj", "v_proj", "out_proj")),
            *dims.glu_mlp(f"{layer}.mlp", names=("c_fc_0", "c_fc_1", "c_proj")),
        ]
    )


def exaone4(config: Fields) -> ModelSpec:
    """The fourth generation."""
    dims = decoder(config, "exaone4")
    layer = "model.layers.{layer}"
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size),
            *dims.norms(layer, "post_attention_layernorm", "post_feedforward_layernorm"),
            *dims.attention(f"{layer}.self_attn"),
            *_moe.head_norms(f"{layer}.self_attn", dims.layers, dims.head_dim),
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        windows=windows(config, len(dims.layers)),
    )


def windows(config: Fields, num_layers: int) -> list[int | None]:
    """By `layer_types`, by a number of layers, or by letters such as `LLLG` that repeat.

    Raises:
        InputError: letters other than L and G.
    """
    if not config.has("sliding_window"):
        return [None] * num_layers
    pattern = config.values.get("sliding_window_pattern")
    if not isinstance(pattern, str):
        period = config.count("sliding_window_pattern", default=4, minimum=0)
        return alternating_windows(config, num_layers, period=period)
    if not pattern or set(pattern) - {"L", "G"}:
        shown = printable(repr(pattern), 40)
        raise InputError(f"{config.where}: sliding_window_pattern is {shown}, expected a number or letters L and G")
    letters = [pattern[i % len(pattern)] for i in range(num_layers - 1)] + ["G"]
    types = [SLIDING if letter == "L" else FULL for letter in letters]
    return alternating_windows(Fields({"layer_types": types, **config.values}, config.where), num_layers, period=0)
