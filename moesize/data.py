"""Where the data that comes with moesize lies: beside the package in a checkout, inside it in a wheel."""

from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from moesize.errors import InputError, printable

DataKind = Literal["model_specs", "gpu_specs"]

#: Files of ours are below 0.2 MiB; more is none of the files that are read here.
MAX_YAML_BYTES: Final = 5 * 2**20
#: Values a file may hold, counting what each alias stands for.
MAX_YAML_VALUES: Final = 50_000


@cache
def data_dir(kind: DataKind) -> Path:
    """The folder of the model or GPU specs."""
    package = Path(__file__).resolve().parent
    inside = package / "_data" / kind
    return inside if inside.is_dir() else package.parent / kind


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping from a file of ours or of the user's.

    Raises:
        InputError: unreadable, too large, not UTF-8, not YAML, or no mapping; names file and, where known, line.
    """
    import yaml  # noqa: PLC0415  one parser, loaded when a file is read

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)
        if len(data) > MAX_YAML_BYTES:
            raise InputError(f"{path} is larger than {MAX_YAML_BYTES >> 20} MiB and cannot be such a file")
        text = data.decode("utf-8")
        if "*" in text and "&" in text:
            _refuse_bomb(text, loader, path)
        value = yaml.load(text, Loader=loader)  # noqa: S506  both loaders are safe ones
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


def _refuse_bomb(text: str, loader: Any, path: Path) -> None:  # noqa: ANN401  yaml's own
    """Refuse what aliases make larger than a file can be, before anything is built of it."""
    import yaml  # noqa: PLC0415

    total, below, anchors = 0, list[tuple[str | None, int]](), dict[str, int]()
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            total += 1
            below.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = below.pop()
            if anchor:
                anchors[anchor] = total - before + 1
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                anchors[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            name, mark = str(event.anchor), event.start_mark
            if name not in anchors:  # known once its value is complete
                place = f"{path} line {mark.line + 1}" if mark else str(path)
                raise InputError(f"{place}: alias *{printable(name, 40)} stands for nothing complete above it")
            total += anchors[name]
        if total > MAX_YAML_VALUES:
            raise InputError(f"{path}: its aliases stand for more than {MAX_YAML_VALUES:,} values")
