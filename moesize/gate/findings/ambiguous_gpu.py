"""A GPU name stands for cards of several memory sizes.

`A100` is 40 or 80 GB, `H100` 80 or 94 GB, by vendor, cloud and form factor. Every size is judged. Where it fits on
some and not on others the deployment is undecided; where all agree this is a note.

The way out: a name with its size (`A100-80GB`, `nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB`), a memory label,
the annotation `moesize.dev/gpu`, or an entry in the policy's `[pools]`.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "ambiguous-gpu"
LEVEL = Level.UNDECIDED


def check(case: Case) -> Iterator[Finding]:
    """One finding per name that stands for several sizes."""
    by_name: dict[str, list[Option]] = {}
    for option in case.options:
        if option.several and option.choice:
            by_name.setdefault(option.choice.name.value, []).append(option)
    for name, options in by_name.items():
        outcomes = ", ".join(f"{o.gpu.name}: {o.verdict}" for o in options if o.gpu)
        text = f"{name} stands for several cards ({outcomes})"
        help_text = "name the card with its memory, as in A100-80GB"
        where = place(case, options[0].choice.name if options[0].choice else None)
        yield Finding(ID, LEVEL if case.sizes_disagree else Level.NOTE, text, help_text, where)
