"""An edit as a record: read once, whatever order its fields come in."""

from __future__ import annotations

import random

from serac_retriever import Edit
from serac_retriever.memory.record import edit_of, metadata_of


def test_a_record_whose_fields_come_in_another_order_is_not_read_again() -> None:
    fields = metadata_of(Edit(prompt="Who runs Oak House?", target="Ann", tags=["staff"]))
    read = edit_of("house", "Who runs Oak House?", fields)
    assert len(fields) > 4
    for seed in range(5):
        shuffled = dict(random.Random(seed).sample([*fields.items()], len(fields)))
        assert edit_of("house", "Who runs Oak House?", shuffled) is read


def test_equal_values_of_another_type_are_another_record() -> None:
    fields = metadata_of(Edit(prompt="Who runs Oak House?", target="Ann"))
    [one, true] = [edit_of("x", "Who?", {**fields, "floor": value}) for value in (1, True)]
    assert one is not true


def test_a_changed_field_is_read_anew() -> None:
    fields = metadata_of(Edit(prompt="Who runs Oak House?", target="Ann"))
    assert isinstance(changed := edit_of("x", "Who?", {**fields, "target": "Bob"}), Edit)
    assert changed.target == "Bob"


def test_what_is_written_into_an_edit_s_metadata_stays_with_that_edit() -> None:
    fields = {**metadata_of(Edit(prompt="Who?", target="Ann")), "floor": 1}
    for _ in range(2):
        read = edit_of("x", "Who?", fields)
        assert isinstance(read, Edit)
        assert read.metadata == {"floor": 1}
        read.metadata["floor"] = 2
