"""Where the data that comes with moesize lies: beside the package in a checkout, inside it in a wheel."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from moesize.errors import InputError, printable

DataKind = Literal["model_specs", "gpu_specs"]


@cache
def data_dir(kind: DataKind) -> Path:
    """The folder of the model or GPU specs."""
    package = Path(__file__).resolve().parent
    inside = package / "_data" / kind
    return inside if inside.is_dir() else package.parent / kind


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping from a file of ours or of the user's.

    Raises:
        InputError: unreadable, not UTF-8, not YAML, or not a mapping; names the file and, where known, the line.
    """
    import yaml  # noqa: PLC0415  one parser, loaded when a file is read

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(path.read_bytes().decode("utf-8"), Loader=loader)  # noqa: S506  both loaders are safe ones
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or type(error).__name__
        raise InputError(f"{path}{line} is not valid YAML: {printable(str(why))}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no mapping at its top level")
    return value
