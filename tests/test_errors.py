"""The tree of errors is the one its module draws, and reads well."""

from __future__ import annotations

import inspect
import re

import pytest

from serac_retriever import errors
from serac_retriever.errors import EditNotFoundError, SeracError, SuiteError

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, SeracError)
}


def drawn() -> dict[str, str]:
    """Return each class in the docstring's tree with the class above it."""
    above: dict[int, str] = {}
    parents: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)(\w+Error)\b", line):
            depth = len(found[1])
            above[depth] = found[2]
            parents[found[2]] = above[max((d for d in above if d < depth), default=depth)]
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    assert drawn() == {
        name: name if found is SeracError else found.__mro__[1].__name__
        for name, found in CLASSES.items()
    }


def test_every_error_says_when_it_is_raised() -> None:
    assert all(found.__doc__ and found.__doc__.strip() for found in CLASSES.values())


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        ("EditNotFoundError", KeyError),
        ("MissingDependencyError", ImportError),
        ("MemoryUnavailableError", ConnectionError),
    ],
)
def test_people_may_catch_the_builtin_they_know(ours: str, builtin: type[Exception]) -> None:
    assert issubclass(CLASSES[ours], builtin)


def test_a_key_error_s_message_is_not_shown_as_a_repr() -> None:
    assert str(EditNotFoundError("No edit 'x'.")) == "No edit 'x'."


def test_a_suite_error_knows_its_line() -> None:
    assert SuiteError("bad", line=3).line == 3
    assert SuiteError("bad").line is None
