"""`moesize model add`: a spec file written from a repository on the Hub, with where and when its keys were read."""

from collections.abc import Mapping
from datetime import date
from math import prod
from pathlib import Path
from typing import Any, Final

from moesize.errors import InputError, printable
from moesize.model import hub
from moesize.model.catalogue import find, knows
from moesize.model.configs import spec_from_config
from moesize.model.figures import own_count
from moesize.model.spec_file import load_spec_file
from moesize.model.stored import PACKED

#: Keys that decide no shape, cache or number; configurations carry hundreds of them.
_LEFT_OUT: Final = frozenset(
    """
    _name_or_path transformers_version auto_map torchscript use_cache output_attentions output_hidden_states
    return_dict bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id begin_suppress_tokens suppress_tokens bad_words_ids initializer_range
    initializer_factor attention_dropout attention_probs_dropout_prob hidden_dropout hidden_dropout_prob embd_pdrop
    attn_pdrop resid_pdrop dropout dropout_rate layerdrop classifier_dropout summary_type summary_use_proj
    summary_activation summary_proj_to_labels summary_first_dropout rms_norm_eps layer_norm_eps layer_norm_epsilon
    norm_eps hidden_act activation_function hidden_activation router_aux_loss_coef output_router_logits
    router_jitter_noise aux_loss_alpha seq_aux temperature top_k top_p top_k_sampling do_sample max_length
    min_length num_beams num_beam_groups diversity_penalty length_penalty repetition_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size early_stopping num_return_sequences task_specific_params problem_type label2id
    id2label finetuning_task remove_invalid_values exponential_decay_length_penalty output_scores
    return_dict_in_generate tokenizer_class prefix chunk_size_feed_forward pruned_heads tf_legacy_loss use_bfloat16
    typical_p cross_attention_hidden_size unsloth_fixed unsloth_version pretraining_tp _attn_implementation_autoset
    """.split()  # noqa: SIM905  eighty quoted strings are harder to read
)


def add_model(reference: str, folder: Path, *, family: str | None = None, today: date | None = None) -> Path:
    """Writes `folder/<name>.yaml` for a repository `org/name[@revision]` and returns its path.

    Raises:
        InputError: the catalogue already has the repository or the name, or the folder cannot be written to.
        MoesizeError: the repository cannot be read, or its configuration is of an unknown kind.
    """
    parsed = hub.parse_reference(reference)
    name = parsed.repository.rpartition("/")[2].lower()
    for taken in (parsed.repository, name):
        if knows(taken):
            raise InputError(f"{taken} is already in the catalogue, as {find(taken).name}")
    path = folder / f"{name}.yaml"
    if path.exists():
        raise InputError(f"{path} is there already; remove it to add {parsed} again")
    found = hub.download(parsed, family=family)
    revision = found.commit or parsed.revision
    document: dict[str, Any] = {
        "name": name,
        "title": parsed.repository.rpartition("/")[2],
        "hub_ids": [parsed.repository],
        "config_source": f"https://huggingface.co/{parsed.repository}/blob/{revision}/config.json",
        "as_of": today or date.today(),  # noqa: DTZ011  the user's own day
        "revision": revision,
    }
    if family:
        document["family"] = family
    config = architecture_keys(found.config)
    document["config"] = config
    stored = found.stored
    if stored and not any(one.dtype in PACKED for one in stored):
        spec = spec_from_config(config, name, family=family)
        elements = sum(prod(one.shape) for one in stored)
        if elements == own_count(spec, "stored"):
            source = f"https://huggingface.co/{parsed.repository}"
            document["published"] = [{"what": "stored", "value": elements, "source": source}]
    return _write(document, path)


def architecture_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, nested ones included, without what decides neither shapes nor caches."""
    return {
        key: architecture_keys(value) if isinstance(value, Mapping) and key != "quantization_config" else value
        for key, value in config.items()
        if key not in _LEFT_OUT and value is not None
    }


def _write(document: Mapping[str, Any], path: Path) -> Path:
    """Writes the file whole or not at all, once it has been read back."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415  only a new model needs these

    import yaml  # noqa: PLC0415

    from moesize.files import replace_text  # noqa: PLC0415

    text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120)
    try:
        with TemporaryDirectory() as aside:
            trial = Path(aside) / path.name
            trial.write_text(text, encoding="utf-8")
            load_spec_file(trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {path}: {printable(why)}") from None
    return path
