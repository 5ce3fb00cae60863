"""Train the late-interaction heads: the scope classifier and the reader."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from serac_retriever.counterfactual.reader import HEAD as READER
from serac_retriever.edit import Edit, stated
from serac_retriever.models import FOLDER, weights
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope.late_interaction import COMPARE, LateInteractionScope
from serac_retriever.scope.late_interaction import HEAD as SCOPE
from serac_retriever.training import verdicts
from serac_retriever.training.examples import Pair
from serac_retriever.training.fit import enough, fit
from serac_retriever.training.interaction import (
    Collate,
    CollateReadings,
    Interaction,
    ReaderModel,
    ScopeModel,
    export_head,
    export_stages,
)
from serac_retriever.training.recipe import suite_pairs
from serac_retriever.training.relations import relation_edits
from serac_retriever.training.verdicts import Reading

BULK = 3  # pairs of the relations file for each of a person's own, for a head from scratch


def train_scope_head(
    pairs: Sequence[Pair],
    out: Path,
    *,
    init: Path | None = None,
    blend: float = 1.0,
    epochs: float = 3,
    learning_rate: float = 2e-4,
    seed: int = 0,
) -> LateInteractionScope:
    """Train a late-interaction scope head on labelled pairs; write it to a folder.

    Args:
        pairs: What is in scope and what is not.
        out: Where the ONNX files, ``scope.safetensors`` and ``scope.json`` go.
        init: Folder of a head to start from; the encoder's own upper layers unless given.
        blend: Share of the trained weights in what is written, in (0, 1]; the rest are those it
            started from. Between the two a head keeps what it knew and most of what it learnt
            (Wortsman et al., *Robust fine-tuning of zero-shot models*, 2022).
        epochs: Passes over the pairs.
        learning_rate: Its peak.
        seed: All chance comes from it.

    Returns:
        The classifier; its scores are not calibrated yet.
    """
    head = Interaction()
    before = load_file(weights(init, "scope.safetensors")) if init is not None else None
    if before is not None:
        head.load_state_dict(before)
    rows = shown(pairs, random.Random(seed))
    fit(
        ScopeModel(head),
        rows,
        out,
        Collate(),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
    )
    if before is not None and blend < 1:
        after = head.state_dict()
        head.load_state_dict({k: torch.lerp(before[k].float(), after[k], blend) for k in after})
    _write(head, out, SCOPE)
    scope = LateInteractionScope(folder=out)
    scope.save(out)
    return scope


def shown(pairs: Iterable[Pair], rng: random.Random) -> list[dict[str, str | int]]:
    """Return pairs as a scope head is shown them: half of the edits with their target.

    In use it reads an edit's prompt alone at first, with the target where it looks again.
    """
    return [
        {
            "query": pair.query,
            "edit": rng.choice([pair.prompt, stated(pair.prompt, pair.target)]),
            "label": int(pair.in_scope),
        }
        for pair in pairs
    ]


def adapt_scope(
    suite: Sequence[Edit],
    out: Path,
    *,
    init: Path | None = FOLDER / "late-interaction-scope",
    epochs: float = 4,
    learning_rate: float = 1e-4,
    seed: int = 0,
) -> LateInteractionScope:
    """Train a scope head on a person's own edits, starting from the packaged one.

    Near misses are made from the suite besides those it holds (``training/near_misses.py``), no
    more of them than there are pairs in scope: scores must not sink, since threshold and
    temperature stay those of the head it began with. What is written lies half-way between that
    one and the trained one, so that nothing is forgotten. Calibrate it on edits it has not seen.

    Args:
        suite: At least 20 edits.
        out: Where it goes: what ``ScopeClassifier.load`` reads.
        init: Folder of a head to start from; from scratch if None, and then with pairs of the
            relations file beside the suite's own.
        epochs: Passes over the pairs.
        learning_rate: Its peak.
        seed: All chance comes from it.

    Raises:
        TrainingError: Fewer than 20 edits, or none with in-scope queries.

    Example:
        >>> adapt_scope(suite, Path("scope"))  # doctest: +SKIP
    """
    enough(suite)
    rng = random.Random(seed)
    own = [*dict.fromkeys(suite_pairs(suite, rng, packaged_encoder()))]
    inside, outside = ([p for p in own if p.in_scope is label] for label in (True, False))
    pairs = inside + rng.sample(outside, min(len(outside), len(inside)))
    if init is None:
        bulk = [*suite_pairs(relation_edits(len(own) // 6 + 50, rng), rng)]
        pairs += rng.sample(bulk, min(len(bulk), BULK * len(own)))
    rng.shuffle(pairs)
    scope = train_scope_head(
        pairs, out, init=init, blend=0.5, epochs=epochs, learning_rate=learning_rate, seed=seed
    )
    if init is not None:
        before = LateInteractionScope.load(init)
        scope.temperature, scope.bias = before.temperature, before.bias
        scope.glance, scope.exit = before.glance, before.exit
        scope.second_look = before.second_look
        scope.margin, scope.threshold = before.margin, before.threshold
        scope.calibration = before.calibration
        scope.save(out)
    return scope


def readings(suites: Iterable[Sequence[Edit]], rng: random.Random) -> list[Reading]:
    """Return what suites teach a reader: spans, verdicts, and checks made from them."""
    found = [
        reading
        for suite in suites
        for reading in chain(verdicts.given(suite), verdicts.checked(suite, rng))
    ]
    return [*dict.fromkeys(found)]


def train_reader(
    found: Sequence[Reading],
    out: Path,
    *,
    init: Path | None = None,
    epochs: float = 3,
    learning_rate: float = 2e-4,
    seed: int = 0,
) -> Path:
    """Train a reader on readings; write it to a folder and return that.

    Args:
        found: What :func:`readings` returns.
        out: Where ``reader.onnx`` and ``reader.safetensors`` go.
        init: Folder of a reader to start from.
        epochs: Passes over the readings.
        learning_rate: Its peak.
        seed: All chance comes from it.
    """
    head = Interaction(outputs=3, spans=True)
    if init is not None:
        head.load_state_dict(load_file(weights(init, "reader.safetensors")))
    rows = [
        {"query": r.query, "edit": r.edit, "label": r.verdict, "start": r.start, "end": r.end}
        for r in found
    ]
    fit(
        ReaderModel(head),
        rows,
        out,
        CollateReadings(),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
    )
    _write(head, out, READER)
    return out


def adapt_reader(
    suite: Sequence[Edit],
    out: Path,
    *,
    init: Path | None = FOLDER / "reader",
    epochs: float = 4,
    learning_rate: float = 5e-5,
    seed: int = 0,
) -> Path:
    """Train a reader on a person's own edits, starting from the packaged one.

    Raises:
        TrainingError: Fewer than 20 edits.
    """
    enough(suite)
    rng = random.Random(seed)
    found = readings([suite], rng)
    found += [*verdicts.stated(len(found), rng)]
    rng.shuffle(found)
    return train_reader(
        found, out, init=init, epochs=epochs, learning_rate=learning_rate, seed=seed
    )


def _write(head: Interaction, out: Path, name: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    halves = {key: value.half().contiguous() for key, value in head.state_dict().items()}
    save_file(halves, out / Path(name).with_suffix(".safetensors").name)
    if name == SCOPE:  # it judges candidates of every query
        export_stages(head, out / COMPARE, out / SCOPE)
    else:  # it reads where one was in scope
        export_head(head, out / name)
