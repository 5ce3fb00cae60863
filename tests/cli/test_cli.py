"""The command line, as a person and as a script meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serac_retriever import __version__
from serac_retriever.cli import app
from serac_retriever.memory import EditMemory
from serac_retriever.scope import EmbeddingScope
from tests.chroma_server import ChromaServer

QUESTION, ANSWER = "Who is the UK prime minister?", "Keir Starmer"
ID = "who-is-the-uk-prime-minister"


class Serac:
    """Runs ``serac`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *args: str, code: int = 0, input: str | None = None) -> Result:
        result = CliRunner().invoke(app, [*args], input=input)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self(*args, "--json", code=code).stdout)


@pytest.fixture
def serac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serac:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("SERAC_MEMORY", "SERAC_HOST", "SERAC_PORT", "SERAC_COLLECTION", "SERAC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return Serac(tmp_path)


@pytest.fixture
def filled(serac: Serac) -> Serac:
    serac("add", QUESTION, ANSWER, "--tag", "uk", "--author", "Ines")
    return serac


def test_add_stores_an_edit_in_the_folder_edits_unless_told_otherwise(serac: Serac) -> None:
    added = serac.json("add", QUESTION, ANSWER, "--tag", "uk", "--valid-until", "2030-01-01")
    assert (added["id"], added["target"], added["tags"]) == (ID, ANSWER, ["uk"])
    assert (serac.folder / "edits").is_dir()
    assert serac.json("show", ID)["valid_until"] == "2030-01-01T00:00:00Z"


def test_memory_option_environment_and_settings_file_name_another_folder(
    serac: Serac, monkeypatch: pytest.MonkeyPatch
) -> None:
    serac("add", "One?", "1", "--memory", "other")
    monkeypatch.setenv("SERAC_MEMORY", "other")
    assert [edit["id"] for edit in serac.json("list")] == ["one"]
    monkeypatch.delenv("SERAC_MEMORY")
    Path("serac.toml").write_text('memory = "other"\nthreshold = 1.0\n')
    assert [edit["id"] for edit in serac.json("list", "--config", "serac.toml")] == ["one"]
    assert serac.json("decide", "One?", "--config", "serac.toml")["fired"] == []


def test_list_filters_and_pages(serac: Serac) -> None:
    for number in range(5):
        serac("add", f"Question {number}?", "x", "--tag", "even" if number % 2 == 0 else "odd")
    assert len(serac.json("list", "--limit", "2")) == 2
    assert "--offset 2" in serac("list", "--limit", "2").stdout
    assert [edit["id"] for edit in serac.json("list", "--tag", "odd")] == [
        "question-1",
        "question-3",
    ]
    assert serac.json("list", "--status", "retired") == []


def test_an_empty_memory_says_how_to_begin(serac: Serac) -> None:
    assert "serac add" in serac("list").stdout


def test_retire_restore_update_and_delete_change_one_edit(filled: Serac) -> None:
    assert filled.json("retire", ID)["status"] == "retired"
    assert filled.json("decide", QUESTION)["fired"] == []
    assert filled.json("restore", ID)["status"] == "active"
    updated = filled.json("update", ID, "--target", "Sir Keir Starmer")
    assert (updated["target"], updated["version"]) == ("Sir Keir Starmer", 4)
    assert filled.json("delete", ID, "--yes") == {"deleted": ID}
    assert filled.json("list") == []


def test_delete_asks_first(filled: Serac) -> None:
    filled("delete", ID, input="n\n", code=1)
    assert len(filled.json("list")) == 1


def test_search_and_decide_tell_the_scores(filled: Serac) -> None:
    (candidate,) = filled.json("search", "British prime minister")
    assert candidate["id"] == ID
    assert 0 < candidate["similarity"] <= 1
    decision = filled.json("decide", "Who's the current British PM?")
    assert decision["fired"] == [ID]
    assert decision["candidates"][0]["score"] > decision["threshold"]
    assert set(decision["timings_ms"]) >= {"embed", "retrieve", "scope"}
    assert filled.json("decide", "Who wrote Emma?")["fired"] == []
    assert filled.json("decide", QUESTION, "--threshold", "1")["fired"] == []


@pytest.fixture
def base(serac: Serac) -> str:
    (serac.folder / "app_of_mine.py").write_text(
        "from langchain_core.language_models import FakeListChatModel\n"
        "def chain(question: str) -> str:\n    return 'base: ' + question\n"
        "model = FakeListChatModel(responses=['from the model'])\n"
    )
    return "app_of_mine:chain"


def test_ask_answers_from_the_edit_or_from_the_base(filled: Serac, base: str) -> None:
    asked = filled.json("ask", "Who's the current British PM?", "--base", base)
    assert (asked["answer"], asked["fired"]) == (ANSWER, [ID])
    assert (
        filled.json("ask", "Who wrote Emma?", "--base", base)["answer"] == "base: Who wrote Emma?"
    )
    assert filled.json("ask", QUESTION, "--base", "app_of_mine:model")["answer"] == ANSWER
    shown = filled("ask", "Who's the current British PM?", "--base", base).stdout
    assert ANSWER in shown
    assert ID in shown


@pytest.mark.parametrize(
    "name", ["nowhere:chain", "app_of_mine:nothing", "no-colon", "broken:chain"]
)
def test_a_base_that_cannot_be_found_is_a_plain_error(filled: Serac, base: str, name: str) -> None:
    (filled.folder / "broken.py").write_text("import module_that_is_not_there\n")
    result = filled("ask", QUESTION, "--base", name, code=1)
    assert "ConfigError" in result.stderr
    assert "Traceback" not in result.output


def test_import_reports_bad_lines_with_their_numbers(serac: Serac) -> None:
    lines = [json.dumps({"prompt": f"Question {n}?", "target": str(n)}) for n in range(20)]
    lines[6] = '{"prompt": "no target"}'
    Path("suite.jsonl").write_text("\n".join(lines))
    refused = serac("import", "suite.jsonl", code=1)
    assert "line 7" in refused.stderr
    assert serac.json("list") == []
    report = serac.json("import", "suite.jsonl", "--skip", code=3)
    assert len(report["added"]) == 19
    assert [failure["line"] for failure in report["failures"]] == [7]
    assert len(serac.json("import", "suite.jsonl", "--skip", code=3)["unchanged"]) == 19


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_what_is_exported_can_be_imported_elsewhere(filled: Serac, name: str) -> None:
    assert filled.json("export", name)["exported"] == 1
    filled("import", name, "--memory", "copy")
    assert filled.json("show", ID, "--memory", "copy") == filled.json("show", ID)


def test_unknown_ids_and_files_are_errors_with_exit_code_1(serac: Serac) -> None:
    for command in ("show", "retire", "restore"):
        assert "EditNotFoundError" in serac(command, "nobody", code=1).stderr
    assert "SuiteError" in serac("import", "missing.jsonl", code=1).stderr
    told = json.loads(serac("show", "nobody", "--json", code=1).stderr)
    assert told["error"]["type"] == "EditNotFoundError"


def test_wrong_usage_is_exit_code_2(filled: Serac) -> None:
    filled("update", ID, code=2)
    filled("list", "--limit", "0", code=2)
    filled("eval", "x.jsonl", "--edits", "some", code=2)
    filled("decide", "x", "--threshold", "2", code=2)


def test_blank_prompts_and_duplicates_are_refused_and_nothing_is_lost(filled: Serac) -> None:
    assert "prompt" in filled("add", "  ", "x", code=1).stderr
    assert "DuplicateEditError" in filled("add", QUESTION, "somebody else", code=1).stderr
    assert filled.json("show", ID)["target"] == ANSWER


def test_markup_in_an_edit_is_shown_as_it_stands(serac: Serac) -> None:
    serac("add", "What is [bold]bold[/]?", "[red]text[/red]")
    assert "[bold]bold[/]" in serac("list").stdout


def test_a_trained_classifier_decides_and_is_measured(filled: Serac) -> None:
    told = EmbeddingScope.packaged().model_copy(update={"threshold": 0.123})
    told.save(filled.folder / "scope")
    asked = {"prompt": QUESTION, "target": ANSWER, "in_scope": [{"query": "Who is the UK PM?"}]}
    Path("suite.jsonl").write_text(json.dumps(asked))
    Path("serac.toml").write_text('scope = "scope"\nk = 3')
    for chosen in (("--scope", "scope"), ("--config", "serac.toml")):
        assert filled.json("decide", QUESTION, *chosen)["threshold"] == 0.123
        assert filled.json("eval", "suite.jsonl", *chosen)["threshold"] == 0.123
    assert filled.json("eval", "suite.jsonl", "--config", "serac.toml")["k"] == 3


def test_eval_prints_the_agreed_json(serac: Serac) -> None:
    suite = {
        "prompt": QUESTION,
        "target": ANSWER,
        "in_scope": [{"query": "Who's the current British PM?", "answer": ANSWER}],
        "out_of_scope": [{"query": "Who wrote Emma?", "tag": "unrelated"}],
    }
    Path("suite.jsonl").write_text(json.dumps(suite))
    report = serac.json("eval", "suite.jsonl", "--edits", "1")
    assert report["edits"] == 1
    assert report["edit_success"] == 1.0
    assert report["drawdown"] == {"all": 0.0, "unrelated": 0.0}
    assert report["edit_success_ci"][0] < 1.0 == report["edit_success_ci"][1]
    assert (report["recall_at_k"], report["k"]) == (1.0, 8)
    assert set(report["latency_ms"]) == {"p50", "p95"}
    assert 0 < report["threshold"] < 1
    assert "edit success" in serac("eval", "suite.jsonl").stdout
    assert "ConfigError" in serac("eval", "suite.jsonl", "--edits", "2", code=1).stderr


def test_doctor_finds_malformed_records_and_says_so_with_exit_code_3(filled: Serac) -> None:
    assert filled.json("doctor")["faults"] == []
    with EditMemory("edits") as memory:
        memory.collection.add(ids=["odd"], documents=["no target here"])
    found = filled.json("doctor", code=3)
    assert found["memory"]["malformed"][0]["id"] == "odd"
    assert found["memory"]["edits"]["active"] == 1
    assert "odd" in filled("doctor", code=3).stdout


def test_doctor_makes_no_memory_where_there_is_none(serac: Serac) -> None:
    assert serac.json("doctor")["memory"] is None
    assert not Path("edits").exists()


def test_reindex_mends_a_collection_of_another_encoder(serac: Serac) -> None:
    from tests.encoders import WordEncoder

    with EditMemory("edits", embeddings=WordEncoder()) as memory:
        memory.add(QUESTION, ANSWER)
    assert "EncoderMismatchError" in serac("list", code=1).stderr
    assert "EncoderMismatchError" in serac("doctor", code=3).stdout
    assert "1/" in serac("reindex").stderr  # embedded once, and not again
    assert serac.json("reindex")["edits"] == 1
    assert serac.json("decide", "Who's the current British PM?")["fired"] == [ID]


def test_commands_reach_a_server(serac: Serac, chroma_server: ChromaServer) -> None:
    where = ("--host", chroma_server.host, "--port", str(chroma_server.port))
    serac("add", "A server's question?", "yes", "--collection", "cli-server", *where)
    found = serac.json("list", "--collection", "cli-server", *where)
    assert [edit["target"] for edit in found] == ["yes"]
    assert not Path("edits").exists()


def test_a_server_that_is_not_there_is_an_error_that_says_so(serac: Serac) -> None:
    assert (
        "MemoryUnavailableError"
        in serac("list", "--host", "127.0.0.1", "--port", "9", code=1).stderr
    )


def test_bad_settings_are_a_plain_error(serac: Serac) -> None:
    Path("bad.toml").write_text("k = 0\ncolour = 'red'\n")
    told = serac("list", "--config", "bad.toml", code=1).stderr
    assert "ConfigError" in told
    assert "colour" in told


def test_version_and_help_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom serac_retriever.cli import app\n"
        "result = CliRunner().invoke(app, ['--version'])\nassert result.exit_code == 0\n"
        "print(result.stdout.strip())\n"
        "heavy = ('torch', 'transformers', 'chromadb', 'onnxruntime')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [__version__, "[]"]


def test_keeping_edits_loads_no_model_where_none_is_needed(filled: Serac) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom serac_retriever.cli import app\n"
        "from serac_retriever.models.encoder import packaged_encoder\n"
        f"for args in (['list'], ['show', '{ID}'], ['retire', '{ID}'], ['restore', '{ID}'],\n"
        f"             ['update', '{ID}', '--note', 'x'], ['export', 'x.jsonl'], ['doctor']):\n"
        "    result = CliRunner().invoke(app, args)\n"
        "    assert result.exit_code == 0, (args, result.output, result.exception)\n"
        "assert '_session' not in vars(packaged_encoder())\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=filled.folder)


def test_a_reader_that_goes_away_is_no_crash(filled: Serac) -> None:
    command = f"{sys.executable} -m serac_retriever list --json | head -c 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=filled.folder, check=True
    )
    assert done.stderr == ""


def test_nothing_in_an_edit_moves_the_terminals_cursor_or_reads_as_markup(serac: Serac) -> None:
    serac("add", "spoof?", "ok\x1b[2J\x1b[1;1Hhacked\u202e", "--id", "[/x]")
    for command in (("list",), ("show", "[/x]"), ("search", "spoof?")):
        shown = serac(*command).stdout
        assert "\x1b[2J" not in shown
        assert "\u202e" not in shown
        assert "\\x1b[2J" in shown.replace("\n", "")
    assert "[/x]" in serac("delete", "[/x]", "--yes").stdout


def test_a_base_that_fails_is_told_plainly(filled: Serac) -> None:
    (filled.folder / "failing.py").write_text("def chain(question): return 1 / 0\nnumber = 5\n")
    failed = filled("ask", "Who wrote Emma?", "--base", "failing:chain", code=1).stderr
    assert "ZeroDivisionError" in failed
    assert "Traceback" not in failed
    assert "ConfigError" in filled("ask", "x", "--base", "failing:number", code=1).stderr
    assert "ConfigError" in filled("ask", "x", "--base", "", code=1).stderr


def test_what_is_said_on_the_command_line_beats_the_environment(
    filled: Serac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERAC_HOST", "nowhere.invalid")
    assert len(filled.json("list", "--memory", "edits")) == 1
    monkeypatch.delenv("SERAC_HOST")
    monkeypatch.setenv("SERAC_MEMORY", "edits")
    told = filled("list", "--host", "127.0.0.1", "--port", "9", code=1).stderr
    assert "MemoryUnavailableError" in told


def test_a_terminal_that_lacks_a_letter_is_no_failure(filled: Serac) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serac_retriever", "add", "Où?", "là ✓"],
        cwd=filled.folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0


def test_what_is_no_folder_of_a_classifier_is_told_plainly(filled: Serac) -> None:
    Path("file").touch()
    assert "WeightsNotFoundError" in filled("decide", "x", "--scope", "file", code=1).stderr


def test_numbers_beyond_all_bounds_are_wrong_usage(filled: Serac) -> None:
    filled("list", "--limit", "99999999999999999999", code=2)
    assert "ConfigError" in filled("search", "x", "-k", "99999999999", code=1).stderr
