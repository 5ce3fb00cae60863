"""Every error this package raises on purpose.

::

    SeracError
    ├── InvalidEditError          a field of an edit is not what it must be
    ├── SuiteError                a file of edits cannot be read (names file and line)
    ├── QueryError                no query was found in the input of a chain
    ├── ConfigError               a setting or an option is not what it must be
    ├── WeightsNotFoundError      packaged or saved weights are missing
    ├── MissingDependencyError    an extra is not installed (names the pip line); an ImportError too
    ├── TrainingError             there is too little to train on, or training failed
    ├── ScopeError                a scope classifier broke its contract
    │   └── CalibrationError      too few or unfit examples to calibrate on
    └── EditMemoryError           the edit memory cannot do what was asked
        ├── EditNotFoundError     no edit has this id; a KeyError too
        ├── DuplicateEditError    an edit with this id exists already
        ├── EncoderMismatchError  the collection was built with another encoder
        ├── MemoryLockedError     another process holds this embedded folder
        └── MemoryUnavailableError   Chroma cannot be reached; a ConnectionError too

Messages say what was expected, what came, and what to do.
"""

from __future__ import annotations


class SeracError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidEditError(SeracError):
    """A field of an edit is not what it must be. Says the field, what was expected, what came."""


class SuiteError(SeracError):
    """A file of edits cannot be read, or a line of it is not an edit.

    Attributes:
        line: 1-based number of the offending line, or None when the whole file is at fault.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class QueryError(SeracError):
    """No query was found in the input of a chain."""


class ConfigError(SeracError):
    """A setting or an option is not what it must be."""


class WeightsNotFoundError(SeracError):
    """Packaged or saved weights are missing."""


class MissingDependencyError(SeracError, ImportError):
    """An extra is not installed; the message names the pip line."""


class TrainingError(SeracError):
    """There is too little to train on, or training failed."""


class ScopeError(SeracError):
    """A scope classifier broke its contract (wrong number of scores, or one outside [0, 1])."""


class CalibrationError(ScopeError):
    """Too few or unfit examples to calibrate a threshold on."""


class EditMemoryError(SeracError):
    """The edit memory cannot do what was asked."""


class EditNotFoundError(EditMemoryError, KeyError):
    """No edit has this id."""

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class DuplicateEditError(EditMemoryError):
    """An edit with this id exists already."""


class EncoderMismatchError(EditMemoryError):
    """The collection was built with another encoder than the one given."""


class MemoryLockedError(EditMemoryError):
    """Another process holds this embedded folder."""


class MemoryUnavailableError(EditMemoryError, ConnectionError):
    """Chroma cannot be reached, or its store cannot be opened."""
