"""Patch what a LangChain application says, in seconds, without touching its model (SERAC)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serac_retriever.counterfactual import CounterfactualModel, Prompted, Seq2Seq, Verbatim
    from serac_retriever.edit import Candidate, Decision, Edit, Example
    from serac_retriever.errors import SeracError
    from serac_retriever.gate import Serac
    from serac_retriever.memory import EditMemory, EditRetriever
    from serac_retriever.scope import CrossEncoderScope, EmbeddingScope, ScopeClassifier
    from serac_retriever.suites import read_suite, write_suite

_HOMES = {
    "counterfactual": ("CounterfactualModel", "Prompted", "Seq2Seq", "Verbatim"),
    "edit": ("Candidate", "Decision", "Edit", "Example"),
    "errors": ("SeracError",),
    "gate": ("Serac",),
    "memory": ("EditMemory", "EditRetriever"),
    "scope": ("CrossEncoderScope", "EmbeddingScope", "ScopeClassifier"),
    "suites": ("read_suite", "write_suite"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_HOME_OF)  # noqa: PLE0605  (a list of strings, only not a literal one)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
