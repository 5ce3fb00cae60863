"""An Edit as a Chroma record and back: id, document (the prompt) and flat metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from serac_retriever.edit import Edit, tags_as_text
from serac_retriever.errors import InvalidEditError


class Malformed(NamedTuple):
    """A record that is no edit: it is skipped, and breaks nothing.

    Attributes:
        id: The record's id in Chroma.
        fault: What is wrong with it.
    """

    id: str
    fault: str


def brief(content: Edit | Malformed) -> str:
    """Return what a record says, short enough for a message."""
    text = content.target if isinstance(content, Edit) else content.fault
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def metadata_of(edit: Edit) -> dict[str, Any]:
    """Return the Chroma metadata of an edit: scalars under the Edit's own names.

    No lists: Chroma leaves them behind when a collection is deleted, and the next record written
    inherits them (its issue 7594).
    """
    record = edit.to_record()
    for name in ("id", "prompt"):
        del record[name]
    for name in ("in_scope", "out_of_scope"):
        if name in record:
            record[name] = json.dumps(record[name], ensure_ascii=False)
    if edit.tags:
        record["tags"] = tags_as_text(edit.tags)
    record["status"] = edit.status  # written even where it is the default: people filter by it
    return record


def edit_of(id: str, document: str | None, metadata: Mapping[str, Any] | None) -> Edit | Malformed:
    """Return the edit that a Chroma record holds, or what is wrong with it.

    A record with only a document and a ``target`` is an edit; its dates stay unknown.
    """
    fields = {k: v for k, v in (metadata or {}).items() if k not in ("id", "prompt")}
    try:
        # with the types: 1 and True are equal, and not the same
        found = _edit_of(id, document, frozenset((k, type(v), v) for k, v in fields.items()))
    except TypeError:  # a list, which other clients may write
        return _read(id, document, fields)
    if isinstance(found, Malformed) or not found.metadata:
        return found
    return found.model_copy(update={"metadata": {**found.metadata}})  # a dict can be written to


@lru_cache(maxsize=4096)  # every query brings the same dozen again, their fields in any order
def _edit_of(
    id: str, document: str | None, fields: frozenset[tuple[str, type, Any]]
) -> Edit | Malformed:
    return _read(id, document, {name: value for name, _, value in fields})


def _read(id: str, document: str | None, fields: Mapping[str, Any]) -> Edit | Malformed:
    try:
        edit = Edit.from_record({**fields, "id": id, "prompt": document})
    except InvalidEditError as error:
        return Malformed(id, str(error))
    unknown = {name: None for name in ("created_at", "updated_at") if name not in fields}
    return edit.model_copy(update=unknown) if unknown else edit
