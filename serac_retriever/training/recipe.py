"""What the packaged models are trained on: which data, how much of it, what is held out."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Edit, Example
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.suites import read_suite
from serac_retriever.training import examples, near_misses, swaps
from serac_retriever.training.examples import Pair
from serac_retriever.training.relations import relation_edits

SOURCES = ("everyday", "relations", "zsre", "counterfact", "pokemqa", "knowedit", "claims",
           "paraphrases", "stances")  # fmt: skip


@dataclass(frozen=True)
class Public:
    """The public data sets, where they lie, cut into training and held-out parts.

    One edit in ten is held out, by a hash of its subject (or prompt): the two parts share none.

    Args:
        data: Folder of the public sets.
        everyday: Folder of the Everyday set.
    """

    data: Path
    everyday: Path
    _cache: dict[str, list[Edit]] = field(default_factory=dict, compare=False)

    def suite(self, source: str, held_out: bool = False) -> list[Edit]:
        """Return the edits of one source, of its training part or of the held-out one."""
        if source not in self._cache:
            self._cache[source] = _READ[source](self)
        edits = self._cache[source]
        if source == "everyday":
            return self.read("dev.jsonl", None, self.everyday) if held_out else edits
        return [edit for edit in edits if _held_out(edit) == held_out]

    def read(self, path: str, format: str | None, folder: Path | None = None) -> list[Edit]:
        """Read a file of the public sets."""
        return read_suite((folder or self.data) / path, format)


def _held_out(edit: Edit) -> bool:
    key = str(edit.metadata.get("subject") or edit.metadata.get("page") or edit.prompt)
    return hashlib.blake2b(key.encode(), digest_size=2).digest()[0] % 10 == 0


def _everyday(public: Public) -> list[Edit]:
    seeds = sorted((public.data / "everyday_seed").glob("*.jsonl"))
    edits = read_suite(public.everyday / "train.jsonl")
    return edits + [edit for seed in seeds for edit in read_suite(seed)]


def _claims(public: Public) -> list[Edit]:
    """Return FEVER and Fool Me Twice without any claim of Fever-Symmetric, which is a test."""
    symmetric = public.read("fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl", "fever")
    tested = {_letters(example.query) for edit in symmetric for example in edit.in_scope}
    tested |= {_letters(edit.prompt) for edit in symmetric}
    edits = public.read("fever_rte/fever_rte_dev.jsonl", "fever")
    kept = [
        edit.model_copy(
            update={"in_scope": tuple(e for e in edit.in_scope if _letters(e.query) not in tested)}
        )
        for edit in edits
        if _letters(edit.prompt) not in tested
    ]
    return [e for e in kept if e.in_scope] + public.read("fool_me_twice/dev.jsonl", "fool_me_twice")


def _letters(text: str) -> str:
    """Return what two tokenisations of one text have in common."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _paraphrases(public: Public) -> list[Edit]:
    """Return question and sentence pairs; the two files of squad_paraphrased go row by row."""
    pairs = zip(
        public.read("squad_paraphrased/dev_orig.json", "squad"),
        public.read("squad_paraphrased/dev_para.json", "squad"),
        strict=True,
    )
    joined = [
        one.model_copy(
            update={"id": f"pair-{one.id}",
                    "in_scope": (Example(query=other.prompt, tag="paraphrase"),)}
        )
        for one, other in pairs
        if one.target == other.target and one.prompt != other.prompt
    ]  # fmt: skip
    return [
        *joined,
        *public.read("xquad/xquad.en.json", "squad"),
        *public.read("paws_wiki/dev.tsv", "paws"),
        *public.read("mrpc/msr_paraphrase_train.txt", "mrpc"),
    ]


_READ: dict[str, Callable[[Public], list[Edit]]] = {
    "everyday": _everyday,
    "relations": lambda public: relation_edits(6000, random.Random(0)),
    "zsre": lambda public: public.read("zsre/zsre_mend_train-1k.json", "zsre"),
    "counterfact": lambda public: public.read("counterfact/counterfact-train.json", "counterfact"),
    "pokemqa": lambda public: public.read("pokemqa/cls-filtered.json", "pokemqa"),
    "knowedit": lambda public: [
        *public.read("knowedit/benchmark_wiki_counterfact_train_cf.json", "knowedit"),
        *public.read("knowedit/benchmark_wiki_recent_recent_train.json", "knowedit"),
    ],
    "claims": _claims,
    "paraphrases": _paraphrases,
    "stances": lambda public: public.read(
        "convsent/benchmark_Convsent_blender_val.json", "convsent"
    ),
}

# passes over a source's edits, each with near misses drawn anew, and the most pairs of a pass:
# so that none drowns the others, and the hand-composed set weighs most
PASSES = {"everyday": 2}
LIMITS = {"everyday": 140_000, "relations": 25_000, "zsre": 12_000, "counterfact": 16_000,
          "pokemqa": 10_000, "knowedit": 10_000, "claims": 12_000, "paraphrases": 9_000,
          "stances": 2_000}  # fmt: skip
SAMPLED = {"counterfact": 5000, "pokemqa": 3000, "claims": 2500}  # edits of the large sources


def scope_pairs(public: Public, rng: random.Random, without: Iterable[str] = ()) -> list[Pair]:
    """Return the packaged scope classifier's training pairs, shuffled.

    Args:
        public: The data.
        rng: All chance comes from here.
        without: Sources to leave out (leave-one-source-out runs), of :data:`SOURCES`.
    """
    chosen: list[Pair] = []
    for source in SOURCES:
        if source in without:
            continue
        for turn in range(PASSES.get(source, 1)):
            near = packaged_encoder() if turn == 0 else None  # embedding is the slow part
            found = [*dict.fromkeys(_pairs_of(source, public.suite(source), rng, near))]
            rng.shuffle(found)
            if source == "everyday":  # what was composed teaches more than what is made of it
                found.sort(key=set(examples.given(public.suite(source))).__contains__, reverse=True)
            chosen += found[: LIMITS[source]]
    queries = [pair.query for pair in chosen]
    # most of what production hears is none of any edit's business
    strangers = rng.sample(chosen, len(chosen) // 20)
    known = {(pair.prompt, pair.query) for pair in chosen if pair.in_scope}
    unrelated = [
        pair._replace(query=rng.choice(queries), in_scope=False, tag="unrelated")
        for pair in strangers
    ]
    chosen += [p for p in unrelated if (p.prompt, p.query) not in known and p.prompt != p.query]
    rng.shuffle(chosen)
    return chosen


def suite_pairs(
    suite: Sequence[Edit], rng: random.Random, embeddings: Embeddings | None = None
) -> Iterator[Pair]:
    """Yield every kind of pair that a suite gives.

    Args:
        suite: Edits with their queries.
        rng: All chance comes from here.
        embeddings: Finds nearest neighbours, the paper's near misses; none of them unless given.
    """
    yield from chain(
        examples.given(suite),
        examples.crossed(suite, rng),
        examples.restated(suite, rng),
        swaps.subject_swaps(suite, rng),
        near_misses.negations(suite, rng),
        near_misses.other_numbers(suite, rng),
        near_misses.subjectless(suite, rng),
    )
    if embeddings is not None:
        yield from near_misses.neighbours(suite, embeddings, rng)


def _pairs_of(
    source: str, edits: list[Edit], rng: random.Random, embeddings: Embeddings | None
) -> Iterator[Pair]:
    if len(edits) > (most := SAMPLED.get(source, len(edits))):
        edits = rng.sample(edits, most)
    if source == "paraphrases":
        return chain(examples.given(edits), examples.restated(edits[:2000], rng))
    if source == "claims":
        near = near_misses.neighbours(edits, embeddings, rng) if embeddings else iter(())
        return chain(examples.given(edits), near)
    if source == "relations":  # has its near misses
        embeddings = None
    found = suite_pairs(edits, rng, embeddings)
    if source in ("zsre", "counterfact", "knowedit"):
        found = chain(found, swaps.relation_swaps(edits, rng), swaps.reworded(edits, rng))
    return found
