"""Gates to measure: their branches cost nothing, and timers can be put around their parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import onnxruntime
from chromadb.api.models.Collection import Collection
from langchain_core.runnables import Runnable, RunnableConfig

from benchmarks.clock import Profile, Timer
from serac_retriever import EditMemory, Serac, Verbatim
from serac_retriever.models.encoder import PackagedEncoder
from serac_retriever.scope import LateInteractionScope, ScopeClassifier


class Silent(Runnable[Any, str]):
    """A base that costs nothing."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        """Answer."""
        return "the base"

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        """Answer, without a thread."""
        return "the base"


def gate_on(memory: EditMemory, scope: ScopeClassifier | None = None, **fields: Any) -> Serac:
    """Return a gate whose branches cost nothing: what is measured is the decision."""
    scope = scope or LateInteractionScope.packaged()
    parts = {"counterfactual": Verbatim(), "output": "text", "on_error": "raise", **fields}
    return Serac(base=Silent(), memory=memory, scope=scope, **parts)


@contextmanager
def profiled(scope: ScopeClassifier, timer: Timer = perf_counter) -> Iterator[Profile]:
    """Put timers around the parts that the gate calls."""
    profile = Profile(timer)
    with profile.around(
        (EditMemory, "embed", "embed"),
        (EditMemory, "nearest", "retrieve"),
        (Collection, "query", "chroma"),
        (type(scope), "judge", "scope"),
        (PackagedEncoder, "token_states", "states"),
        (onnxruntime.InferenceSession, "run", "onnx"),
        (Silent, "invoke", "base"),
        (Verbatim, "invoke", "base"),
    ):
        yield profile
