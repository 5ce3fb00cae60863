"""The nouns of the package: Edit, Example, Candidate, Decision. Frozen, validated, no I/O."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from serac_retriever.errors import InvalidEditError

Scalar = str | int | float | bool


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"expected valid Unicode ({error.reason})") from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected text that is not blank")
    return text


def _storable(value: Scalar) -> Scalar:
    """Accept what Chroma gives back as it was given; it drops other numbers without a word."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("expected an integer of 64 bits")
    return _unicode(value) if isinstance(value, str) else value


def _unreserved(key: str) -> str:
    if not key or key.startswith(("chroma:", "#", "$")):
        raise ValueError("expected a key that is not empty and begins with none of chroma: # $")
    return _unicode(key)


def _utc(moment: datetime) -> datetime:
    """Read a moment without a zone as UTC, so that two moments can always be compared."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("expected a moment in the years 1 to 9999, UTC") from None


def _iso(value: object) -> object:
    """Refuse numbers, which would count as seconds since 1970: 20301231 is a date in 2030."""
    if isinstance(value, str) and re.fullmatch(r"[\d.+-]+", value.strip()):
        with suppress(ValueError):
            return datetime.fromisoformat(value.strip())
    elif not isinstance(value, int | float):
        return value
    raise ValueError("expected a date or a moment as ISO 8601 writes it, such as 2030-12-31")


def _now() -> datetime:
    return datetime.now(timezone.utc)


Unicode = Annotated[str, AfterValidator(_unicode)]
Text = Annotated[Unicode, AfterValidator(_not_blank)]
Remark = Annotated[Unicode | None, AfterValidator(lambda text: text or None)]
Moment = Annotated[datetime, BeforeValidator(_iso), AfterValidator(_utc)]
EditId = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]


def slug(prompt: str) -> str:
    """Return a readable id for a prompt, the same one every time.

    Letters, digits and dashes; where that loses something (other scripts, symbols, signs at a
    number, more than 60 characters), ten characters of a hash of the prompt follow, so that two
    prompts do not meet.

    Example:
        >>> slug("Who is the UK prime minister?")
        'who-is-the-uk-prime-minister'
        >>> slug("C# or C++?") == slug("C or C?")
        False
    """
    text = prompt.strip().rstrip("?.!").lower()
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
    readable = words[:60].rstrip("-")
    signs = re.search(r"[^\w\s]\d|\d[^\w\s]", text)  # a sign, a decimal point: -5 is not 5
    if readable == words and not signs and re.fullmatch(r"[a-z0-9\s'’,:;.\-]+", text):
        return readable
    digest = hashlib.blake2b(prompt.encode(), digest_size=5).hexdigest()
    return f"{readable or 'edit'}-{digest}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _raise_our_own(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return handler(data)
        except ValidationError as error:
            faults = "; ".join(
                _fault(item)
                for item in error.errors(include_url=False)
                if item["type"] != "default_factory_not_called"  # only follows from another fault
            )
            raise InvalidEditError(f"{cls.__name__} not accepted. {faults}") from None


def _fault(item: Any) -> str:
    field = ".".join(str(part) for part in item["loc"]) or "value"
    shown = repr(item.get("input"))
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing":  # its input is the whole record
        return f"{field}: {message}; got nothing"
    return f"{field}: {message}; got {shown}"


def _refused(field: str, expected: str, got: object) -> InvalidEditError:
    return InvalidEditError(f"Edit not accepted. {field}: expected {expected}; got {got!r:.80}")


def _tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def tags_as_text(tags: Sequence[str]) -> str:
    """Write tags as one text that :meth:`Edit.from_record` reads: ``a,b``, or JSON where it must.

    Example:
        >>> tags_as_text(["geo", "urgent"]), tags_as_text(["Paris, France"])
        ('geo,urgent', '["Paris, France"]')
    """
    plain = all(tag == tag.strip() and "," not in tag and tag[0] != "[" for tag in tags)
    return ",".join(tags) if plain else json.dumps([*tags], ensure_ascii=False)


def _parsed(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _refused(field, "JSON", text) from None


def _written(field: str, value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise _refused(field, "a value that JSON can hold", value) from None


class Example(_Frozen):
    """A query that belongs to an edit's scope, or must stay out of it.

    Attributes:
        query: What a user would say.
        answer: In scope, the right answer, or several of which any counts. Out of scope, None for
            "whatever the base says", or the base's recorded answer.
        tag: What kind of query this is; figures are reported by tag. The usual ones out of scope
            are ``unrelated``, ``other_subject``, ``other_relation``, ``other_time``, ``negation``,
            ``part_whole`` and ``mention``.

    Example:
        >>> Example(query="Who leads Britain?", answer="Keir Starmer").answers
        ('Keir Starmer',)
    """

    query: Text
    answer: Unicode | tuple[Unicode, ...] | None = None
    tag: Remark = None

    @property
    def answers(self) -> tuple[str, ...]:
        """Every accepted answer; empty where none is recorded."""
        if self.answer is None:
            return ()
        return (self.answer,) if isinstance(self.answer, str) else self.answer


class Edit(_Frozen):
    """One stored correction: what to look for, and what to say (the paper's section 3).

    Attributes:
        prompt: The descriptor: a question, a claim or a stub. Exactly this text is embedded.
        target: What the application must say.
        id: A readable slug of the prompt unless given.
        kind: ``answer`` to a question, a ``fact`` to reason from, or a ``stance`` on a topic.
        mode: ``reason`` lets the counterfactual model phrase the answer; ``verbatim`` says the
            target word for word whatever the model.
        in_scope: Queries this edit must answer.
        out_of_scope: Queries it must leave alone.
        status: Only ``active`` edits can fire.
        valid_from: The edit does not fire before this moment (UTC where no zone is given).
        valid_until: Nor from this moment on.
        author: Who wrote it.
        source: Where the correction comes from.
        tags: Free labels to list by.
        note: For the colleagues who read it later.
        version: Counts up by one with every update.
        created_at: When it was written; None for a record that does not say.
        updated_at: When it was last changed.
        metadata: Whatever else the record carried; kept, never interpreted.

    Raises:
        InvalidEditError: A field is not what it must be.

    Example:
        >>> edit = Edit(prompt="Who is the UK prime minister?", target="Keir Starmer")
        >>> edit.id, edit.status
        ('who-is-the-uk-prime-minister', 'active')
    """

    prompt: Text
    target: Text
    id: EditId = Field(default_factory=lambda given: slug(given.get("prompt", "")))
    kind: Literal["answer", "fact", "stance"] = "answer"
    mode: Literal["reason", "verbatim"] = "reason"
    in_scope: tuple[Example, ...] = ()
    out_of_scope: tuple[Example, ...] = ()
    status: Literal["draft", "active", "retired"] = "active"
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    author: Remark = None
    source: Remark = None
    tags: tuple[Text, ...] = ()
    note: Remark = None
    version: int = Field(default=1, ge=1, lt=2**63)
    created_at: Moment | None = Field(default_factory=_now)
    updated_at: Moment | None = Field(default_factory=_now)
    metadata: dict[
        Annotated[str, AfterValidator(_unreserved)], Annotated[Scalar, AfterValidator(_storable)]
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_agree(self) -> Edit:
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise InvalidEditError(
                "Edit not accepted. valid_until: expected a moment after valid_from "
                f"({self.valid_from.isoformat()}); got {self.valid_until.isoformat()}"
            )
        if taken := sorted(set(self.metadata) & set(type(self).model_fields)):
            raise InvalidEditError(
                "Edit not accepted. metadata: expected keys that are no fields of an edit; "
                f"got {taken}"
            )
        return self

    def can_fire(self, moment: datetime | None = None) -> bool:
        """Say whether the edit is active and valid at a moment (now, unless given)."""
        now = _utc(moment) if moment else _now()
        begun = self.valid_from is None or self.valid_from <= now
        ended = self.valid_until is not None and self.valid_until <= now
        return self.status == "active" and begun and not ended

    @property
    def statement(self) -> str:
        """Prompt and target as one text: what the edit says.

        Example:
            >>> Edit(prompt="Capital of X?", target="Y").statement
            'Capital of X? Y'
        """
        return stated(self.prompt, self.target)

    def revised(self, **changes: Any) -> Edit:
        """Return a copy with some fields changed, its version one higher, validated anew.

        Example:
            >>> Edit(prompt="Capital of X?", target="Y").revised(target="Z").version
            2
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        fresh = {"version": self.version + 1, "updated_at": _now()}
        return Edit.model_validate({**fields, **fresh, **changes})

    def same_as(self, other: Edit) -> bool:
        """Say whether two edits mean the same: all but version and dates of writing agree."""
        passing = {"version", "created_at", "updated_at"}
        return self.model_dump(exclude=passing) == other.model_dump(exclude=passing)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Edit:
        """Build an edit from a flat mapping: a suite line, a CSV row or a Chroma record.

        Keys that are no fields of an edit go to ``metadata``; empty values count as not given;
        ``tags`` may be a comma-separated string; tags, examples and metadata a JSON string.

        Raises:
            InvalidEditError: The mapping is no edit.

        Example:
            >>> Edit.from_record({"prompt": "Capital of X?", "target": "Y", "team": "geo"}).metadata
            {'team': 'geo'}
        """
        known = {
            key: value
            for key, value in record.items()
            if key in cls.model_fields and value is not None and value != ""
        }
        for name in ("in_scope", "out_of_scope", "tags", "metadata"):
            if isinstance(text := known.get(name), str):
                tags = name == "tags" and not text.startswith("[")
                known[name] = _tags(text) if tags else _parsed(name, text)
        extra = known.pop("metadata", {})
        if not isinstance(extra, Mapping):
            raise _refused("metadata", "a mapping", extra)
        extra = {**extra}
        for key, value in record.items():
            if key not in cls.model_fields and value is not None:
                extra[key] = value if isinstance(value, Scalar) else _written(key, value)
        return cls.model_validate({**known, "metadata": extra})

    def to_record(self) -> dict[str, Any]:
        """Return the flat JSON-ready mapping that :meth:`from_record` reads; defaults left out.

        Example:
            >>> sorted(Edit(prompt="Capital of X?", target="Y").to_record())[:2]
            ['created_at', 'id']
        """
        record = self.model_dump(mode="json", exclude={"metadata"}, exclude_none=True)
        defaults: dict[str, Any] = {"kind": "answer", "mode": "reason", "status": "active"}
        kept = {
            key: value
            for key, value in record.items()
            if value != defaults.get(key) and value not in ([], ())
        }
        return {**self.metadata, **kept}


def stated(prompt: str, target: str) -> str:
    """Return a prompt with its target; as it is where it says that already."""
    return prompt if target in prompt else f"{prompt} {target}"


class Candidate(_Frozen):
    """An edit that was retrieved for a query.

    Attributes:
        edit: The edit.
        similarity: Cosine of query and prompt, in [-1, 1].
        score: The scope classifier's probability that the query is in scope, in [0, 1]; None
            until one has judged it.

    Example:
        >>> Candidate(edit=Edit(prompt="Capital of X?", target="Y"), similarity=0.9).score is None
        True
    """

    edit: Edit
    similarity: float
    score: float | None = None


class Decision(_Frozen):
    """Why an input was, or was not, answered from an edit.

    Attributes:
        query: The text that was judged.
        candidates: Every retrieved edit that could fire, best first.
        threshold: An edit is in scope when its score is above this.
        edits: The edits chosen, best first; empty when the base answers.
        reason: One sentence for people.
        error: What failed, where the base answers because something did.
        timings_ms: Milliseconds each step took; a batch's steps are shared equally by its items.

    Example:
        >>> Decision(query="Who wrote Emma?", threshold=0.5, reason="no edit is near").fired
        False
    """

    query: str
    candidates: tuple[Candidate, ...] = ()
    threshold: float
    edits: tuple[Edit, ...] = ()
    reason: str
    error: str | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)

    @property
    def edit(self) -> Edit | None:
        """The best edit in scope, or None when the base answers."""
        return self.edits[0] if self.edits else None

    @property
    def fired(self) -> bool:
        """Whether an edit answers in place of the base."""
        return bool(self.edits)
