"""Fact checking read as suites: the evidence is the edit, a claim is the query."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from serac_retriever.edit import Edit, Example

Rows = list[dict[str, Any]]
VERDICTS = {"SUPPORTS": "True", "REFUTES": "False"}
BRACKETS = {"LRB": "(", "RRB": ")", "LSB": "[", "RSB": "]", "LCB": "{", "RCB": "}"}


def fever(rows: Rows) -> list[Edit]:
    """Read FEVER pairs (fever_rte, Fever-Symmetric): one edit a piece of evidence.

    In scope: its claims, answered True or False. Rows without enough evidence are left out.
    """
    claims: dict[str, dict[str, Example]] = defaultdict(dict)
    for row in rows:
        verdict = VERDICTS.get(row.get("label") or row["gold_label"])
        evidence, claim = detokenized(row["evidence"]), detokenized(row["claim"])
        if verdict and evidence and claim:
            claims[evidence][claim] = Example(query=claim, answer=verdict, tag="claim")
    return [
        Edit(
            id=f"fever-{number}",
            prompt=evidence,
            target=evidence,
            kind="fact",
            in_scope=tuple(found.values()),
        )
        for number, (evidence, found) in enumerate(claims.items())
    ]


def fool_me_twice(rows: Rows) -> list[Edit]:
    """Read Fool Me Twice: one edit a claim's evidence; out of scope are other claims on its page.

    ``other_claim``: claims about the same Wikipedia page that rest on other evidence.
    """
    pages: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in rows:
        evidence = " ".join(piece["text"].strip() for piece in row["gold_evidence"])
        verdict = VERDICTS.get(row["label"])
        if evidence and verdict:
            pages[row["wikipedia_page"]].append((evidence, row["text"].strip(), verdict))
    edits: list[Edit] = []
    for page, found in pages.items():
        for evidence, claim, verdict in found:
            others = (c for e, c, _ in found if e not in evidence and evidence not in e)
            edits.append(
                Edit(
                    id=f"fool-me-twice-{len(edits)}",
                    prompt=evidence,
                    target=evidence,
                    kind="fact",
                    in_scope=(Example(query=claim, answer=verdict, tag="claim"),),
                    out_of_scope=tuple(
                        Example(query=other, tag="other_claim")
                        for other in others
                        if other != claim
                    ),
                    metadata={"page": page},
                )
            )
    return edits


def detokenized(text: str) -> str:
    """Undo the treebank's tokenisation.

    Example:
        >>> print(detokenized("Soul Food -LRB- 1997 -RRB- is `` a film '' , it 's said ."))
        Soul Food (1997) is "a film", it's said.
    """
    text = re.sub(r"-([LR][RSC]B)-", lambda found: BRACKETS.get(found[1], found[0]), text)
    text = re.sub(r"``\s*|\s*''", '"', text.replace(" -- ", "–"))
    text = re.sub(r"\s+(?=[,.;:!?%)\]}]|'s\b|n't\b|'(?:re|ve|ll|d|m)\b)", "", text)
    return re.sub(r"(?<=[(\[{])\s+", "", text).strip()
