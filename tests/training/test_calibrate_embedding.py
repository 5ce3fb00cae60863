"""The packaged EmbeddingScope is fitted and calibrated by a command in the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serac_retriever import Edit, EmbeddingScope, Example
from serac_retriever.errors import CalibrationError
from serac_retriever.training.calibrate_embedding import calibrate_embedding

TRADES = ["baker", "smith", "miller", "cooper", "mason", "weaver", "tanner", "potter"]
TOWNS = ["Arlen", "Brook", "Corby", "Dunmore", "Elsted", "Farnham", "Garth", "Holt"]
WEATHER = ["rain", "snow", "hail", "fog"]


def made_up_rows() -> list[dict[str, object]]:
    """Rows in the layout of MEND's zsRE files, about people nobody has heard of."""
    people = [f"{trade} of {town}".title() for trade in TRADES for town in TOWNS]
    return [
        {
            "subject": person,
            "src": f"In which year was {person} born?",
            "rephrase": f"What is the birth year of {person}?",
            "alt": str(1700 + i),
            "answers": [str(1800 + i)],
            "loc": f"nq question: how much {WEATHER[i % 4]} falls on island number {i}",
            "loc_ans": "a lot",
        }
        for i, person in enumerate(people)
    ]


def test_near_misses_play_no_part() -> None:
    near_miss = Example(query="In which year was Ada born?", tag="other_subject")
    suite = [
        Edit(
            prompt="In which year was Bob born?",
            target="1901",
            in_scope=(Example(query="What is Bob's birth year?"),),
            out_of_scope=(
                near_miss,
                *(Example(query=f"how deep is lake {i}", tag="unrelated") for i in range(60)),
            ),
        )
    ]
    scope = calibrate_embedding(suite, max_drawdown=0.05)
    assert scope.calibration is not None
    assert scope.calibration.out_of_scope == 60
    assert scope.calibration.edit_success == 1
    with pytest.raises(CalibrationError, match="got 60"):
        calibrate_embedding(suite, max_drawdown=0.001)


def test_the_command_writes_a_classifier_that_loads(tmp_path: Path) -> None:
    train = tmp_path / "train.json"
    train.write_text(json.dumps(made_up_rows()))
    out = tmp_path / "scope"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "serac_retriever.training.calibrate_embedding",
            str(train),
            f"--out={out}",
            "--max-drawdown=0.1",
        ],
        check=True,
    )
    scope = EmbeddingScope.load(out)
    assert scope.calibration is not None
    assert scope.calibration.max_drawdown == 0.1
    assert scope.calibration.drawdown_upper <= 0.1
