"""Lists on the command line: comma-separated names, `all`, and one of a few words."""

from moesize.errors import InputError
from moesize.hardware.gpu import GpuSpec, list_gpus, load_gpu

#: Vendors whose cards serving engines run on by the rules moesize knows; others are sized when they are named.
_SERVED_VENDORS = ("nvidia", "amd")


def names(text: str) -> list[str]:
    """The names of a comma-separated list.

    Raises:
        InputError: no name at all.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise InputError(f"{text!r} names nothing")
    return list(dict.fromkeys(found))


def gpu_list(text: str) -> list[GpuSpec]:
    """The GPUs of a comma-separated list; `all` is every NVIDIA and AMD card of the catalogue but boards for the edge.

    Raises:
        MoesizeError: a name no GPU has, or one several have.
    """
    wanted = names(text)
    if wanted == ["all"]:
        return [gpu for gpu in map(load_gpu, list_gpus()) if gpu.vendor in _SERVED_VENDORS and gpu.category != "edge"]
    return [load_gpu(name) for name in wanted]
