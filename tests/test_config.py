"""A gate as settings in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from serac_retriever.config import Config
from serac_retriever.errors import ConfigError
from serac_retriever.scope import EmbeddingScope


def test_a_file_of_settings_makes_a_gate(tmp_path: Path) -> None:
    scope = EmbeddingScope(slope=30, midpoint=0.5, threshold=0.25).save(tmp_path / "scope")
    path = tmp_path / "serac.toml"
    path.write_text(
        f'memory = "{tmp_path}/edits"\nscope = "{scope}"\n'
        'k = 3\nmax_edits = 2\non_error = "raise"\n'
    )
    gate = Config.read(path).gate(RunnableLambda(lambda question: "base"))
    gate.memory.add("Capital of X?", "Y")
    assert gate.invoke("Capital of X?") == "Y"
    assert (gate.k, gate.max_edits, gate.on_error, gate.scope.threshold) == (3, 2, "raise", 0.25)
    gate.memory.close()


def test_the_folder_is_edits_unless_a_server_is_named() -> None:
    assert Config().folder == Path("edits")
    assert Config(host="localhost").folder is None


@pytest.mark.parametrize("text", ["k = 0", "colour = 'red'", "k = [", "threshold = 1.5"])
def test_settings_that_are_not_what_they_must_be_are_our_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serac.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        Config.read(path)


def test_a_missing_file_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TOML"):
        Config.read(tmp_path / "none.toml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().k = 3
