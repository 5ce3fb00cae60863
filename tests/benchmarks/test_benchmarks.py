"""The benchmarks measure what they say: fast ones of their parts, a slow one of a whole run."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import scaling
from benchmarks.clock import Profile, alternate, machine
from benchmarks.ratios import QUICK
from benchmarks.table import Row
from benchmarks.texts import Pool, everyday, generated, queries_of


def test_a_text_is_handed_out_once_and_sides_get_texts_of_like_length() -> None:
    pool = Pool([*("x" * length for length in range(1, 101)), "x"])
    rounds = pool.rounds(40)
    handed = [text for texts in rounds for text in texts]
    assert len(set(handed)) == len(handed) == 80
    assert max(abs(len(one) - len(other)) for one, other in rounds) < 10
    with pytest.raises(ValueError, match="20 are left"):
        pool.take(21)


def test_chance_comes_from_the_seed() -> None:
    edits, again = generated(20)[0], generated(20)[0]
    assert [edit.prompt for edit in edits] == [edit.prompt for edit in again]
    assert edits[0].prompt != generated(20, seed=1)[0][0].prompt
    assert Pool("abcdef").take(6) == Pool("abcdef").take(6)


def test_what_is_asked_of_generated_edits_stands_nowhere_among_them() -> None:
    edits, asked = generated(5_000)
    prompts = [edit.prompt for edit in edits]
    assert len({*prompts}) > 0.99 * len(prompts)
    assert not {query for of_one in asked for query in of_one} & {*prompts}


def test_far_queries_are_of_other_domains_than_the_edits() -> None:
    stored, asked = everyday("train"), everyday("dev")
    assert not {e.metadata["domain"] for e in stored} & {e.metadata["domain"] for e in asked}
    assert len(queries_of(asked)) > 3_000


def test_sides_take_turns_and_the_first_rounds_do_not_count() -> None:
    order = []
    spent = alternate(
        [["a", "b"]] * 4, lambda _: order.append(1), lambda _: order.append(2), warm_up=1
    )
    assert order == [1, 2, 2, 1, 1, 2, 2, 1]
    assert [len(side) for side in spent] == [3, 3]


def test_a_profile_adds_up_and_tells_a_part_within_a_part() -> None:
    class Inner:
        def work(self) -> None:
            sleep(0.02)

    class Outer:
        def work(self) -> None:
            sleep(0.01)
            Inner().work()

    profile = Profile()
    with profile.around((Outer, "work", "outer"), (Inner, "work", "inner")):
        profile.call(lambda: (Outer().work(), Inner().work()))
    [call] = profile.calls
    assert set(call) == {"", "outer", "outer/inner", "inner"}
    assert call["outer"] == pytest.approx(10, abs=8)
    assert call["outer/inner"] == pytest.approx(20, abs=15)
    assert profile.outside("outer", "inner") == [call[""]]
    assert "timed" not in repr(Outer.work)


def test_the_machine_is_described() -> None:
    about = machine()
    assert about["threads"] == 1
    assert about["chromadb"]
    assert json.dumps(about)


def test_a_row_is_met_on_the_right_side_of_its_reach() -> None:
    assert Row("far", "", 1.7, 1.8).met()
    assert not Row("far", "", 1.9, 1.8).met()
    assert Row("far", "", 1.9, 1.8).met(margin=1.5)
    assert Row("scan", "", 250, 300, at_least=True).met(margin=1.5)
    assert not Row("scan", "", 250, 300, at_least=True).met()


@pytest.mark.slow
def test_a_quick_run_writes_the_keys_that_are_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = replace(
        QUICK, rounds=8, edits=120, asked=60, many=150, slow=2, scanned=5, batches=2, each=2,
        processes=1,
    )  # fmt: skip
    monkeypatch.setattr(command, "QUICK", tiny)
    monkeypatch.setattr(command, "MARGIN", sys.float_info.max)  # sizes this tiny say nothing
    app = Typer()
    app.command()(command.run)
    out = tmp_path / "quick.json"
    done = CliRunner().invoke(app, ["--quick", "--out", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    found = SimpleNamespace(**json.loads(out.read_text()))
    assert {*found.ratios} == {
        "far", "near", "growth", "batch", "scan", "langchain", "load", "concurrent",
    }  # fmt: skip
    assert all(ratio > 0 for ratio in found.ratios.values())
    assert {*vars(found)} == {
        "ratios", "gate_ms", "import_s", "list_s", "first_answer_s", "peak_mb", "machine",
    }  # fmt: skip
    details = json.loads((tmp_path / "quick-details.json").read_text())
    assert {"far", "near", "batch", "profile", "load"} <= {*details}


@pytest.mark.slow
def test_several_gates_on_one_server_see_every_write_at_their_next_query(tmp_path: Path) -> None:
    found = scaling.measure(tmp_path, edits=60, processes=2, seconds=1, writes=6)
    assert found.writes >= 5
    assert found.seen == 2 * found.writes
    assert found.stored == found.expected == 60 + found.writes
    assert {*found.per_s} == {1, 2}
    assert all(rate > 0 for rate in found.per_s.values())
