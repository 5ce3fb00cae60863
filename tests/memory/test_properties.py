"""Whatever is done to it, in whatever order, the memory agrees with a plain dict."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serac_retriever import Edit
from serac_retriever.errors import DuplicateEditError, EditNotFoundError, SuiteError
from serac_retriever.memory import EditMemory
from tests.chroma_server import ChromaServer
from tests.encoders import WordEncoder

texts = st.lists(
    st.sampled_from(["who", "leads", "wrote", "Emma", "France", "🙂", "東京", "\x07", "?", "''"]),
    min_size=1,
    max_size=6,
).map(" ".join) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
statuses = st.sampled_from(["draft", "active", "retired"])
moments = st.sampled_from([None, "2001-01-01", "2999-01-01"])
ids = st.sampled_from([f"edit-{n}" for n in range(6)])
fields = st.fixed_dictionaries(
    {},
    optional={
        "target": texts,
        "status": statuses,
        "valid_until": moments,
        "author": st.none() | texts,
        "tags": st.lists(texts, max_size=2).map(tuple),
        "metadata": st.dictionaries(st.sampled_from(["team", "rank"]), texts | st.integers(0, 9)),
    },
)


class MemoryMachine(RuleBasedStateMachine):
    """Does the same to a memory and to a dict of edits, and compares them after every step."""

    open: Callable[[str], EditMemory]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"edits-{uuid.uuid4().hex[:12]}"
        self.memory = self.open(self.name)
        self.model: dict[str, Edit] = {}

    def teardown(self) -> None:
        for name in (self.name, f"{self.name}-inactive"):
            self.memory.client.delete_collection(name)
        self.memory.close()

    @rule(id=ids, prompt=texts, answer=texts, given=fields)
    def add(self, id: str, prompt: str, answer: str, given: dict[str, Any]) -> None:
        edit = Edit.model_validate({"id": id, "prompt": prompt, "target": answer, **given})
        if id in self.model:
            with pytest.raises(DuplicateEditError):
                self.memory.add(edit)
        else:
            assert self.memory.add(edit) == edit
            self.model[id] = edit

    @rule(id=ids, prompt=st.none() | texts, given=fields)
    def update(self, id: str, prompt: str | None, given: dict[str, Any]) -> None:
        changes = {**given, **({"prompt": prompt} if prompt else {})}
        if id in self.model:
            self.model[id] = self.memory.update(id, **changes)
            assert {name: getattr(self.model[id], name) for name in changes} == {
                name: getattr(Edit.model_validate({"prompt": "a", "target": "b", **changes}), name)
                for name in changes
            }
        else:
            with pytest.raises(EditNotFoundError):
                self.memory.update(id, **changes)

    @rule(id=ids, verb=st.sampled_from(["retire", "restore"]))
    def retire_or_restore(self, id: str, verb: str) -> None:
        status = {"retire": "retired", "restore": "active"}[verb]
        if id in self.model:
            old, self.model[id] = self.model[id], getattr(self.memory, verb)(id)
            assert self.model[id].same_as(old.revised(status=status))
            assert self.model[id].version == old.version + 1
        else:
            with pytest.raises(EditNotFoundError):
                getattr(self.memory, verb)(id)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        if id in self.model:
            self.memory.delete(id)
            del self.model[id]
        else:
            with pytest.raises(EditNotFoundError):
                self.memory.delete(id)

    @rule(
        rows=st.lists(st.tuples(ids, texts, texts, statuses), max_size=6),
        replace=st.booleans(),
        on_error=st.sampled_from(["abort", "skip"]),
    )
    def add_many(self, rows: list[tuple[str, str, str, str]], replace: bool, on_error: Any) -> None:
        edits = [Edit(id=i, prompt=p, target=t, status=s) for i, p, t, s in rows]
        first: dict[str, Edit] = {}
        faults = 0
        for edit in edits:
            faults += not first.setdefault(edit.id, edit).same_as(edit)
        known = {id: edit for id, edit in first.items() if id in self.model}
        changed = {id: edit for id, edit in known.items() if not edit.same_as(self.model[id])}
        faults += 0 if replace else len(changed)
        if faults and on_error == "abort":
            with pytest.raises(SuiteError):
                self.memory.add_many(edits, replace=replace)
            return
        report = self.memory.add_many(edits, replace=replace, on_error=on_error)
        assert len(report.failures) == faults
        assert set(report.added) == first.keys() - known.keys()
        assert set(report.unchanged) == known.keys() - changed.keys()
        assert set(report.replaced) == (changed.keys() if replace else set())
        for id in report.added:
            self.model[id] = first[id]
        for id in report.replaced:
            old, self.model[id] = self.model[id], self.memory.get(id)
            assert self.model[id].same_as(first[id])
            assert self.model[id].version == old.version + 1

    @rule()
    def open_again(self) -> None:
        self.memory.close()
        self.memory = self.open(self.name)

    @rule()
    def reindex(self) -> None:
        self.memory.reindex()

    @rule(id=ids, prompt=texts, answer=texts)
    def a_stock_client_adds(self, id: str, prompt: str, answer: str) -> None:
        if id not in self.model:
            self.memory.collection.add(ids=[id], documents=[prompt], metadatas=[{"target": answer}])
            self.model[id] = Edit(
                id=id, prompt=prompt, target=answer, created_at=None, updated_at=None
            )

    @precondition(lambda self: any(edit.status == "active" for edit in self.model.values()))
    @rule(data=st.data(), answer=texts, delete=st.booleans())
    def a_stock_client_changes_or_deletes(self, data: Any, answer: str, delete: bool) -> None:
        id = data.draw(
            st.sampled_from(sorted(i for i, e in self.model.items() if e.status == "active"))
        )
        if delete:
            self.memory.collection.delete(ids=[id])
            del self.model[id]
        else:
            self.memory.collection.update(ids=[id], metadatas=[{"target": answer}])
            self.model[id] = self.model[id].model_copy(update={"target": answer})

    @invariant()
    def it_holds_the_same_edits(self) -> None:
        assert {edit.id: edit for edit in self.memory.list(limit=None)} == self.model
        assert self.memory.count() == len(self.model)

    @invariant()
    def every_edit_that_can_fire_is_found_and_no_other(self) -> None:
        firing = {id for id, edit in self.model.items() if edit.can_fire()}
        found = self.memory.search("who leads France", k=10)
        assert {candidate.edit.id for candidate in found} == firing
        similarities = [candidate.similarity for candidate in found]
        assert similarities == sorted(similarities, reverse=True)
        if firing:
            prompt = self.model[min(firing)].prompt
            best = self.memory.search(prompt, k=1)[0]
            assert best.similarity == pytest.approx(1.0, abs=1e-3)


@pytest.fixture(params=["embedded", "server"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, chroma_server: ChromaServer
) -> type[MemoryMachine]:
    def open_embedded(name: str) -> EditMemory:
        return EditMemory(tmp_path, collection=name, embeddings=WordEncoder())

    def open_on_server(name: str) -> EditMemory:
        return chroma_server.memory(collection=name, embeddings=WordEncoder())

    chosen = open_embedded if request.param == "embedded" else open_on_server
    return type("Machine", (MemoryMachine,), {"open": staticmethod(chosen)})


def run(machine: type[MemoryMachine], examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=examples < 50,  # the fast run says the same each time
        ),
    )


def test_any_sequence_of_operations_agrees_with_a_plain_dict(machine: type[MemoryMachine]) -> None:
    run(machine, examples=8, steps=12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_long_sequences_of_operations_agree_with_a_plain_dict(
    machine: type[MemoryMachine],
) -> None:
    run(machine, examples=100, steps=40)
