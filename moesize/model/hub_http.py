"""Bounded reads over HTTP with huggingface_hub's own session (its proxies, certificates, token and offline switch)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from moesize.errors import MoesizeError

#: A small file or a header that has not come by then will not; the per-read timeout is `HF_HUB_DOWNLOAD_TIMEOUT`.
DEADLINE_SECONDS: Final = 120.0
_CHUNK_BYTES: Final = 1 << 16


class HubError(MoesizeError):
    """The Hub answered, but not with the file: it is gated, missing, or damaged on the way."""


class HubUnreachableError(HubError):
    """Nobody was asked, or nobody answered."""


class NotThereError(HubError):
    """The repository is there, the file is not."""


class TooLargeError(HubError):
    """More bytes than such a file can have."""


def read(url: str, headers: dict[str, str], *, what: str, limit: int, first: int = 0) -> bytes:
    """The file at `url` from byte `first` on: all of it, or of a ranged request at most `limit` bytes.

    `first` below zero asks for the whole file, and one of more than `limit` bytes is refused.

    Raises:
        HubUnreachableError: no connection, no answer in time, offline.
        HubError: gated, missing, cut off, too large.
    """
    whole = first < 0
    asked = dict(headers)
    if not whole:
        # compressed answers have no byte positions
        asked |= {"Range": f"bytes={first}-{first + limit - 1}", "Accept-Encoding": "identity"}
    data = bytearray()
    with _opened(url, asked, what) as response:
        _refuse(response, what)
        if not whole and response.status_code != 206 and first:
            raise HubError(f"{what}: the server ignores range requests, and nothing larger is downloaded")
        expected = _content_length(response)
        if whole and expected is not None and expected > limit:
            raise TooLargeError(f"{what} has {expected} bytes, more than such a file can have ({limit})")
        deadline = time.monotonic() + DEADLINE_SECONDS
        for chunk in _chunks(response):
            data += chunk
            if len(data) > limit:
                break
            if time.monotonic() > deadline:
                raise HubUnreachableError(f"{what} did not arrive within {DEADLINE_SECONDS:.0f} s; try again later")
    if len(data) > limit:
        if whole:
            raise TooLargeError(f"{what} has more than {limit} bytes, more than such a file can have")
        del data[limit:]
    elif expected is not None and len(data) < expected and not response.headers.get("content-encoding"):
        raise HubError(f"{what} was cut off: {len(data)} of {expected} bytes arrived; try again")
    return bytes(data)


def _content_length(response: Any) -> int | None:  # noqa: ANN401  requests' or httpx's
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


@contextmanager
def _opened(url: str, headers: dict[str, str], what: str) -> Iterator[Any]:
    """The answer as it streams in; what goes wrong on the way becomes one sentence."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415  only the network needs it
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session: Any = get_session()
    # huggingface_hub 0.x brings a session of requests, later ones of httpx; both raise what HfHubHTTPError is made of.
    transport_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    try:
        if hasattr(session, "stream") and callable(session.stream):
            with session.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                yield response
        else:
            with session.get(url, headers=headers, timeout=timeout, stream=True) as response:
                yield response
    except MoesizeError:
        raise
    except (transport_error, OSError, ValueError) as error:
        raise _as_sentence(error, what, timeout) from None


def _as_sentence(error: Exception, what: str, timeout: float) -> HubError:
    kind = type(error).__name__
    if kind == "OfflineModeIsEnabled":
        return HubUnreachableError(f"{what} is not cached here, and HF_HUB_OFFLINE forbids asking for it")
    if "Timeout" in kind or "Read timed out" in str(error):  # requests wraps one that comes late in a ConnectionError
        return HubUnreachableError(f"{what}: the server did not answer within {timeout:g} s; try again later")
    if "RemoteProtocol" in kind or "IncompleteRead" in kind or "ChunkedEncoding" in kind:
        return HubError(f"{what} was cut off on the way; try again")
    if "Redirect" in kind:
        return HubError(f"{what}: the server redirects in circles")
    return HubUnreachableError(f"{what} cannot be reached ({kind}); check the network, a proxy or HF_ENDPOINT")


def _chunks(response: Any) -> Iterator[bytes]:  # noqa: ANN401  requests' or httpx's
    chunks: Iterator[bytes]
    if hasattr(response, "iter_bytes"):
        chunks = response.iter_bytes(_CHUNK_BYTES)
    else:
        chunks = response.iter_content(_CHUNK_BYTES)
    return chunks


def _refuse(response: Any, what: str) -> None:  # noqa: ANN401  requests' or httpx's
    """What the Hub says in place of the file: its `X-Error-Code` header first, then the status."""
    status: int = response.status_code
    if status < 300:
        return
    code = response.headers.get("X-Error-Code", "")
    repository = what.partition(": ")[0].partition("@")[0]
    if code == "GatedRepo":
        raise HubError(
            f"{repository} is gated: ask for access at https://huggingface.co/{repository}, then log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    if code == "EntryNotFound" or (status == 404 and not code):
        raise NotThereError(f"{what} is not there")
    if code == "RevisionNotFound":
        raise HubError(f"{what.partition(': ')[0]} has no such revision")
    if code == "RepoNotFound" or status == 401:
        raise HubError(
            f"there is no model {repository} on the Hub, or it is private: check its name, or `hf auth login`"
        )
    if status == 403:
        raise HubError(f"{what}: access is forbidden; your token may lack the permission")
    if status == 416:
        raise HubError(f"{what} is cut off: the server has no such bytes of it")
    if status == 429:
        raise HubUnreachableError(f"{what}: the Hub's rate limit is reached; wait, or log in with `hf auth login`")
    raise HubUnreachableError(f"{what}: the server answered {status}; try again later")
