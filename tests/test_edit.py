"""Edits: what is accepted, what is refused and how, and records that come back the same."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Candidate, Decision, Edit, Example
from serac_retriever.edit import slug
from serac_retriever.errors import InvalidEditError

PROMPT = "Who is the UK prime minister?"


def edit(**fields: Any) -> Edit:
    return Edit.model_validate({"prompt": PROMPT, "target": "Keir Starmer", **fields})


# -- ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "id"),
    [
        (PROMPT, "who-is-the-uk-prime-minister"),
        ("  What's 2.5 + nothing  ", "whats-2-5-nothing-"),
        ("Ada Lovelace, born in", "ada-lovelace-born-in"),
    ],
)
def test_an_id_is_readable(prompt: str, id: str) -> None:
    assert slug(prompt).startswith(id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C# or C++?", "C or C?"),
        ("東京の人口は?", "大阪の人口は?"),
        ("🙂", "🙃"),
        ("a" * 61, "a" * 62),
        ("Müller's age?", "Muller's age?"),
        ("x < y", "x > y"),
    ],
)
def test_prompts_that_differ_in_what_a_slug_cannot_show_get_different_ids(
    one: str, other: str
) -> None:
    assert slug(one) != slug(other)


def test_ten_thousand_prompts_in_another_script_get_as_many_ids() -> None:
    prompts = [f"第{chr(0x4E00 + n)}个问题是什么?" for n in range(10_000)]
    assert len({slug(prompt) for prompt in prompts}) == 10_000


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip))
def test_every_prompt_has_an_id_that_is_accepted_and_always_the_same(prompt: str) -> None:
    assert Edit(prompt=prompt, target="x").id == slug(prompt) == slug(prompt)


def test_a_given_id_wins() -> None:
    assert edit(id="uk-pm").id == "uk-pm"


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": ""}, "prompt: expected text that is not blank; got ''"),
        ({"prompt": " \t\n"}, "prompt: expected text that is not blank"),
        ({"target": None}, "target: Input should be a valid string; got None"),
        ({"target": 5}, "target: Input should be a valid string; got 5"),
        ({"prompt": "\ud800"}, "prompt: expected valid Unicode"),
        ({"note": "a\udfffb"}, "note: expected valid Unicode"),
        ({"tags": ["ok", "\ud800"]}, "tags.1: expected valid Unicode"),
        ({"tags": ["ok", " "]}, "tags.1: expected text that is not blank"),
        ({"id": "a\nb"}, "id: String should match"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": "x" * 513}, "id: String should have at most 512"),
        ({"id": "\ud800"}, "id: "),
        ({"kind": "rumour"}, "kind: Input should be 'answer', 'fact' or 'stance'; got 'rumour'"),
        ({"mode": "loud"}, "mode: Input should be 'reason' or 'verbatim'"),
        ({"status": "gone"}, "status: Input should be 'draft', 'active' or 'retired'"),
        ({"version": 0}, "version: "),
        ({"version": 2**63}, "version: "),
        ({"valid_from": "soon"}, "valid_from: "),
        ({"valid_until": "9999-12-31T23:00:00-05:00"}, "valid_until: expected a moment in"),
        ({"valid_from": "2020-01-02", "valid_until": "2020-01-02"}, "valid_until: expected a mom"),
        (
            {"in_scope": [{"query": ""}]},
            "Example not accepted. query: expected text that is not blank",
        ),
        ({"in_scope": [{"question": "x"}]}, "query: Field required; got nothing"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted; got 'red'"),
        ({"metadata": {"target": "x"}}, "metadata: expected keys that are no fields of an edit"),
        ({"metadata": {"x": float("nan")}}, "metadata.x: expected a finite number; got nan"),
        ({"metadata": {"x": 2**63}}, "metadata.x: expected an integer of 64 bits"),
        ({"metadata": {"x": None}}, "metadata.x"),
        ({"metadata": {"": 1}}, "expected a key that is not empty"),
        ({"metadata": {"chroma:document": 1}}, "expected a key that is not empty"),
        ({"metadata": {"x": "\ud800"}}, "metadata.x: expected valid Unicode"),
    ],
)
def test_what_is_no_edit_is_refused_naming_field_expectation_and_value(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidEditError) as caught:
        edit(**fields)
    assert said in str(caught.value)


def test_every_fault_is_named_at_once_and_none_that_only_follows_from_another() -> None:
    with pytest.raises(InvalidEditError) as caught:
        Edit.model_validate({"prompt": "", "kind": "rumour"})
    message = str(caught.value)
    assert "prompt:" in message
    assert "target:" in message
    assert "kind:" in message
    assert "id:" not in message


def test_a_message_stays_short_whatever_came() -> None:
    with pytest.raises(InvalidEditError) as caught:
        edit(kind="x" * 100_000)
    assert len(str(caught.value)) < 300


def test_an_edit_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        edit().target = "x"


def test_an_empty_remark_counts_as_none() -> None:
    found = edit(author="", source="", note="")
    assert (found.author, found.source, found.note) == (None, None, None)


# -- when it can fire ----------------------------------------------------------------------

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, True),
        ({"status": "draft"}, False),
        ({"status": "retired"}, False),
        ({"valid_from": NOW}, True),
        ({"valid_from": NOW + HOUR}, False),
        ({"valid_until": NOW}, False),
        ({"valid_until": NOW + HOUR}, True),
        ({"valid_from": NOW - HOUR, "valid_until": NOW + HOUR}, True),
        ({"valid_from": NOW - 2 * HOUR, "valid_until": NOW - HOUR}, False),
        ({"valid_from": "2026-01-01T12:00"}, True),
        ({"valid_from": "2026-01-01T12:30+01:00"}, True),
        ({"valid_from": "2026-01-01T12:00-01:00"}, False),
    ],
)
def test_an_edit_fires_when_active_and_from_its_first_moment_to_before_its_last(
    fields: dict[str, Any], fires: bool
) -> None:
    assert edit(**fields).can_fire(NOW) is fires


@pytest.mark.parametrize(("text", "year"), [("20301231", 2030), (" 2030-12-31 ", 2030)])
def test_a_date_in_digits_alone_is_a_date(text: str, year: int) -> None:
    moment = edit(valid_until=text).valid_until
    assert moment is not None
    assert moment.year == year


@pytest.mark.parametrize("number", ["2030", 2030, 1.9e9, True, "1e9", "-5", "99999999"])
def test_a_number_is_no_moment(number: Any) -> None:
    with pytest.raises(InvalidEditError, match="valid_until"):
        edit(valid_until=number)


def test_a_moment_without_a_zone_is_utc() -> None:
    assert edit(valid_from="2026-01-01T12:00").valid_from == NOW
    assert edit(valid_from=NOW).can_fire(NOW.replace(tzinfo=None))


# -- revisions -----------------------------------------------------------------------------


def test_a_revision_counts_up_and_keeps_the_rest() -> None:
    old = edit(tags=("a",), created_at=NOW, updated_at=NOW)
    new = old.revised(target="Ed Davey")
    assert (new.version, new.target, new.tags, new.id) == (2, "Ed Davey", ("a",), old.id)
    assert new.created_at == NOW
    assert new.updated_at > NOW
    assert old.version == 1


def test_a_revision_is_validated_like_an_edit() -> None:
    with pytest.raises(InvalidEditError, match="target"):
        edit().revised(target="")
    with pytest.raises(InvalidEditError, match="tagret"):
        edit().revised(tagret="x")


def test_two_edits_mean_the_same_whatever_their_version_and_dates_of_writing() -> None:
    assert edit(created_at=NOW).same_as(edit(version=3))
    assert not edit().same_as(edit(note="x"))


# -- records -------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)
moments = st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1), timezones=st.just(timezone.utc))
scalars = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
examples = st.builds(
    Example,
    query=texts,
    answer=st.none() | texts | st.lists(texts, max_size=2).map(tuple),
    tag=st.none() | texts,
)
edits = st.builds(
    Edit,
    prompt=texts,
    target=texts,
    kind=st.sampled_from(["answer", "fact", "stance"]),
    mode=st.sampled_from(["reason", "verbatim"]),
    status=st.sampled_from(["draft", "active", "retired"]),
    in_scope=st.lists(examples, max_size=2).map(tuple),
    out_of_scope=st.lists(examples, max_size=2).map(tuple),
    valid_until=st.none() | moments,
    author=st.none() | texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    note=st.none() | texts,
    version=st.integers(1, 99),
    metadata=st.dictionaries(
        texts.filter(lambda key: key not in Edit.model_fields and key[0] not in "#$"),
        scalars,
        max_size=2,
    ),
)


@given(edits)
def test_an_edit_comes_back_from_its_record_as_it_was(found: Edit) -> None:
    assert Edit.from_record(found.to_record()) == found


def test_a_record_leaves_defaults_out_and_holds_what_json_can() -> None:
    record = edit(tags=("a",), in_scope=[{"query": "q", "answer": "a"}]).to_record()
    assert set(record) == {"id", "prompt", "target", "tags", "in_scope"} | {
        "version",
        "created_at",
        "updated_at",
    }
    assert record["in_scope"] == [{"query": "q", "answer": "a"}]


def test_a_record_s_other_keys_become_metadata() -> None:
    found = Edit.from_record(
        {"prompt": PROMPT, "target": "x", "team": "geo", "rank": 2, "sub": {"a": [1]}, "no": None}
    )
    assert found.metadata == {"team": "geo", "rank": 2, "sub": '{"a": [1]}'}


@pytest.mark.parametrize(
    ("given_tags", "tags"),
    [
        ("a, b,,c ", ("a", "b", "c")),
        ('["a, b", "c"]', ("a, b", "c")),
        (["a"], ("a",)),
        ("", ()),
        (None, ()),
    ],
)
def test_tags_may_be_a_list_or_text(given_tags: object, tags: tuple[str, ...]) -> None:
    assert Edit.from_record({"prompt": "a", "target": "b", "tags": given_tags}).tags == tags


def test_examples_and_metadata_may_be_json_text() -> None:
    found = Edit.from_record(
        {
            "prompt": "a",
            "target": "b",
            "in_scope": '[{"query": "q"}]',
            "metadata": '{"team": "geo"}',
        }
    )
    assert found.in_scope == (Example(query="q"),)
    assert found.metadata == {"team": "geo"}


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"in_scope": "[oops"}, "in_scope: expected JSON; got '[oops'"),
        ({"in_scope": "[" * 100_000}, "in_scope: expected JSON"),
        ({"in_scope": "5"}, "in_scope: "),
        ({"tags": "[oops"}, "tags: expected JSON"),
        ({"metadata": "foo"}, "metadata: expected JSON; got 'foo'"),
        ({"metadata": ["a"]}, "metadata: expected a mapping; got ['a']"),
        ({"when": datetime(2026, 1, 1)}, "when: expected a value that JSON can hold"),
        ({"rank": float("inf")}, "metadata.rank: expected a finite number"),
        ({"version": "two"}, "version: "),
    ],
)
def test_a_record_that_is_no_edit_is_refused(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidEditError) as caught:
        Edit.from_record({"prompt": "a", "target": "b", **extra})
    assert said in str(caught.value)


# -- examples, candidates, decisions -------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "answers"), [(None, ()), ("a", ("a",)), (["a", "b"], ("a", "b")), ("", ("",))]
)
def test_an_example_lists_every_accepted_answer(answer: Any, answers: tuple[str, ...]) -> None:
    assert Example(query="q", answer=answer).answers == answers


def test_a_decision_tells_whether_and_which_edit_fired() -> None:
    one, two = edit(id="one"), edit(id="two")
    fired = Decision(query="q", threshold=0.5, edits=(one, two), reason="in scope")
    assert (fired.fired, fired.edit) == (True, one)
    silent = Decision(
        query="q",
        threshold=0.5,
        reason="below",
        candidates=(Candidate(edit=one, similarity=0.4, score=0.1),),
    )
    assert (silent.fired, silent.edit) == (False, None)


def test_a_decision_survives_json() -> None:
    decision = Decision(
        query="q",
        threshold=0.5,
        reason="r",
        candidates=(Candidate(edit=edit(metadata={"n": 1}), similarity=0.4, score=0.1),),
        timings_ms={"embed": 1.5},
    )
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is -5 degrees safe?", "Is 5 degrees safe?"),
        ("Is 1.5 enough?", "Is 1-5 enough?"),
        ("1,000 or more?", "1 000 or more?"),
    ],
)
def test_a_sign_at_a_number_makes_another_slug(one: str, other: str) -> None:
    assert slug(one) != slug(other)
