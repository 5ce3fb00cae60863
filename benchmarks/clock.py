"""Measuring: sides in turn within one loop, timers around parts, and on what machine."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np

WARM_UP = 5  # rounds whose times do not count
PACKAGES = ("serac-retriever", "chromadb", "onnxruntime", "numpy", "torch", "langchain-core")
Doing = Callable[[Any], object]
Timer = Callable[[], float]


def alternate(
    rounds: Sequence[Sequence[Any]],
    *sides: Doing,
    warm_up: int = WARM_UP,
    timer: Timer = perf_counter,
) -> list[list[float]]:
    """Time the sides in turn, so that whatever else the machine does hits all alike.

    Args:
        rounds: For each round what each side is called with.
        sides: What is timed; who goes first changes every round.
        warm_up: Rounds at the beginning that do not count.
        timer: Tells seconds: the wall clock's, or ``process_time`` on a machine that is busy.

    Returns:
        Milliseconds, for each side one a round.
    """
    spent: list[list[float]] = [[] for _ in sides]
    for number, given in enumerate(rounds):
        for turn in range(len(sides)):
            side = (turn + number) % len(sides)
            began = timer()
            sides[side](given[side])
            if number >= warm_up:
                spent[side].append((timer() - began) * 1000)
    return spent


def summary(ms: Sequence[float]) -> dict[str, float]:
    """Return median, 95th and 99th percentile, and how many there were."""
    p50, p95, p99 = np.percentile(ms, [50, 95, 99]) if len(ms) else (np.nan,) * 3
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "n": len(ms)}


class Profile:
    """Where the time of a call goes: timers around the parts' public doors, from outside.

    A timer counts what is spent under it and under no timer within, so the parts add up. Its name
    is the way to it: ``scope/states/onnx`` is an onnxruntime run for token states for the scope.

    Example:
        >>> class Part:
        ...     def work(self):
        ...         return sum(range(100))
        >>> profile = Profile()
        >>> with profile.around((Part, "work", "part")):
        ...     _ = profile.call(Part().work)
        >>> sorted(profile.calls[0])
        ['', 'part']
    """

    def __init__(self, timer: Timer = perf_counter) -> None:
        self.timer = timer
        self.calls: list[dict[str, float]] = []
        self._now: defaultdict[str, float] = defaultdict(float)
        self._open: list[list[Any]] = []

    @contextmanager
    def around(self, *doors: tuple[type, str, str]) -> Iterator[None]:
        """Put timers around methods, given as (class, method, name), for as long as it lasts."""
        with ExitStack() as patches:
            for owner, method, name in doors:
                timed = self._timed(getattr(owner, method), name)
                patches.enter_context(mock.patch.object(owner, method, timed))
            yield

    def call(self, function: Callable[[], object]) -> None:
        """Call something and keep where its time went, in milliseconds."""
        self._now.clear()
        self._timed(function, "")()
        self.calls.append({name: spent * 1000 for name, spent in self._now.items()})

    def medians(self) -> dict[str, float]:
        """Return the median milliseconds of each timer, the largest first."""
        names = {name for call in self.calls for name in call}
        found = {n: float(np.median([call.get(n, 0.0) for call in self.calls])) for n in names}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def outside(self, *parts: str) -> list[float]:
        """Return what each call spent outside of these parts."""
        return [
            sum(ms for name, ms in call.items() if not {*name.split("/")} & {*parts})
            for call in self.calls
        ]

    def _timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            way = f"{self._open[-1][0]}/{name}".lstrip("/") if self._open else name
            self._open.append([way, 0.0])
            began = self.timer()
            try:
                return function(*args, **kwargs)
            finally:
                spent = self.timer() - began
                _, within = self._open.pop()
                self._now[way] += spent - within
                if self._open:
                    self._open[-1][1] += spent

        return timed


def machine() -> dict[str, Any]:
    """Describe the machine that figures come from."""
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in about if line.startswith("model name")]
    except OSError:
        models = []
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": cores(),
        "threads": 1,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
