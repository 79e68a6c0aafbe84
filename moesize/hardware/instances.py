"""Cloud instances: which GPUs they hold, what they cost where and when, and the user's own prices.

Prices are dated list prices from `gpu_specs/instances/<cloud>.yaml`; a file given with `--prices` replaces them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from moesize.data import data_dir, read_yaml
from moesize.errors import InputError, UnknownNameError, printable
from moesize.hardware import catalogue
from moesize.hardware.gpu import GpuSpec, fraction_of, load_gpu
from moesize.hardware.spec_file import SpecMap

_MAX_GPUS = 1_000_000
_DEFAULTS = frozenset({"region", "date", "kind", "price_source", "spec_source"})
_COLUMNS = _DEFAULTS | {"name", "gpu", "count", "fraction", "vcpus", "host_ram_gib", "usd_per_hour", "note"}
_COUNT_FIRST = re.compile(r"\s*(\d+)\s*[x×*]\s*(?=\S)(.+)", re.IGNORECASE)
_COUNT_LAST = re.compile(r"(.+?)\s*(?::|\s[x×*]|[×*])\s*(\d+)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type of one cloud.

    Attributes:
        gpu_fraction: share of a GPU each of its devices is (vGPU), 1 for whole ones.
        usd_per_hour: price of the whole instance; None when no list price is public.
        price_kind: what the price buys, e.g. `on-demand, Linux`.
        price_date: day of the price list, or its year.
    """

    name: str
    cloud: str
    gpu_id: str
    gpu_count: int
    gpu_fraction: Fraction
    vcpus: int | None
    host_ram_gib: float | None
    usd_per_hour: float | None
    price_kind: str | None
    price_region: str | None
    price_date: str | None
    price_source: str | None
    spec_source: str
    note: str | None


def load_instance(name: str) -> Instance:
    """The instance type of a name, in any case, with or without SageMaker's `ml.`.

    Raises:
        UnknownNameError: no cloud has it; names the nearest.
    """
    for candidate in (name, name.strip().lower().removeprefix("ml.")):
        cloud = catalogue.instance_cloud(candidate)
        if cloud is not None:
            key = catalogue.normalise(candidate)
            return next(found for found in _cloud(cloud) if catalogue.normalise(found.name) == key)
    raise UnknownNameError("instance", name, [found.name.lower() for found in list_instances()])


def list_instances() -> tuple[Instance, ...]:
    """Every instance type, by cloud and name."""
    paths = sorted((data_dir("gpu_specs") / "instances").glob("*.yaml"))
    return tuple(found for path in paths for found in sorted(_cloud(path.stem), key=lambda i: i.name))


def find_instances(gpu_id: str) -> tuple[Instance, ...]:
    """The instance types that hold a GPU, whole or in part."""
    return tuple(found for found in list_instances() if found.gpu_id == gpu_id)


def cheapest(gpu_id: str, count: int, prices: Mapping[str, float] | None = None) -> Instance | None:
    """The cheapest single instance with at least `count` whole GPUs of an id; None when none with a price has.

    `prices` (instance name -> USD per hour, from `read_prices`) replaces the list prices it names.

    Raises:
        InputError: a count below 1.
    """
    if count < 1:
        raise InputError(f"{count} GPUs: the number of GPUs is at least 1")
    priced = [
        (found.usd_per_hour, found.gpu_count, found.name, found)
        for found in (priced_by(instance, prices) for instance in find_instances(gpu_id))
        if found.usd_per_hour is not None and found.gpu_fraction == 1 and found.gpu_count >= count
    ]
    return min(priced, key=lambda entry: entry[:3])[3] if priced else None


def priced_by(instance: Instance, prices: Mapping[str, float] | None) -> Instance:
    """`instance` at the user's price, where `prices` has one."""
    if not prices or instance.name not in prices:
        return instance
    return replace(
        instance,
        usd_per_hour=prices[instance.name],
        price_kind="your price",
        price_region=None,
        price_date=None,
        price_source=None,
    )


def read_prices(path: Path) -> dict[str, float]:
    """The user's prices in USD per hour by instance name: a YAML mapping, or CSV lines `instance,usd_per_hour`.

    Raises:
        InputError: unreadable, not two columns, or not a price; names file and line or key.
        UnknownNameError: an instance no cloud has.
    """
    entries = _csv_prices(path) if path.suffix.lower() == ".csv" else list(read_yaml(path).items())
    prices: dict[str, float] = {}
    for key, value in entries:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise InputError(
                f"{path}: the price of {printable(str(key))} is {printable(repr(value))}, not USD per hour"
            )
        prices[load_instance(str(key)).name] = float(value)
    if not prices:
        raise InputError(f"{path} holds no prices")
    return prices


def resolve_hardware(text: str) -> tuple[GpuSpec, int]:
    """GPUs and their number: `A10G`, `2x A10G`, `H100:8`, `g5.12xlarge`, `2x g5.12xlarge`, `24GiB`.

    Raises:
        InputError: a name several GPUs share, or an impossible number.
        UnknownNameError: neither a GPU nor an instance; names the nearest of both.
    """
    count, name = _split_count(text)
    if catalogue.instance_cloud(name) or catalogue.instance_cloud(name.strip().lower().removeprefix("ml.")):
        instance = load_instance(name)
        return fraction_of(load_gpu(instance.gpu_id), instance.gpu_fraction), count * instance.gpu_count
    try:
        return load_gpu(name), count
    except UnknownNameError as error:
        if any(c in name for c in "._") and not error.near:
            load_instance(name)
        raise


def _split_count(text: str) -> tuple[int, str]:
    if match := _COUNT_FIRST.fullmatch(text):
        number, name = match[1], match[2]
    elif match := _COUNT_LAST.fullmatch(text):
        number, name = match[2], match[1]
    else:
        return 1, text
    # int() refuses numbers of thousands of digits with an error of its own
    if len(number) > 9 or not 1 <= int(number) <= _MAX_GPUS:
        raise InputError(f"{printable(text)!r}: the number of GPUs is 1 to {_MAX_GPUS}")
    return int(number), name


def _csv_prices(path: Path) -> list[tuple[str, Any]]:
    import csv  # noqa: PLC0415  only a price file needs it

    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(n, row) for n, row in enumerate(csv.reader(file), start=1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    entries: list[tuple[str, Any]] = []
    for n, row in rows:
        if len(row) != 2:
            raise InputError(f"{path} line {n} has {len(row)} columns, expected instance,usd_per_hour")
        name, price = row[0].strip(), row[1].strip()
        if n == rows[0][0] and name.lower() == "instance":
            continue
        try:
            entries.append((name, float(price)))
        except ValueError:
            raise InputError(f"{path} line {n}: {printable(price)!r} is no price in USD per hour") from None
    return entries


@cache
def _cloud(cloud: str) -> tuple[Instance, ...]:
    path = data_dir("gpu_specs") / "instances" / f"{cloud}.yaml"
    top = SpecMap(read_yaml(path), path.name)
    top.only({"cloud", "currency", "defaults", "instances"})
    top.one_of("cloud", (cloud,))
    top.one_of("currency", ("USD",))
    defaults = top.map("defaults", optional=True)
    defaults.only(_DEFAULTS)
    return tuple(
        _instance(cloud, SpecMap({**defaults.values, **row.values}, row.where)) for row in top.maps("instances")
    )


def _instance(cloud: str, row: SpecMap) -> Instance:
    row.only(_COLUMNS)
    try:
        fraction = Fraction(row.text("fraction")) if "fraction" in row.values else Fraction(1)
    except (ValueError, ZeroDivisionError):
        row.fail("fraction", "is not written like '1/8'")
    price = row.number("usd_per_hour", optional=True)
    return Instance(
        name=row.text("name"),
        cloud=cloud,
        gpu_id=row.text("gpu"),
        gpu_count=row.whole("count"),
        gpu_fraction=fraction,
        vcpus=row.count("vcpus", optional=True),
        host_ram_gib=row.number("host_ram_gib", optional=True),
        usd_per_hour=price,
        price_kind=None if price is None else row.text("kind"),
        price_region=None if price is None else row.text("region"),
        price_date=None if price is None else row.text("date"),
        price_source=None if price is None else row.text("price_source"),
        spec_source=row.text("spec_source"),
        note=row.text("note") if "note" in row.values else None,
    )
