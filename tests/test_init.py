"""The public face: these names, and an import that costs little."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import serac_retriever

HEAVY = ["torch", "transformers", "sentence_transformers", "chromadb", "onnxruntime", "scipy"]


def in_a_fresh_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_the_public_names_are_these() -> None:
    assert serac_retriever.__all__ == [
        "Candidate",
        "CounterfactualModel",
        "CrossEncoderScope",
        "Decision",
        "Edit",
        "EditMemory",
        "EditRetriever",
        "EmbeddingScope",
        "Example",
        "LateInteractionScope",
        "Prompted",
        "PromptedScope",
        "Reader",
        "ScopeClassifier",
        "Seq2Seq",
        "Serac",
        "SeracError",
        "Verbatim",
        "read_suite",
        "write_suite",
    ]
    for name in serac_retriever.__all__:
        assert getattr(serac_retriever, name).__name__ == name
    assert set(serac_retriever.__all__) < set(dir(serac_retriever))  # for tab completion


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'Gate'"):
        serac_retriever.Gate


def test_importing_the_package_loads_nothing_heavy_and_is_quick() -> None:
    code = (
        "import json, sys, time; begun = time.perf_counter(); import serac_retriever;"
        "print(json.dumps([time.perf_counter() - begun, sorted(sys.modules)]))"
    )
    seconds, modules = json.loads(in_a_fresh_process(code))
    assert not set(HEAVY) & set(modules)
    assert seconds < 0.5


def test_the_nouns_and_errors_load_no_model_library_either() -> None:
    code = (
        "import json, sys; from serac_retriever import Edit, Decision, SeracError, read_suite;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not set(HEAVY) & set(json.loads(in_a_fresh_process(code)))


def test_building_and_asking_a_gate_loads_no_torch() -> None:
    code = (
        "import json, sys, chromadb; from serac_retriever import EditMemory, Serac;"
        "memory = EditMemory(client=chromadb.EphemeralClient());"
        "memory.add('Who is the UK prime minister?', 'Keir Starmer');"
        "chain = Serac(base=lambda question: 'base', memory=memory);"
        "assert chain.invoke('Who is the prime minister of the UK?') == 'Keir Starmer';"
        "print(json.dumps(sorted(sys.modules)))"
    )
    heavy = {"torch", "transformers", "sentence_transformers"}
    assert not heavy & set(json.loads(in_a_fresh_process(code)))
