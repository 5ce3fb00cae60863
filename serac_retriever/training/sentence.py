"""Train the paper's two kinds of scope classifier, and the encoder that retrieves.

All on sentence-transformers' own trainers.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from transformers import set_seed

from serac_retriever.edit import Edit
from serac_retriever.errors import CalibrationError, TrainingError
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import CrossEncoderScope, EmbeddingScope
from serac_retriever.training import examples, near_misses
from serac_retriever.training.examples import Pair
from serac_retriever.training.export_encoder import source
from serac_retriever.training.fit import enough, run, settings
from serac_retriever.training.recipe import suite_pairs

MAX_TOKENS = 128  # of a pair, or of one text


def train_cross_encoder(
    suite: Sequence[Edit],
    out: Path,
    *,
    model: str | Path | None = None,
    epochs: float = 2,
    learning_rate: float = 5e-5,
    batch_size: int = 32,
    seed: int = 0,
) -> CrossEncoderScope:
    """Train the paper's cross-attention classifier (its section 3) and write it to a folder.

    Near misses are made from the suite besides those it holds (``training/near_misses.py``). Its
    threshold is 0.5, as in the paper: calibrate it on edits that it has not seen. An interrupted
    run goes on from its last checkpoint.

    Args:
        suite: Edits with in-scope queries; at least 20.
        out: Where ``scope.json`` and the weights go: what ``ScopeClassifier.load`` reads.
        model: Name or folder of a CrossEncoder, of any encoder, or of a saved CrossEncoderScope
            to start from; the packaged encoder's weights unless given.
        epochs: Passes over the pairs.
        learning_rate: Its peak.
        batch_size: Pairs a step.
        seed: All chance comes from it.

    Raises:
        TrainingError: Fewer than 20 edits, or none with in-scope queries.

    Example:
        >>> train_cross_encoder(suite, Path("scope"))  # doctest: +SKIP
    """
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    enough(suite)
    rng = random.Random(seed)
    pairs = _pairs(suite, rng)
    dataset = Dataset.from_dict(
        {
            # the order in which CrossEncoderScope asks
            "query": [pair.query for pair in pairs],
            "edit": [pair.prompt for pair in pairs],  # "prompt" would mean something else to it
            "label": [float(pair.in_scope) for pair in pairs],
        }
    )
    set_seed(seed)  # the new head's weights
    saved = Path(model or source()) / "cross-encoder"
    start = saved if saved.is_dir() else model or source()
    encoder = CrossEncoder(str(start), num_labels=1, max_length=MAX_TOKENS)
    common = settings(
        out, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed,
        data=[start, pairs],
    )  # fmt: skip
    trainer = CrossEncoderTrainer(
        model=encoder,
        args=CrossEncoderTrainingArguments(**common),
        train_dataset=dataset,
        loss=BinaryCrossEntropyLoss(encoder),
    )
    scope = CrossEncoderScope(model=run(trainer, out))
    scope.save(out)
    return scope


def train_encoder(
    suite: Sequence[Edit],
    out: Path,
    *,
    model: str | Path | None = None,
    epochs: float = 1,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    seed: int = 0,
) -> Path:
    """Train a sentence encoder for retrieval on a suite; write it to a folder and return that.

    A prompt is drawn to its in-scope queries, and pushed from its near misses and from the other
    queries of the batch (MultipleNegativesRankingLoss). The folder is in sentence-transformers'
    layout; with langchain-huggingface: ``HuggingFaceEmbeddings(model_name=str(out))``.

    A collection remembers the encoder it was built with, and refuses any other:
    ``EditMemory("edits", embeddings=..., reindex=True)`` embeds its edits anew. The packaged scope
    classifiers are made for the packaged encoder, and judge with that one still; calibrate an
    :class:`EmbeddingScope` for this.

    Args:
        suite: Edits with in-scope queries; at least 20.
        out: Where the encoder goes.
        model: Name or folder of an encoder to start from; the packaged one unless given.
        epochs: Passes over the triplets.
        learning_rate: Its peak.
        batch_size: Triplets a step; each is a negative for all others.
        seed: All chance comes from it.

    Raises:
        TrainingError: Fewer than 20 edits, or none with in-scope queries.

    Example:
        >>> train_encoder(suite, Path("encoder"))  # doctest: +SKIP
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    enough(suite)
    rng = random.Random(seed)
    triplets = _triplets(_pairs(suite, rng), rng)
    columns = zip(*triplets, strict=True)
    dataset = Dataset.from_dict(dict(zip(("anchor", "positive", "negative"), columns, strict=True)))
    start = model or source()
    encoder = SentenceTransformer(str(start))
    encoder.max_seq_length = MAX_TOKENS
    common = settings(
        out, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed,
        data=[start, triplets],
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=encoder,
        # two rows of one prompt in a batch would be negatives of each other
        args=SentenceTransformerTrainingArguments(
            **common, batch_sampler=BatchSamplers.NO_DUPLICATES
        ),
        train_dataset=dataset,
        loss=MultipleNegativesRankingLoss(encoder),
    )
    trained = run(trainer, out)
    trained.max_seq_length = SentenceTransformer(str(start)).max_seq_length
    trained.save_pretrained(str(out))
    return out


def fit_embedding(
    suite: Sequence[Edit], out: Path, *, max_drawdown: float = 0.01, seed: int = 0
) -> EmbeddingScope:
    """Fit the paper's embedding-based classifier (its section 3); write it to a folder.

    The curve is fitted to in-scope queries and to other edits' nearest queries, the paper's own
    negatives. The suite's near misses would only flatten it, since a cosine cannot tell them
    apart; they set the threshold, where there are enough of them for the promise. Else that stays
    at 0.5 and ``calibration`` at None.

    Args:
        suite: Edits with in-scope queries; at least 20.
        out: Where ``scope.json`` goes.
        max_drawdown: The share of out-of-scope queries that may fire, with 95 % confidence.
        seed: Draws the negatives.

    Raises:
        TrainingError: Fewer than 20 edits, none with in-scope queries, or queries that are no
            nearer to their own edit than to others.

    Example:
        >>> fit_embedding(suite, Path("scope"))  # doctest: +SKIP
    """
    enough(suite)
    encoder = packaged_encoder()
    pairs = [pair for pair in examples.given(suite) if pair.in_scope]
    rng = random.Random(seed)
    pairs += near_misses.neighbours(suite, encoder, rng)
    prompts, queries = (
        np.asarray(encoder.encode(texts))
        for texts in ([pair.prompt for pair in pairs], [pair.query for pair in pairs])
    )
    try:
        scope = EmbeddingScope().fit(
            (prompts * queries).sum(axis=1).tolist(), [pair.in_scope for pair in pairs]
        )
    except CalibrationError as error:
        raise TrainingError(f"No curve fits this suite. {error}") from error
    with suppress(CalibrationError):  # too few for the promise: 0.5 stays, `calibration` says so
        scope.calibrate(suite, max_drawdown)
    scope.save(out)
    return scope


def _pairs(suite: Sequence[Edit], rng: random.Random) -> list[Pair]:
    pairs = [*dict.fromkeys(suite_pairs(suite, rng))]
    rng.shuffle(pairs)
    return pairs


def _triplets(pairs: Iterable[Pair], rng: random.Random) -> list[tuple[str, str, str]]:
    """Return (prompt, query in its scope, near miss) of all prompts that have both."""
    inside: dict[str, list[str]] = defaultdict(list)
    outside: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        (inside if pair.in_scope else outside)[pair.prompt].append(pair.query)
    triplets = [
        (prompt, query, rng.choice(outside[prompt]))
        for prompt, queries in inside.items()
        for query in queries
        if outside[prompt]
    ]
    rng.shuffle(triplets)
    return triplets
