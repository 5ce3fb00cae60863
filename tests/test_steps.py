"""A plan is written once; carrying it out with and without an event loop gives the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.runnables import RunnableLambda

from serac_retriever.steps import Call, Plan, Work, carry_out, carry_out_async, children, traced
from tests.gate.parts import Listener


def carry_out_in_a_loop(plan: Plan[Any]) -> Any:
    return asyncio.run(carry_out_async(plan))


both = pytest.mark.parametrize("do", [carry_out, carry_out_in_a_loop])
Do = Callable[[Plan[Any]], Any]


def halve(number: int) -> float:
    if number == 0:
        raise ValueError("nothing to halve")
    return number / 2


class Batchless(RunnableLambda[Any, Any]):
    """Its batches fail as a whole, or are one short."""

    short = False

    def batch(self, inputs: Any, *_: Any, **__: Any) -> list[Any]:
        if not self.short:
            raise OSError("the batch is lost")
        return [*inputs[1:]]

    async def abatch(self, inputs: Any, *_: Any, **__: Any) -> list[Any]:
        return self.batch(inputs)


@both
@pytest.mark.parametrize("short", [False, True])
def test_a_batch_that_fails_as_a_whole_fails_for_each_input(do: Do, short: bool) -> None:
    runnable = Batchless(halve)
    runnable.short = short

    def plan() -> Plan[list[Any]]:
        return (yield Call(runnable, [4, 6], [{}, {}]))

    results = do(plan())
    assert [type(result) for result in results] == [ValueError if short else OSError] * 2


@both
def test_a_plan_gets_each_result_and_its_return_value_is_the_outcome(do: Do) -> None:
    def plan() -> Plan[list[Any]]:
        first = yield Work(lambda: 1)
        second = yield Call(RunnableLambda(halve), [4, 6], [{}, {}])
        return [first, *second]

    assert do(plan()) == [1, 2.0, 3.0]


@both
def test_a_plan_without_steps_just_returns(do: Do) -> None:
    def plan() -> Plan[str]:
        return "done"
        yield Work(lambda: None)

    assert do(plan()) == "done"


@both
def test_what_work_raises_is_raised_inside_the_plan_which_may_go_on(do: Do) -> None:
    def plan() -> Plan[Any]:
        try:
            yield Work(lambda: halve(0))
        except ValueError as error:
            told = yield Work(error.__str__)
            return told

    assert do(plan()) == "nothing to halve"


@both
def test_what_a_plan_does_not_catch_is_raised(do: Do) -> None:
    def plan() -> Plan[None]:
        yield Work(lambda: halve(0))

    with pytest.raises(ValueError, match="nothing to halve"):
        do(plan())


@both
@pytest.mark.parametrize("numbers", [[], [0], [4], [4, 0, 6]])
def test_a_call_returns_failures_in_their_places(do: Do, numbers: list[int]) -> None:
    def plan() -> Plan[list[Any]]:
        results = yield Call(RunnableLambda(halve), numbers, [{} for _ in numbers])
        return [*results]

    results = do(plan())
    assert [r if isinstance(r, float) else type(r) for r in results] == [
        number / 2 if number else ValueError for number in numbers
    ]


@both
def test_a_call_passes_its_arguments_on(do: Do) -> None:
    base = RunnableLambda(lambda number, *, times: number * times)

    def plan() -> Plan[list[Any]]:
        one = yield Call(base, [2], [{}], {"times": 3})
        two = yield Call(base, [2, 3], [{}, {}], {"times": 3})
        return [*one, *two]

    assert do(plan()) == [6, 6, 9]


async def test_work_does_not_block_the_event_loop() -> None:
    released = threading.Event()

    def plan() -> Plan[bool]:
        waited = yield Work(lambda: released.wait(10))
        return bool(waited)

    waiting = asyncio.create_task(carry_out_async(plan()))
    await asyncio.sleep(0)
    released.set()  # reached only because the loop is free
    assert await waiting


def manager(listener: Listener) -> Any:
    return CallbackManager([listener], inheritable_handlers=[listener]).on_chain_start(
        None, "asked", name="outer"
    )


def test_a_traced_step_is_a_child_run_of_each_item() -> None:
    listeners = [Listener(), Listener()]
    runs = [manager(listener) for listener in listeners]
    with traced("step", ["a", "b"], runs) as results:
        results += [1, 2]
    assert [listener.names for listener in listeners] == [["outer", "step"]] * 2
    assert listeners[0].parents["step"] == "outer"


def test_a_failing_step_is_reported_to_its_runs_and_raised() -> None:
    listener = Listener()
    with pytest.raises(ValueError), traced("step", ["a"], [manager(listener)]):
        halve(0)
    assert [type(error) for error in listener.errors] == [ValueError]


def test_a_step_that_nobody_listens_to_is_carried_out_all_the_same() -> None:
    with traced("step", ["a"], [None]) as results:
        results.append(1)
    assert results == [1]


def test_a_childs_tag_is_its_own_and_not_its_childrens() -> None:
    listener = Listener()
    [config] = children([{}], [manager(listener)], "mine")
    inner = RunnableLambda(halve).with_config(run_name="inner")
    (RunnableLambda(inner.invoke).with_config(run_name="child")).invoke(2, config)
    assert "mine" in listener.tags["child"]
    assert "mine" not in listener.tags["inner"]
