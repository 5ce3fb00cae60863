"""The metrics are pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever.evaluation.bench import Figure
from serac_retriever.evaluation.metrics import (
    bootstrap,
    changed,
    interval,
    is_match,
    normalized,
    percentiles,
    share,
    succeeded,
)


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@pytest.mark.parametrize(
    ("answer", "accepted", "matches"),
    [
        ("Keir Starmer", ["keir starmer."], True),
        ("The Beatles", ["Beatles", "Wings"], True),
        ("1999", ["1998"], False),
        ("?", ["!"], False),
        ("x", [], False),
    ],
)
def test_answers_match_without_case_articles_and_punctuation(
    answer: str, accepted: list[str], matches: bool
) -> None:
    assert is_match(answer, accepted) is matches


@pytest.mark.parametrize(
    ("answer", "wanted", "counts"),
    [
        ("True", ["Yes"], True),
        ("no.", ["False"], True),
        ("Yes", ["No"], False),
        ("Yes", ["Keir Starmer"], False),  # a verdict is equal to verdicts only
        ("Keir Starmer", ["Yes"], False),
        ("", ["Yes"], False),
    ],
)
def test_yes_and_true_are_one_verdict(answer: str, wanted: list[str], counts: bool) -> None:
    assert succeeded(answer, wanted) is counts
    assert changed(answer, wanted) is not counts


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_the_interval_holds_the_share(outcomes: list[bool]) -> None:
    low, high = interval(outcomes) or (1.0, 0.0)
    assert 0 <= low <= (share(outcomes) or 0.0) <= high <= 1


def test_no_outcomes_have_no_share_and_no_interval() -> None:
    assert share([]) is None
    assert interval([]) is None


def test_percentiles_are_median_and_95th() -> None:
    assert percentiles(list(range(101))) == {"p50": 50, "p95": 95}


def test_the_bootstrap_resamples_edits_with_all_their_queries() -> None:
    assert bootstrap([[0.0] * 50, [1.0] * 50]) == (0.0, 1.0)
    low, high = bootstrap([[0.0], [1.0]] * 50) or (1.0, 0.0)
    assert 0.3 < low < 0.5 < high < 0.7
    assert bootstrap([]) is None


def test_queries_of_one_edit_widen_a_figures_interval() -> None:
    found = [True, True, False, False] * 10
    alone = Figure.of(found, [str(place) for place in range(40)])
    alike = Figure.of(found, [str(place // 2) for place in range(40)])
    assert alone.interval == Figure.of(found).interval == interval(found)
    assert alike.interval is not None
    assert alone.interval is not None
    assert alike.interval[1] - alike.interval[0] > alone.interval[1] - alone.interval[0]
    assert Figure.of([True] * 4, ["a", "a", "b", "b"]).interval == interval([True] * 4)
