"""What the scope classifier asks before it reads on: a glance at the words, and an early exit."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np
from rich.console import Console
from rich.progress import track

from serac_retriever.edit import Candidate, Edit
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.models.perceptron import Perceptron
from serac_retriever.models.token_states import Floats
from serac_retriever.scope import LateInteractionScope
from serac_retriever.scope.calibration import Pair

LOST = {"glance": 0.001, "exit": 0.002}  # of what the head accepts in any one suite
STRANGERS = 1000  # queries of each suite
NEAREST = 8  # prompts of others beside each: as many as a gate retrieves
UNITS = {"glance": 64, "exit": 32}
CHUNK = 512  # pairs whose tokens are held at once


def fit_cascade(
    scope: LateInteractionScope,
    fitting: Sequence[Sequence[Edit]],
    validation: Sequence[Sequence[Edit]],
    rng: random.Random,
) -> tuple[Perceptron, Perceptron]:
    """Find the glance and the exit that turn most strangers away, and hardly what is accepted.

    The glance learns to tell in-scope queries that the head accepts from queries beside their
    nearest prompts among edits that are none of theirs. The exit learns, from what the head's
    first stage makes of a pair, what the whole head will say: of in-scope queries, near misses,
    and the strangers that the glance lets pass. The constant of either is then set on validation
    suites, each by itself, so that no style pays for another: of what the head accepts there, at
    its threshold, the glance loses 0.1 % at most and the exit 0.2 %.

    Args:
        scope: The head, calibrated, with neither.
        fitting: Suites to fit on, at least one.
        validation: Others, to set the constants by.
        rng: All chance comes from here.

    Returns:
        What :attr:`LateInteractionScope.glance` and :attr:`LateInteractionScope.exit` take.
    """
    inside = [pair for suite in fitting for pair in accepted(scope, suite)]
    beside = strangers(fitting, rng)
    kept = [pairs for suite in validation if (pairs := accepted(scope, suite))]
    labels = np.repeat([1.0, 0.0], [len(inside), len(beside)])
    glance = _fit(scope.resemblance([*inside, *beside]), labels, UNITS["glance"])
    seen = [glance(scope.resemblance(pairs)) for pairs in kept]
    glance.constant -= _lowest(seen, LOST["glance"])

    passing = glance(scope.resemblance(beside)) >= 0
    met = [pair for pair, passes in zip(beside, passing, strict=True) if passes]
    near = with_cosines((e.query, edit) for s in fitting for edit in s for e in edit.out_of_scope)
    near = rng.sample(near, min(len(near), len(inside)))
    exit = _fit(*_compared(scope, [*inside, *near, *met]), UNITS["exit"], dropout=0.5)
    seen = [exit(_compared(scope, pairs)[0]) for pairs in kept]
    exit.constant -= _lowest(seen, LOST["exit"])
    return glance, exit


def accepted(scope: LateInteractionScope, suite: Sequence[Edit]) -> list[Pair]:
    """Return the in-scope pairs of a suite whose score is above the threshold."""
    pairs = with_cosines((example.query, edit) for edit in suite for example in edit.in_scope)
    scores = scope.score_pairs(pairs)
    return [pair for pair, score in zip(pairs, scores, strict=True) if score > scope.threshold]


def strangers(suites: Sequence[Sequence[Edit]], rng: random.Random) -> list[Pair]:
    """Pair queries with their nearest prompts among edits that are none of theirs.

    Those are the edits of other suites, and of the same one those that say they are of another
    domain: a stranger that is phrased as one's own edits are is harder to turn away.
    """
    edits = [edit for suite in suites for edit in suite]
    homes = np.array(
        [f"{n} {edit.metadata.get('domain')}" for n, suite in enumerate(suites) for edit in suite]
    )
    vectors = packaged_encoder().encode([edit.prompt for edit in edits])
    found: list[tuple[str, Edit]] = []
    for number, suite in enumerate(suites):
        asked = [(e.query, edit) for edit in suite for e in edit.in_scope]
        asked = rng.sample(asked, min(STRANGERS, len(asked)))
        cosines = packaged_encoder().encode([query for query, _ in asked]) @ vectors.T
        for (query, own), row in zip(asked, cosines, strict=True):
            others = np.flatnonzero(homes != f"{number} {own.metadata.get('domain')}")
            nearest = others[np.argsort(-row[others])[:NEAREST]]
            found += [(query, edits[place]) for place in nearest]
    return with_cosines(found)


def with_cosines(pairs: Iterable[tuple[str, Edit]]) -> list[Pair]:
    """Return queries and edits as a classifier is given them: as candidates, with their cosine."""
    pairs = [*pairs]
    texts = [*dict.fromkeys(text for query, edit in pairs for text in (query, edit.prompt))]
    vectors = dict(zip(texts, packaged_encoder().encode(texts), strict=True))
    cosines = (float(vectors[query] @ vectors[edit.prompt]) for query, edit in pairs)
    return [
        (query, Candidate(edit=edit, similarity=max(-1.0, min(1.0, cosine))))
        for (query, edit), cosine in zip(pairs, cosines, strict=True)
    ]


def _compared(scope: LateInteractionScope, pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Return what the first stage makes of pairs, (pairs, 1920), and their scores in the end."""
    pooled: list[Floats] = []
    scores: list[float] = []
    chunks = range(0, len(pairs), CHUNK)
    for start in track(chunks, "Comparing pairs", console=Console(stderr=True), transient=True):
        chunk = pairs[start : start + CHUNK]
        texts = [(query, candidate.edit.prompt) for query, candidate in chunk]
        pooled += (short for *_, short in scope.compared(texts))
        scores += scope.score_pairs(chunk)
    return np.stack(pooled), np.array(scores, dtype=np.float32)


def _lowest(kept: Sequence[Floats], lost: float) -> float:
    """Return the limit that loses such a share at most of each suite; of a small one, nothing."""
    return min(float(np.quantile(scores, lost, method="lower")) for scores in kept)


def _fit(inputs: Floats, targets: Floats, units: int, dropout: float = 0.0) -> Perceptron:
    """Fit a perceptron to probabilities, by their cross-entropy."""
    import torch
    from torch import nn

    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    rows, wanted = torch.tensor((inputs - mean) / scale), torch.tensor(targets).float()
    torch.manual_seed(0)
    hidden, out = nn.Linear(rows.shape[1], units), nn.Linear(units, 1)
    network = nn.Sequential(nn.Dropout(dropout), hidden, nn.ReLU(), nn.Dropout(dropout), out)
    optimizer = torch.optim.AdamW(network.parameters())
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(rows, wanted), batch_size=512, shuffle=True
    )
    passes = 15
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=passes * len(batches)
    )
    for _ in range(passes):
        for x, y in batches:
            loss = nn.functional.binary_cross_entropy_with_logits(network(x).squeeze(1), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    weights, bias, last, constant = (
        part.detach().numpy() for part in (hidden.weight, hidden.bias, out.weight, out.bias)
    )
    first = weights.T / scale[:, None]  # inputs are scaled in fitting, not in use
    return Perceptron(first, bias - mean @ first, last[0], constant[0])
