"""One copy costs more by the hour than the policy allows.

`max-price` is in USD an hour for all GPUs of one copy, at the dated list price of the stated instance, or of the
cheapest equal instances that hold the GPUs where none is stated. A GPU no priced instance holds is not judged.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import on_gpus, place
from moesize.gate.findings.base import Finding, Level
from moesize.units import ceil_div

ID = "too-expensive"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU that costs too much."""
    ceiling = case.demands.max_usd_per_hour
    for option in case.options if ceiling is not None else ():
        price = _price(option)
        if price is None or ceiling is None or price[0] <= ceiling:
            continue
        text = f"{on_gpus(option)} cost {price[0]:.2f} USD an hour ({price[1]}); the policy allows {ceiling:.2f}"
        where = place(case, option.choice.name if option.choice else None)
        yield Finding(ID, LEVEL, text, "`moesize plan --max-price` finds layouts within a price", where)


def _price(option: Option) -> tuple[float, str] | None:
    """USD an hour of one copy, and what is rented."""
    gpus = option.gpus_given or option.gpus_needed
    if option.gpu is None or not gpus:
        return None
    if option.choice is not None and option.choice.by == "instance":
        from moesize.hardware.instances import load_instance  # noqa: PLC0415  reads a file per cloud

        instance = load_instance(option.choice.name.value)
        if instance.usd_per_hour is None:
            return None
        nodes = ceil_div(gpus, instance.gpu_count)
        return nodes * instance.usd_per_hour, f"{nodes}× {instance.name}"
    from moesize.hardware.rental import cheapest_rental  # noqa: PLC0415  reads every cloud's list

    rental = cheapest_rental(option.gpu.id, gpus)
    return (rental.usd_per_hour, str(rental)) if rental else None
