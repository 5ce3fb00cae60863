"""The public sets, in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.public_sets import write_public_sets


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public-sets")
    write_public_sets(folder)
    return folder
