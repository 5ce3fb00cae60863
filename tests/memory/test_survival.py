"""What the memory survives: a bad line among thousands, Ctrl-C, kill -9, two writers at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serac_retriever import Edit
from serac_retriever.errors import EncoderMismatchError, SuiteError
from serac_retriever.memory import EditMemory
from serac_retriever.memory.loading import BATCH
from serac_retriever.suites import write_suite
from tests.chroma_server import ChromaServer
from tests.encoders import WordEncoder

ROOT = Path(__file__).parents[2]
Open = Callable[..., EditMemory]
BEGIN = """
import sys, time
from serac_retriever.memory import EditMemory
from tests.encoders import WordEncoder

class Slow(WordEncoder):
    "Says when a batch begins, and takes its time."
    def embed_documents(self, texts):
        print("batch", len(texts), flush=True)
        time.sleep(0.1)
        return super().embed_documents(texts)

def open_memory(embeddings):
    where = {"path": sys.argv[1]} if sys.argv[2] == "-" else {
        "host": sys.argv[1], "port": int(sys.argv[2])}
    return EditMemory(**where, collection=sys.argv[3], embeddings=embeddings)
"""
IMPORT = "open_memory(Slow()).import_file(sys.argv[4])"
REINDEX = "open_memory(WordEncoder()).reindex(Slow(name='new'))"
WRITE = """
memory = open_memory(WordEncoder())
for n in range(10_000):
    prompt = f"What is the capital of country {n} in the year {n * 7919 % 10_007}?"
    memory.add(prompt, str(n), id=f"edit-{n}")
    print("added", n, flush=True)
    if n % 3 == 1:
        memory.update(f"edit-{n}", target="new")
        print("updated", n, flush=True)
    if n % 3 == 2:
        memory.retire(f"edit-{n}")
        print("retired", n, flush=True)
"""
ADD_FIFTY = """
memory = open_memory(WordEncoder())
for n in range(50):
    memory.add(f"What does process {sys.argv[4]} say about {n}?", str(n))
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in another process; end it whatever happens."""
    command = [sys.executable, "-W", "ignore", "-c", BEGIN + script, *map(str, arguments)]
    running = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def lines_of(running: subprocess.Popen[str], count: int) -> list[str]:
    """Wait until a process has said so many lines, and return them."""
    assert running.stdout is not None
    lines = [running.stdout.readline().strip() for _ in range(count)]
    if not lines[-1]:
        raise AssertionError(running.communicate()[1])
    return lines


@pytest.fixture(params=["embedded", "server"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, collection_name: str
) -> tuple[tuple[str, str, str], Callable[..., EditMemory]]:
    """Where another process writes, as a script's arguments, and how to open that place here."""
    if request.param == "embedded":
        folder = tmp_path / "edits"
        return (str(folder), "-", collection_name), lambda **given: EditMemory(
            folder, collection=collection_name, **{"embeddings": WordEncoder(), **given}
        )
    server: ChromaServer = request.getfixturevalue("chroma_server")
    return (server.host, str(server.port), collection_name), lambda **given: server.memory(
        collection=collection_name, **{"embeddings": WordEncoder(), **given}
    )


Place = tuple[tuple[str, str, str], Open]


def capitals(count: int) -> list[Edit]:
    return [
        Edit(
            id=f"edit-{n}",
            prompt=f"What is the capital of country {n} in the year {n * 7919 % 10_007}?",
            target=str(n),
        )
        for n in range(count)
    ]


# -- ten thousand edits, one of them bad -----------------------------------------------------


@pytest.fixture
def ten_thousand(tmp_path: Path) -> Path:
    path = tmp_path / "edits.jsonl"
    write_suite(path, capitals(10_000))
    lines = path.read_text().splitlines()
    lines[7_776] = '{"prompt": "What is the capital of nowhere?"}'
    path.write_text("\n".join(lines))
    return path


def test_one_bad_line_of_ten_thousand_is_named_and_nothing_lands(
    ten_thousand: Path, tmp_path: Path
) -> None:
    with EditMemory(tmp_path / "edits", embeddings=WordEncoder()) as memory:
        with pytest.raises(SuiteError, match=r"line 7777: .*target: Field required") as caught:
            memory.import_file(ten_thousand)
        assert caught.value.line == 7_777
        assert memory.count() == 0


def test_one_bad_line_of_ten_thousand_is_named_and_the_rest_lands(
    ten_thousand: Path, tmp_path: Path
) -> None:
    with EditMemory(tmp_path / "edits", embeddings=WordEncoder()) as memory:
        report = memory.import_file(ten_thousand, on_error="skip")
        assert len(report.added) == memory.count() == 9_999
        assert [failure.line for failure in report.failures] == [7_777]
        again = memory.import_file(ten_thousand, on_error="skip")
        assert (len(again.added), len(again.unchanged)) == (0, 9_999)
        assert memory.count() == 9_999
        for edit in capitals(10_000)[::1000]:
            assert memory.search(edit.prompt, k=1)[0].similarity > 0.99


@pytest.mark.slow
def test_ten_thousand_prompts_in_another_script_all_land(tmp_path: Path) -> None:
    with EditMemory(tmp_path / "edits", embeddings=WordEncoder()) as memory:
        prompts = (f"{chr(0x4E00 + n)}的首都是哪里?" for n in range(10_000))
        report = memory.add_many({"prompt": prompt, "target": "x"} for prompt in prompts)
        assert (len(report.added), report.failures) == (10_000, [])


# -- Ctrl-C and kill -9 ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sign", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_an_import_cut_short_is_finished_by_a_second_run(
    place: Place, tmp_path: Path, sign: signal.Signals
) -> None:
    arguments, open_here = place
    path = tmp_path / "edits.jsonl"
    total = BATCH * 6
    write_suite(path, capitals(total))
    with process(IMPORT, *arguments, path) as running:
        lines_of(running, 3)  # two batches stand, a third is on its way
        running.send_signal(sign)
        assert running.wait(timeout=30) != 0
    with open_here() as memory:
        landed = memory.count()
        assert BATCH * 2 <= landed < total
        report = memory.import_file(path)
        assert (len(report.added), len(report.unchanged)) == (total - landed, landed)
        assert memory.list(limit=None) == capitals_of(path)
        for edit in capitals(total)[::100]:
            assert memory.search(edit.prompt, k=1)[0].similarity > 0.99


def capitals_of(path: Path) -> list[Edit]:
    return [Edit.from_record(json.loads(line)) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "acknowledged",
    [40, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 2, 3, 5, 400))],
)
def test_every_acknowledged_write_outlives_kill_9(place: Place, acknowledged: int) -> None:
    arguments, open_here = place
    with process(WRITE, *arguments) as running:
        said = lines_of(running, acknowledged)
        running.kill()
        rest = running.communicate()[0]
        said += [line.strip() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    check_acknowledged(open_here, said)


def check_acknowledged(open_here: Open, said: list[str]) -> None:
    with open_here() as memory:
        stored = {edit.id: edit for edit in memory.list(limit=None)}
        assert memory.malformed() == ()
        for verb, n in (line.split() for line in said):
            edit = stored[f"edit-{n}"]
            if verb == "updated":
                assert edit.target == "new"
            if verb == "retired":
                assert edit.status == "retired"
            if edit.status == "active":
                found = {c.edit.id: c.similarity for c in memory.search(edit.prompt)}
                assert found[edit.id] > 0.99
        assert len(stored) <= int(said[-1].split()[1]) + 2  # one more at most was on its way
        new = memory.add("Who wrote Emma?", "Jane Austen")
        assert memory.search("Who wrote Emma?", k=1)[0].edit == new


def test_every_acknowledged_write_outlives_a_kill_9_of_the_server(own_server: ChromaServer) -> None:
    arguments = (own_server.host, own_server.port, "edits")
    with process(WRITE, *arguments) as running:
        said = lines_of(running, 25)
        own_server.kill()
        rest, errors = running.communicate(timeout=30)
        said += rest.split("\n")[:-1]
    assert "MemoryUnavailableError" in errors
    own_server.start()
    check_acknowledged(lambda: own_server.memory(embeddings=WordEncoder()), said)


def test_a_reindexing_killed_in_the_middle_leaves_everything_as_it_was(place: Place) -> None:
    arguments, open_here = place
    with open_here() as memory:
        memory.add_many(capitals(1_000))
        memory.retire("edit-7")
        kept = memory.list(limit=None)
    with process(REINDEX, *arguments) as running:
        lines_of(running, 3)
        running.kill()
    with pytest.raises(EncoderMismatchError), open_here(embeddings=WordEncoder(name="new")) as new:
        new.count()
    with open_here() as memory:
        assert memory.list(limit=None) == kept
        assert memory.search(kept[5].prompt, k=1)[0].similarity > 0.99
        memory.reindex(WordEncoder(32))
        assert memory.list(limit=None) == kept


# -- several at once -------------------------------------------------------------------------


def test_processes_that_write_through_a_server_at_once_lose_nothing(
    chroma_server: ChromaServer, collection_name: str
) -> None:
    arguments = (chroma_server.host, chroma_server.port, collection_name)
    with process(ADD_FIFTY, *arguments, "one") as one, process(ADD_FIFTY, *arguments, "two") as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    memory = chroma_server.memory(collection=collection_name, embeddings=WordEncoder())
    assert memory.count() == 100
    for name in ("one", "two"):
        for n in range(50):
            best = memory.search(f"What does process {name} say about {n}?", k=1)[0]
            assert best.similarity > 0.99
