"""Nemotron-H and Nemotron-3: every layer is one of Mamba-2, attention, MLP or a mixture of ungated experts.

Names: transformers `models/nemotron_h`, checkpoints `nvidia/NVIDIA-Nemotron-3-*` (`backbone.layers.N.mixer`). The draft
layers (`mtp.*`), which transformers does not load, as vLLM's `models/nemotron_h_mtp.py` reads them.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._mamba import Mamba2, mamba2, mamba2_cache
from moesize.model.architectures._moe import known_types, not_loaded, score_correction, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split, Tensor

#: The letters of `hybrid_override_pattern`.
LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
#: The names transformers 5 writes into `layer_types`.
RENAMED = {"linear_attention": "mamba", "full_attention": "attention"}


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `nemotron_h` configuration."""
    hidden = config.count("hidden_size")
    types = layer_types(config)
    num_layers = len(types)
    mamba, attention = where_layer(types, "mamba"), where_layer(types, "attention")
    dims = Mamba2(
        heads=config.count("mamba_num_heads"),
        head_dim=config.count("mamba_head_dim"),
        groups=config.count("n_groups"),
        state=config.count("ssm_state_size"),
        kernel=config.count("conv_kernel"),
        conv_bias=config.flag("use_conv_bias", default=True),
        bias=config.flag("use_bias", default=False),
    )
    heads, kv_heads, head_dim = _attention_dims(config)
    state_dtype = config.dtype("mamba_ssm_cache_dtype", default="float32")
    return blocks.assemble(
        config,
        family="nemotron_h",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, hidden),
            *blocks.norm("backbone.layers.{layer}.norm", hidden, tuple(range(num_layers))),
            *mamba2("backbone.layers.{layer}.mixer", mamba, dims, hidden_size=hidden),
            *_mixers(config, "backbone.layers.{layer}.mixer", types),
            *not_loaded(_draft(config, hidden)),
        ],
        caches=[
            *blocks.kv_cache(attention, num_kv_heads=kv_heads, head_dim=head_dim),
            *mamba2_cache(mamba, dims, dtype=state_dtype, configured=state_dtype),
        ],
        attentions=blocks.attention_products(attention, num_heads=heads, head_dim=head_dim),
        shared_experts=config.count("n_shared_experts", default=0, minimum=0) if "moe" in types else 0,
    )  # fmt: skip


def layer_types(config: Fields) -> tuple[str, ...]:
    """One word per layer, from whichever of the three spellings the configuration has.

    Raises:
        InputError: no pattern, an unknown letter or word, or a length other than `num_hidden_layers`.
    """
    key = next((k for k in ("layers_block_type", "layer_types") if config.has(k)), "hybrid_override_pattern")
    types = _words(config, key)
    stated = config.maybe_count("num_hidden_layers")
    if stated is not None and stated != len(types):
        raise InputError(f"{config.where}: {key} names {len(types)} layers, but num_hidden_layers is {stated}")
    return types


def _words(config: Fields, key: str) -> tuple[str, ...]:
    if key.endswith("pattern"):
        words = tuple(LETTERS.get(letter, letter) for letter in config.text(key))
    else:
        words = tuple(RENAMED.get(word, word) for word in config.texts(key))
    known_types(config, words, LETTERS.values(), key)
    return words


def _attention_dims(config: Fields) -> tuple[int, int, int]:
    heads = config.count("num_attention_heads")
    head_dim = config.count("head_dim", "attention_head_dim", default=config.count("hidden_size") // heads)
    return heads, config.count("num_key_value_heads", default=heads), head_dim


def _ends(config: Fields, hidden: int) -> list[Tensor]:
    vocab, table = config.count("vocab_size"), "backbone.embeddings.weight"
    tied = config.flag("tie_word_embeddings", default=False)
    return [
        blocks.embedding(table, vocab, hidden),
        *blocks.norm("backbone.norm_f", hidden, None),
        *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=table if tied else None),
    ]


def _mixers(config: Fields, prefix: str, types: tuple[str, ...]) -> list[Tensor]:
    """What stands in the attention, MLP and mixture layers of `types`."""
    hidden = config.count("hidden_size")
    attention, mlp, moe = (where_layer(types, kind) for kind in ("attention", "mlp", "moe"))
    heads, kv_heads, head_dim = _attention_dims(config)
    tensors = blocks.gqa(
        prefix, attention, hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim
    )  # fmt: skip
    if mlp:
        tensors += blocks.plain_mlp(
            prefix, mlp, hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
            bias=config.flag("mlp_bias", default=False),
        )  # fmt: skip
    return tensors + (_mixture(config, prefix, moe) if moe else [])


def _mixture(config: Fields, prefix: str, layers: tuple[int, ...]) -> list[Tensor]:
    """Ungated experts, in the residual width or in a narrower latent that two matrices lead into and out of."""
    hidden = config.count("hidden_size")
    latent = config.maybe_count("moe_latent_size")
    inner, width = config.count("moe_intermediate_size"), latent or hidden
    experts, per_token = config.expert_count("n_routed_experts"), config.expert_count("num_experts_per_tok")
    bias = config.flag("mlp_bias", default=False)
    up, down = (f"{prefix}.experts.{{expert}}.{name}.weight" for name in ("up_proj", "down_proj"))
    tensors = [
        *blocks.router(f"{prefix}.gate", experts, hidden, layers),
        score_correction(f"{prefix}.gate.e_score_correction_bias", (experts,), layers),
        blocks.expert_matrix(up, inner, width, layers, experts, per_token, Split.COLUMN),
        blocks.expert_matrix(down, width, inner, layers, experts, per_token, Split.ROW),
        *blocks.plain_mlp(
            f"{prefix}.shared_experts", layers,
            hidden_size=hidden, intermediate_size=config.count("moe_shared_expert_intermediate_size"),
            role=Role.SHARED_EXPERT, bias=bias,
        ),
    ]  # fmt: skip
    if latent:
        # Whole on every rank: all experts read the latent.
        tensors += blocks.linear(f"{prefix}.fc1_latent_proj", latent, hidden, Role.MLP, layers, bias=bias)
        tensors += blocks.linear(f"{prefix}.fc2_latent_proj", hidden, latent, Role.MLP, layers, bias=bias)
    return tensors


def _draft(config: Fields, hidden: int) -> list[Tensor]:
    """The draft layers: hidden state and embedding joined, an attention and a mixture layer, a final norm."""
    if not config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000):
        return []
    key = "mtp_layers_block_type" if config.has("mtp_layers_block_type") else "mtp_hybrid_override_pattern"
    types = _words(config, key)
    layer, layers = "mtp.layers.{layer}", tuple(range(len(types)))
    return [
        *blocks.linear(f"{layer}.eh_proj", hidden, 2 * hidden, Role.OTHER, layers[:1]),
        *blocks.norm(f"{layer}.enorm", hidden, layers[:1]),
        *blocks.norm(f"{layer}.hnorm", hidden, layers[:1]),
        *blocks.norm(f"{layer}.norm", hidden, layers),
        *_mixers(config, f"{layer}.mixer", types),
        *blocks.norm(f"{layer}.final_layernorm", hidden, layers[-1:]),
    ]
