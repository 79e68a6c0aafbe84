"""The public functions: those of `sizing`, with pydantic models for results."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from moesize.report_model import CheckReport
from moesize.results import CheckResult
from moesize.sizing import size

P = ParamSpec("P")


def _as_report(function: Callable[P, CheckResult]) -> Callable[P, CheckReport]:
    """The same function, its result as a pydantic model."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> CheckReport:
        return CheckReport.model_construct(root=function(*args, **kwargs))

    return wrapped


check = _as_report(size)
