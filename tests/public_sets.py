"""Files of the public sets' shape that hold a few made-up rows, and a reader that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableLambda

from serac_retriever.counterfactual import CounterfactualInput
from serac_retriever.evaluation import TaskResult

PEOPLE = ["Ann Lerch", "Ann Lersch", "Boris Okafor", "Cora Winde", "Dimitri Vale", "Edda Moor"]
PEOPLE += ["Fay Nunn"]
SHIPS = ["HMS Quill", "HMS Quilt", "SS Marrow 12", "SS Tansy", "MV Gorse", "MV Heron", "MV Ibis"]


def row(subject: str, question: str, rephrase: str, new: str, former: str) -> dict[str, Any]:
    return {
        "subject": subject,
        "src": question.format(subject),
        "rephrase": rephrase.format(subject),
        "alt": new,
        "pred": former,
        "answers": [former],
        "loc": f"nq question: how old is the harbour wall at pier {len(subject)}",
        "loc_ans": "old",
    }


ROWS = [
    *(row(p, "Who is the mother of {}?", "What is the name of {}'s mother?", f"Mrs {p}", "Eve Dahl")
      for p in PEOPLE),
    *(row(s, "Which yard built {}?", "At which yard was {} built?", f"Yard of {s}", "Fell & Sons")
      for s in SHIPS),
]  # fmt: skip
TRAIN = [row("Lot 9", "What colour is {}?", "Which colour does {} have?", "red", "blue")]
CITIES = ["Ghent", "Turin", "Porto", "Lund", "Graz"]


def evidence(number: int) -> dict[str, str]:
    return {
        "evidence": f"Baker number {number} was born in {CITIES[number % 5]}.",
        "claim": f"Baker number {number} comes from {CITIES[(number + number % 2) % 5]}.",
        "label": ("SUPPORTS", "REFUTES")[number % 2],
    }


def write_public_sets(folder: Path) -> None:
    fact = {"subject": "", "ground_truth": "x", "locality_ground_truth": "y"}
    counterfact = [
        {
            **fact,
            "case_id": number,
            "subject": f"Town {number}",
            "prompt": f"Town {number} lies in",
            "target_new": f"Land {number}",
            "rephrase_prompt": f"It rained. Where is it? Town {number} is located in",
            "locality_prompt": f"{'Town 1' if number == 0 else f'Hamlet {number}'} lies in",
        }
        for number in range(30)
    ]
    symmetric = [
        {"evidence": f"The bridge is {word}.", "claim": "The bridge is red.", "gold_label": label}
        for word, label in (("red", "SUPPORTS"), ("blue", "REFUTES"))
    ]
    twice = [
        {
            "text": f"Page {page} has part {part}.",
            "label": "SUPPORTS",
            "gold_evidence": [{"text": f"On page {page} stands part {part}."}],
            "wikipedia_page": f"page {page}",
        }
        for page in range(30)
        for part in range(2)
    ]
    files: dict[str, list[Any]] = {
        "zsre/zsre_mend_eval_portability_gpt4.json": ROWS,
        "zsre/zsre_mend_train-1k.json": TRAIN,
        "counterfact/counterfact-edit.json": counterfact,
        "counterfact/counterfact-train.json": counterfact,
        "fever_rte/fever_rte_dev.jsonl": [evidence(number) for number in range(120)],
        "fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl": symmetric,
        "fool_me_twice/dev.jsonl": twice,
    }
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        lines = "\n".join(json.dumps(one) for one in rows)
        path.write_text(lines if name.endswith("l") else json.dumps(rows))


def verdict(given: CounterfactualInput) -> str:
    """Read like a reader: a check or claim is true where its last word stands in the edit."""
    edit, query = given["edits"][0], given["query"]
    if query.startswith("True or False") or edit.kind == "fact":
        return str(query.rstrip(".").split()[-1] in f"{edit.prompt} {edit.target}")
    return edit.target


READER = RunnableLambda(verdict)


def values(result: TaskResult) -> dict[str, float | None]:
    return {name: figure.value for name, figure in result.figures.items()}
