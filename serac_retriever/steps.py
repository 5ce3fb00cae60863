"""One implementation for sync and async: a plan is a generator that yields the steps it needs done.

The plan decides; :func:`carry_out` and :func:`carry_out_async` do. Neither knows about edits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_core.callbacks import CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig, patch_config
from langchain_core.runnables.config import run_in_executor

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """A function to call; beside the event loop where there is one."""

    function: Callable[[], Any]

    def run(self) -> Any:
        """Call it here."""
        return self.function()

    async def arun(self) -> Any:
        """Call it in a thread."""
        return await run_in_executor(None, self.function)


@dataclass(frozen=True)
class Call:
    """A Runnable to call on several inputs; what fails comes back as the exception."""

    runnable: Runnable[Any, Any]
    inputs: Sequence[Any]
    configs: Sequence[RunnableConfig]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[Any]:
        """Invoke it on one input, or batch it on several."""
        if not self.inputs:
            return []
        try:
            if len(self.inputs) == 1:
                return [self.runnable.invoke(self.inputs[0], self.configs[0], **self.kwargs)]
            return self._of_each(
                self.runnable.batch(
                    [*self.inputs], [*self.configs], return_exceptions=True, **self.kwargs
                )
            )
        except Exception as error:
            return [error] * len(self.inputs)

    async def arun(self) -> list[Any]:
        """Invoke it on one input, or batch it on several."""
        if not self.inputs:
            return []
        try:
            if len(self.inputs) == 1:
                return [await self.runnable.ainvoke(self.inputs[0], self.configs[0], **self.kwargs)]
            return self._of_each(
                await self.runnable.abatch(
                    [*self.inputs], [*self.configs], return_exceptions=True, **self.kwargs
                )
            )
        except Exception as error:
            return [error] * len(self.inputs)

    def _of_each(self, results: list[Any]) -> list[Any]:
        if len(results) != len(self.inputs):
            raise ValueError(
                f"Expected {len(self.inputs)} results of a batch from "
                f"{type(self.runnable).__name__}, got {len(results)}."
            )
        return results


Step = Work | Call
Plan = Generator[Step, Any, T]


def carry_out(plan: Plan[T]) -> T:
    """Do the steps of a plan, give it each result or error, and return what it returns."""
    try:
        step = next(plan)
        while True:
            try:
                result = step.run()
            except Exception as error:
                step = plan.throw(error)
            else:
                step = plan.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


async def carry_out_async(plan: Plan[T]) -> T:
    """Do the steps of a plan without blocking the event loop."""
    try:
        step = next(plan)
        while True:
            try:
                result = await step.arun()
            except Exception as error:
                step = plan.throw(error)
            else:
                step = plan.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


def children(
    configs: Sequence[RunnableConfig], runs: Sequence[CallbackManagerForChainRun | None], tag: str
) -> list[RunnableConfig]:
    """Return the configs of each run's child, which carries the tag (its own children do not)."""
    return [
        patch_config(config, callbacks=run.get_child(tag)) if run is not None else config
        for config, run in zip(configs, runs, strict=True)
    ]


@contextmanager
def traced(
    name: str, inputs: Sequence[Any], runs: Sequence[CallbackManagerForChainRun | None]
) -> Iterator[list[Any]]:
    """Show one step of a batch as a child run of each item; its results go into the list."""
    children = [
        (place, run.get_child().on_chain_start(None, inputs[place], name=name))
        for place, run in enumerate(runs)
        if run is not None and run.inheritable_handlers  # nobody listens: costs nothing
    ]
    results: list[Any] = []
    try:
        yield results
    except BaseException as error:
        for _, child in children:
            child.on_chain_error(error)
        raise
    for place, child in children:
        child.on_chain_end(results[place] if results else None)
