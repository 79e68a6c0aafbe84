"""Lists on the command line: comma-separated names, `all`, and one of a few words."""

from moesize.cli.progress import Bar
from moesize.errors import InputError, printable
from moesize.hardware.gpu import GpuSpec, load_gpu, served_gpus
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec


def names(text: str) -> list[str]:
    """The names of a comma-separated list.

    Raises:
        InputError: no name at all.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise InputError(f"{printable(text)!r} names nothing")
    return list(dict.fromkeys(found))


def gpu_list(text: str) -> list[GpuSpec]:
    """The GPUs of a comma-separated list; `all` is every NVIDIA and AMD card of the catalogue but boards for the edge.

    Raises:
        MoesizeError: a name no GPU has, or one several have.
    """
    wanted = names(text)
    if wanted == ["all"]:
        return served_gpus()
    return [load_gpu(name) for name in wanted]


def loaded(model: str, *, offline: bool, family: str | None = None) -> ModelSpec:
    """The model of a reference, with a bar while a Hub is asked.

    Raises:
        MoesizeError: what `load_model` says of it.
    """
    with Bar(f"reading {printable(model)}"):
        return load_model(model, offline=offline, family=family)
