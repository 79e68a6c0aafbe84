"""What the shell offers after Tab: models and GPUs from their indexes, quantisations and engines by name.

Each function takes what is typed so far. Lists are completed after their last comma.
"""

from collections.abc import Iterable


def models(incomplete: str) -> list[str]:
    """Models of the catalogue; nothing where a path is typed, which the shell completes itself."""
    from moesize.model import catalogue  # noqa: PLC0415  only a Tab asks for any of these

    return _starting(incomplete, catalogue.models())


def gpus(incomplete: str) -> list[str]:
    """GPUs of the catalogue, without their vendor unless it is typed."""
    return _starting(incomplete, _gpu_names(incomplete))


def gpu_list(incomplete: str) -> list[str]:
    """GPUs, comma-separated, or `all`."""
    return _listed(incomplete, ["all", *_gpu_names(incomplete.rpartition(",")[2])])


def quants(incomplete: str) -> list[str]:
    """Weight formats."""
    return _starting(incomplete, _quant_names())


def quant_list(incomplete: str) -> list[str]:
    """Weight formats, comma-separated, `stored` or `all`."""
    return _listed(incomplete, ["all", "stored", *_quant_names()])


def engines(incomplete: str) -> list[str]:
    """Serving engines."""
    from moesize.engines import ENGINES  # noqa: PLC0415

    return _starting(incomplete, ENGINES)


def speculative(incomplete: str) -> list[str]:
    """Methods of speculative decoding."""
    from moesize.speculation import METHODS  # noqa: PLC0415

    return _starting(incomplete, METHODS)


def _gpu_names(incomplete: str) -> list[str]:
    from moesize.hardware import catalogue  # noqa: PLC0415

    ids = catalogue.all_ids()
    vendors = {gpu_id.partition("-")[0] for gpu_id in ids}
    vendor_typed = incomplete.partition("-")[0] in vendors
    return list(ids) if vendor_typed else [gpu_id.partition("-")[2] for gpu_id in ids]


def _quant_names() -> list[str]:
    from moesize.quant.catalogue import list_quants  # noqa: PLC0415

    return [quant.name for quant in list_quants()]


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    """The names that begin like what is typed; typer drops others, so case counts."""
    return sorted(name for name in names if name.startswith(incomplete))


def _listed(incomplete: str, names: Iterable[str]) -> list[str]:
    """The same for the last name of a list, less the names it has."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in _starting(last, names) if name not in taken]
