"""What every backend of the edit memory must do.

For your own backend, subclass and override `memory`:

    class TestMyBackend(EditMemoryContract):
        @pytest.fixture
        def memory(self):
            return EditMemory(client=my_client, collection=a_name_not_used_before)
"""

from __future__ import annotations

import pytest

from serac_retriever import Edit
from serac_retriever.errors import (
    DuplicateEditError,
    EditNotFoundError,
    InvalidEditError,
    SuiteError,
)
from serac_retriever.memory import EditMemory

PROMPT = "Who is the UK prime minister?"
WHOLE = Edit(
    id="whole",
    prompt="Who leads the Gauls?",
    target="Vercingetorix",
    kind="fact",
    mode="verbatim",
    in_scope=[{"query": "The Gauls' leader?", "answer": ["Vercingetorix", "he"], "tag": "t"}],
    out_of_scope=[{"query": "Who leads the Romans?", "tag": "other_subject"}],
    valid_from="2020-01-01",
    valid_until="2999-01-01T00:00:00+02:00",
    author="Ada",
    source="https://example.org/gauls",
    tags=("history", "a, b"),
    note="ask Caesar",
    metadata={"team": "geo", "rank": 3, "weight": 0.5, "checked": True, "empty": ""},
)


class EditMemoryContract:
    """The truths that hold wherever the edits lie."""

    @pytest.fixture
    def memory(self) -> EditMemory:
        """Override: an empty memory."""
        raise NotImplementedError

    def test_an_edit_comes_back_as_it_was_given(self, memory: EditMemory) -> None:
        assert memory.add(WHOLE) == WHOLE
        assert memory.get("whole") == WHOLE
        assert memory.search("who leads the gauls", k=1)[0].edit == WHOLE

    def test_an_added_edit_fires_from_the_next_query_on(self, memory: EditMemory) -> None:
        assert memory.search(PROMPT) == ()
        edit = memory.add(PROMPT, "Keir Starmer")
        (found,) = memory.search(PROMPT)
        assert found.edit == edit
        assert found.similarity == pytest.approx(1.0, abs=1e-3)
        assert found.score is None

    def test_the_nearest_edit_comes_first(self, memory: EditMemory) -> None:
        for subject in ("rivers", "mountains", "deserts"):
            memory.add(f"What do people say about {subject}?", "much")
        ids = [found.edit.prompt for found in memory.search("people about mountains", k=2)]
        assert len(ids) == 2
        assert "mountains" in ids[0]

    def test_adding_a_known_id_is_refused_and_changes_nothing(self, memory: EditMemory) -> None:
        first = memory.add(PROMPT, "Keir Starmer")
        with pytest.raises(DuplicateEditError, match=r"Keir Starmer.*Update"):
            memory.add(PROMPT, "Rishi Sunak")
        assert memory.list() == [first]

    def test_adding_the_id_of_a_retired_edit_is_refused_too(self, memory: EditMemory) -> None:
        memory.retire(memory.add(PROMPT, "Keir Starmer").id)
        with pytest.raises(DuplicateEditError):
            memory.add(PROMPT, "Rishi Sunak")

    def test_what_is_no_edit_is_refused_and_not_stored(self, memory: EditMemory) -> None:
        with pytest.raises(InvalidEditError, match="target"):
            memory.add(PROMPT, " ")
        assert memory.count() == 0

    @pytest.mark.parametrize("verb", ["get", "update", "retire", "restore", "delete"])
    def test_an_unknown_id_is_an_error_in_every_verb(self, memory: EditMemory, verb: str) -> None:
        memory.add(PROMPT, "Keir Starmer")
        with pytest.raises(EditNotFoundError, match="'nobody'"):
            getattr(memory, verb)("nobody")

    def test_an_update_counts_at_the_next_query(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer")
        new = memory.update(edit.id, target="Ed Davey", author="Bob")
        assert (new.target, new.author, new.version) == ("Ed Davey", "Bob", 2)
        assert new.updated_at > edit.updated_at
        assert new.created_at == edit.created_at
        assert memory.search(PROMPT)[0].edit == new == memory.get(edit.id)

    def test_an_updated_prompt_is_embedded_anew(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer")
        memory.add("Which is the tallest mountain?", "Everest")
        memory.update(edit.id, prompt="How deep is the ocean?")
        best = memory.search("how deep is the ocean", k=1)[0]
        assert best.edit.id == edit.id
        assert best.similarity > 0.9

    def test_a_field_set_to_nothing_is_gone(self, memory: EditMemory) -> None:
        memory.add(WHOLE)
        memory.update(
            "whole", author=None, tags=(), in_scope=(), valid_until=None, metadata={"rank": 4}
        )
        found = memory.get("whole")
        assert (found.author, found.tags, found.in_scope) == (None, (), ())
        assert found.valid_until is None
        assert found.metadata == {"rank": 4}
        assert found.note == WHOLE.note

    def test_a_retired_edit_is_kept_and_cannot_fire(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer")
        assert memory.retire(edit.id).status == "retired"
        assert memory.search(PROMPT) == ()
        assert memory.get(edit.id).target == "Keir Starmer"
        assert memory.count("retired") == memory.count() == 1

    def test_a_restored_edit_fires_again(self, memory: EditMemory) -> None:
        edit = memory.add(WHOLE)
        memory.retire(edit.id)
        assert memory.restore(edit.id).same_as(WHOLE)
        (found,) = memory.search(edit.prompt)
        assert found.edit.same_as(WHOLE)
        assert found.similarity == pytest.approx(1.0, abs=1e-3)

    def test_a_draft_cannot_fire_until_it_is_restored(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer", status="draft")
        assert memory.search(PROMPT) == ()
        memory.restore(edit.id)
        assert memory.search(PROMPT)[0].edit.id == edit.id

    def test_a_retired_edit_can_be_updated_where_it_lies(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer", status="retired")
        memory.update(edit.id, prompt="How deep is the ocean?", note="x")
        assert memory.search("How deep is the ocean?") == ()
        memory.restore(edit.id)
        assert memory.search("How deep is the ocean?")[0].similarity > 0.99

    @pytest.mark.parametrize("status", ["active", "retired", "draft"])
    def test_a_deleted_edit_is_gone(self, memory: EditMemory, status: str) -> None:
        edit = memory.add(PROMPT, "Keir Starmer", status=status)
        memory.delete(edit.id)
        assert memory.list() == []
        assert memory.search(PROMPT) == ()
        with pytest.raises(EditNotFoundError):
            memory.delete(edit.id)
        memory.add(PROMPT, "Keir Starmer")

    def test_edits_are_listed_page_by_page_in_the_order_they_were_added(
        self, memory: EditMemory
    ) -> None:
        ids = [memory.add(f"Question {n}?", "a").id for n in range(7)]
        memory.retire(ids[0])
        pages = [memory.list(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
        assert [edit.id for page in pages for edit in page] == [*ids[1:], ids[0]]
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert len(memory.list(limit=None)) == 7

    def test_edits_are_listed_by_status_tag_and_author(self, memory: EditMemory) -> None:
        memory.add("One?", "1", tags=("odd", "low"), author="Ada")
        memory.add("Two?", "2", tags=("even",), author="Bob")
        memory.add("Three?", "3", tags=("odd",), author="Ada", status="draft")
        assert [edit.id for edit in memory.list(tag="odd")] == ["one", "three"]
        assert [edit.id for edit in memory.list(tag="odd", status="active")] == ["one"]
        assert [edit.id for edit in memory.list(author="Bob")] == ["two"]
        assert [edit.id for edit in memory.list(status="draft")] == ["three"]
        assert memory.list(tag="od") == []
        assert memory.count("active") == 2

    def test_many_edits_land_once_however_often_they_are_loaded(self, memory: EditMemory) -> None:
        edits = [Edit(prompt=f"Question {n}?", target=str(n)) for n in range(300)]
        assert len(memory.add_many(edits).added) == 300
        again = memory.add_many(edits)
        assert (len(again.added), len(again.unchanged)) == (0, 300)
        assert memory.count() == 300

    def test_nothing_lands_when_one_of_many_is_no_edit(self, memory: EditMemory) -> None:
        with pytest.raises(SuiteError, match="line 2") as caught:
            memory.add_many([{"prompt": "A?", "target": "a"}, {"prompt": "B?"}])
        assert caught.value.line == 2
        assert memory.count() == 0

    def test_several_queries_are_answered_in_one_go(self, memory: EditMemory) -> None:
        memory.add("How deep is the ocean?", "11 km")
        memory.add("Who leads the Gauls?", "Vercingetorix")
        rows = memory.nearest(memory.embed(["ocean deep", "leads the gauls"]), k=1)
        assert [row[0].edit.target for row in rows] == ["11 km", "Vercingetorix"]
        assert memory.nearest([]) == ()

    def test_reindexing_keeps_every_edit_and_its_status(self, memory: EditMemory) -> None:
        memory.add(WHOLE)
        memory.add(PROMPT, "Keir Starmer", status="retired")
        before = memory.list()
        memory.reindex()
        assert memory.list() == before
        assert memory.search(WHOLE.prompt, k=1)[0].edit == WHOLE

    def test_a_stock_client_s_record_counts_at_the_next_query(self, memory: EditMemory) -> None:
        memory.collection.add(
            ids=["stock"], documents=["How deep is the ocean?"], metadatas=[{"target": "11 km"}]
        )
        (found,) = memory.search("How deep is the ocean?")
        assert (found.edit.id, found.edit.target) == ("stock", "11 km")
        assert found.edit.created_at is None

    def test_a_record_that_is_no_edit_is_skipped_and_reported(self, memory: EditMemory) -> None:
        edit = memory.add(PROMPT, "Keir Starmer")
        memory.collection.add(ids=["odd"], documents=[PROMPT])
        assert [found.edit for found in memory.search(PROMPT)] == [edit]
        assert memory.list() == [edit]
        assert memory.count() == 1
        (odd,) = memory.malformed()
        assert odd.id == "odd"
        assert "target" in odd.fault
