"""Models on the Hugging Face Hub: configuration, index and the headers of the weight files — never a weight.

Everything is asked for through huggingface_hub's session and kept in its cache, so that its token, `HF_ENDPOINT`,
`HF_HOME` and `HF_HUB_OFFLINE` mean what they mean elsewhere.
"""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from moesize.errors import InputError, printable
from moesize.model.checkpoint import CONFIG, INDEX, MAX_INDEX_BYTES, SIDE_FILES, SINGLE, load_folder, shards_of
from moesize.model.configs import MAX_CONFIG_BYTES, parse_json_mapping, quantization_of, spec_from_config
from moesize.model.hub_http import HubError, HubUnreachableError, NotThereError, read
from moesize.model.safetensors import Stored, header_length, read_header
from moesize.model.spec import ModelSpec
from moesize.model.stored import PACKED, with_stored

#: Each part begins and ends with a letter, a digit or `_`, as the Hub has it; `--` and `..` are in no name.
_NAME: Final = re.compile(r"(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?/\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_REVISION: Final = re.compile(r"[\w.@{}/+-]{1,128}", re.ASCII)
_COMMIT: Final = re.compile(r"^[0-9a-f]{40}$")

#: Most headers fit into the first request: https://github.com/huggingface/huggingface_hub/pull/1855.
_FIRST_BYTES: Final = 128 * 1024
_PARALLEL: Final = 8


class Reference(NamedTuple):
    """A repository at a revision."""

    repository: str
    revision: str

    def __str__(self) -> str:
        if self.revision == "main":
            return self.repository
        return f"{self.repository}@{self.revision[:8] if _COMMIT.match(self.revision) else self.revision}"


class Downloaded(NamedTuple):
    """A configuration, the commit it is of where known, and the arrays of the safetensors files, if there are any."""

    config: dict[str, Any]
    commit: str | None
    stored: list[Stored] | None


def parse_reference(text: str) -> Reference:
    """`org/name` or `org/name@revision`, also as a URL of huggingface.co.

    Raises:
        InputError: anything else.
    """
    short = re.sub(r"^https?://(?:www\.)?(?:huggingface\.co|hf\.co)/", "", text.strip()).rstrip("/")
    short = re.sub(r"/(?:tree|blob|resolve)/(\w[\w.-]*).*$", r"@\1", short)
    repository, _, revision = short.partition("@")
    if not _NAME.fullmatch(repository) or (revision and not _REVISION.fullmatch(revision)):
        raise InputError(f"{printable(text)!r} is no model on the Hub: those are named org/name or org/name@revision")
    return Reference(repository, revision or "main")


def load(text: str, *, offline: bool = False, family: str | None = None) -> ModelSpec:
    """The model of a repository; offline, what the local cache holds of it.

    Raises:
        HubUnreachableError: offline and not cached, or nobody answers.
        MoesizeError: gated, missing, damaged, or of an unknown kind.
    """
    reference = parse_reference(text)
    if offline or _forbidden():
        config = _cached(reference, CONFIG)
        if not config:
            raise HubUnreachableError(f"{reference} is not cached here, and offline nobody is asked for it")
        spec = load_folder(config.parent, family=family, complete=False)
        return replace(spec, name=str(reference), source=f"{reference} (cached)", hub_ids=(reference.repository,))
    found = download(reference, family=family)
    spec = spec_from_config(found.config, f"{reference}: {CONFIG}", family=family)
    where = f"{reference.repository}@{found.commit}" if found.commit else str(reference)
    spec = replace(spec, name=str(reference), source=where, hub_ids=(reference.repository,))
    if found.stored is None:
        note = f"{reference.repository} has no safetensors files: sizes are those of its configuration"
        return replace(spec, notes=(*spec.notes, note))
    return with_stored(spec, found.stored, str(reference))


def download(reference: Reference, *, family: str | None = None) -> Downloaded:
    """What a repository says of its model: configuration, quantisation, headers.

    Raises:
        UnknownNameError: a model_type no family reads; nothing but the configuration was then asked for.
        HubError: something cannot be had; says why.
        InputError: a file is damaged.
    """
    config = _configuration(reference)
    spec_from_config(config, f"{reference}: {CONFIG}", family=family)
    commit = _commit_of(reference)
    pinned = Reference(reference.repository, commit or reference.revision)
    stored = headers(pinned)
    if not quantization_of(config, f"{reference}: {CONFIG}") and stored and any(one.dtype in PACKED for one in stored):
        for name, reading in SIDE_FILES.items():
            try:
                beside = parse_json_mapping(_file(pinned, name, MAX_CONFIG_BYTES), f"{reference}: {name}")
            except NotThereError:
                continue
            config["quantization_config"] = reading(beside)
            break
    return Downloaded(config, commit, stored)


def _configuration(reference: Reference) -> dict[str, Any]:
    try:
        data = _file(reference, CONFIG, MAX_CONFIG_BYTES)
    except NotThereError:
        raise HubError(
            f"{reference} has no {CONFIG}: if it holds .gguf files, download one and give its path; an adapter or a "
            "dataset is no model"
        ) from None
    config = parse_json_mapping(data, f"{reference}: {CONFIG}")
    _keep(reference, CONFIG)
    return config


def headers(reference: Reference) -> list[Stored] | None:
    """Every array of a repository's safetensors files; None when it has none.

    Raises:
        HubError: a file cannot be had; says why.
        InputError: a header is damaged.
    """
    try:
        files = shards_of(_file(reference, INDEX, MAX_INDEX_BYTES), f"{reference}: {INDEX}")
    except NotThereError:
        try:
            return _header(reference, SINGLE)
        except NotThereError:
            return None
    _keep(reference, INDEX)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = pool.map(lambda name: _header(reference, name), files)
        return [stored for one in found for stored in one]


def _header(reference: Reference, name: str) -> list[Stored]:
    """The arrays of one file, from its first bytes and, for a long header, the rest of them."""
    where = f"{reference}: {name}"
    url, asked = _request(reference, name)
    data = read(url, asked, what=where, limit=_FIRST_BYTES)
    length = header_length(data, where)
    if 8 + length > len(data):
        data += read(url, asked, what=where, limit=8 + length - len(data), first=len(data))
    if 8 + length > len(data):
        raise HubError(f"{where} is cut off: its header ends beyond it")
    return read_header(io.BytesIO(data[8 : 8 + length]), length, where)


def _file(reference: Reference, name: str, limit: int) -> bytes:
    """A small file: from the cache when the revision is a commit, which never changes, else from the Hub."""
    if _COMMIT.match(reference.revision):
        cached = _cached(reference, name)
        if cached and cached.stat().st_size <= limit:
            return cached.read_bytes()
    url, asked = _request(reference, name)
    return read(url, asked, what=f"{reference}: {name}", limit=limit, first=-1)


def _request(reference: Reference, name: str) -> tuple[str, dict[str, str]]:
    """The address of a file and the headers that carry the user's token."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415  heavy, and only for references to the Hub

    url = hf_hub_url(reference.repository, name, revision=reference.revision)
    asked: dict[str, str] = _utils().build_hf_headers(library_name="moesize")
    return url, asked


def _keep(reference: Reference, name: str) -> None:
    """Lets huggingface_hub put a file that has just been read whole into its cache; that is a favour, not a need."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    utils = _utils()
    quiet = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        hf_hub_download(reference.repository, name, revision=reference.revision, library_name="moesize")
    except Exception:  # noqa: BLE001, S110  the answer is already here; a full disk or a flaky server changes nothing
        pass
    finally:
        if not quiet:
            utils.enable_progress_bars()


def _commit_of(reference: Reference) -> str | None:
    """The commit the cache knows a revision as."""
    cached = _cached(reference, CONFIG)
    return cached.parent.name if cached and _COMMIT.match(cached.parent.name) else None


def _cached(reference: Reference, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    found = try_to_load_from_cache(reference.repository, name, revision=reference.revision)
    return Path(found) if isinstance(found, str) else None


def _utils() -> Any:  # noqa: ANN401  loads its members late, which no type checker sees
    from importlib import import_module  # noqa: PLC0415

    return import_module("huggingface_hub.utils")


def _forbidden() -> bool:
    """Whether `HF_HUB_OFFLINE` is set."""
    from huggingface_hub import constants  # noqa: PLC0415

    return bool(constants.HF_HUB_OFFLINE)
