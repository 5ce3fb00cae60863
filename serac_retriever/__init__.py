"""Patch what a LangChain application says, in seconds, without touching its model (SERAC)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serac_retriever.counterfactual import (
        CounterfactualModel,
        Prompted,
        Reader,
        Seq2Seq,
        Verbatim,
    )
    from serac_retriever.edit import Candidate, Decision, Edit, Example
    from serac_retriever.errors import SeracError
    from serac_retriever.gate import Serac
    from serac_retriever.memory import EditMemory, EditRetriever
    from serac_retriever.scope import (
        CrossEncoderScope,
        EmbeddingScope,
        LateInteractionScope,
        PromptedScope,
        ScopeClassifier,
    )
    from serac_retriever.suites import read_suite, write_suite

__version__ = "0.1.0"
# fmt: off
__all__ = [
    "Candidate", "CounterfactualModel", "CrossEncoderScope", "Decision", "Edit", "EditMemory",
    "EditRetriever", "EmbeddingScope", "Example", "LateInteractionScope", "Prompted",
    "PromptedScope", "Reader", "ScopeClassifier", "Seq2Seq", "Serac", "SeracError", "Verbatim",
    "read_suite", "write_suite",
]
# fmt: on
_HOMES = ("edit", "errors", "suites", "scope", "counterfactual", "memory", "gate")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: some of their homes are heavy."""
    if name in __all__:
        for home in _HOMES:  # lightest first
            module = import_module(f"{__name__}.{home}")
            if name in getattr(module, "__all__", vars(module)):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
