"""`CheckReport`: the answer as a pydantic model, for those who call moesize from Python or read its JSON."""

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, RootModel

from moesize.results import CheckResult


class _Report(RootModel[CheckResult]):
    """The model; its root is the result, whose fields are its own."""

    model_config = ConfigDict(frozen=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the result's own fields, typed for checkers below
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.root, name)


if TYPE_CHECKING:

    class CheckReport(CheckResult, _Report):  # type: ignore[misc]  # `schema` is a key of ours, not pydantic's old method
        """What `check()` returns: a pydantic model with the fields of `CheckResult`."""

else:

    class CheckReport(_Report):
        """What `check()` returns: a pydantic model with the fields of `CheckResult`."""
