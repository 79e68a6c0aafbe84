"""Files that are written: whole or not at all, by one process or by many."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write `text` to a file in one step; one that is there keeps its permissions, and its content until then.

    A link is followed; a device or a pipe is written into. What UTF-8 cannot hold becomes `?`.

    Raises:
        OSError: it cannot be written; an older file is then as it was.
        ValueError: no path can be called so.
    """
    if path.exists() and not path.is_file():  # a folder is refused by the opening
        with path.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return
    import tempfile  # noqa: PLC0415  few commands write a file

    target = path.resolve() if path.is_symlink() else path
    handle, name = tempfile.mkstemp(prefix=".moesize.", dir=target.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        new.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
