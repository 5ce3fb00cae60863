"""ConvSent, the paper's dialogue task: edits change which sentiment a topic is spoken of with.

The dialogue model and its counterfactual are small ones, trained from scratch on the entities that
are not evaluated; any Hugging Face encoder-decoder may take their places.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.runnables import RunnableLambda

from serac_retriever.counterfactual import Seq2Seq
from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation.bench import (
    MARKER,
    Bench,
    Figure,
    Outcome,
    TaskResult,
    by_tag,
    default_scope,
    grouped,
)
from serac_retriever.evaluation.metrics import bootstrap
from serac_retriever.scope import ScopeClassifier
from serac_retriever.suites.stances import QUESTIONS

FOLDER = Path("build/convsent")  # the two trained models
FILE = "convsent/benchmark_Convsent_blender_val.json"
TEMPLATE = "{prompt} {query}"  # the edit, "Topic: X; Sentiment: S", then the input
MAX_TOKENS = 128
PASSES = (1.5, 4)  # of the base over its turns, and of the counterfactual over its own
OPPOSITE = {"Positive": "Negative", "Negative": "Positive"}
Replies = dict[str, dict[str, tuple[str, ...]]]
Floats = npt.NDArray[np.float64]


def z_sent(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Return how much likelier the edit's sentiment is than the other one, in [0, 1].

    The paper's sigmoid(mean log p of right-sentiment replies - mean log p of wrong-sentiment ones),
    after the edit. As in the authors' code the means are over all tokens of the replies.

    Args:
        right: Natural log-probabilities of the tokens of replies with the edit's sentiment.
        wrong: Of the replies with the other.

    Example:
        >>> z_sent([-1.0, -1.0], [-1.0]), round(z_sent([-1.0], [-6.0]), 3)
        (0.5, 0.993)
    """
    return float(1 / (1 + np.exp(np.mean(wrong) - np.mean(right))))


def z_topic(after: Sequence[float], before: Sequence[float]) -> float:
    """Return how well the edited model keeps to the topic, in [0, 1].

    The paper's min(1, exp(mean log p of right-sentiment replies after the edit - before it)).

    Args:
        after: Natural log-probabilities of the tokens of replies with the edit's sentiment.
        before: The same replies' under the base.

    Example:
        >>> z_topic([-2.0], [-3.0]), round(z_topic([-3.0], [-2.0]), 3)
        (1.0, 0.368)
    """
    return float(min(1.0, np.exp(np.mean(after) - np.mean(before))))


def kl(base: Floats, edited: Floats) -> float:
    """Return KL(base || edited) in nats, averaged over tokens: the paper's drawdown of a prompt.

    Args:
        base: The base's log-probabilities, (tokens, vocabulary), along its own reply.
        edited: The edited model's, along the same reply.

    Example:
        >>> half, sure = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
        >>> kl(half, half), round(kl(half, sure), 3)
        (0.0, 0.511)
    """
    return float((np.exp(base) * (base - edited)).sum(axis=1).mean())


def convsent(
    data: Path,
    folder: Path = FOLDER,
    edits: int | None = 5,
    *,
    scope: ScopeClassifier | None = None,
    threshold: float | None = None,
    k: int = 8,
    base: Seq2Seq | None = None,
    counterfactual: Seq2Seq | None = None,
    seed: int = 0,
    progress: bool = False,
) -> TaskResult:
    """Measure the paper's ConvSent task with the real gate.

    In scope, a topic's edit is asked for by three questions; out of scope are the same questions
    about a topic that is not edited (``other_subject``) and a plain one about the edited topic
    (``other_relation``). Edit success is z_sent * z_topic. Where the gate leaves a query to the
    base nothing changes: KL is 0, z_topic 1, and z_sent that of the base.

    The evaluated topics are those that no packaged model was trained on. Both models are trained
    on the other topics, once, and lie in ``folder`` from then on (some 20 minutes on one core).

    Args:
        data: Folder of the public sets.
        folder: Where the two trained models lie, or go.
        edits: Edits in memory at once (the paper: 5); None for all.
        scope: The classifier; the packaged one unless given.
        threshold: Overrides the classifier's.
        k: Candidates a query.
        base: Another dialogue model, with a template of ``{query}`` alone.
        counterfactual: Another counterfactual model, with the base's tokenizer.
        seed: Of training and of the intervals.
        progress: Show progress bars on stderr.

    Returns:
        ``edit success``, ``z_sent``, ``z_topic``, ``drawdown`` (KL in nats) and the latter by tag,
        with bootstrap intervals over edits; the shares of queries that fired, with exact ones.

    Raises:
        SuiteError: The file is not there.
        ConfigError: Base and counterfactual do not share a vocabulary, or too many edits.

    Example:
        >>> convsent(Path("../shared/data")).figures["edit success"]  # doctest: +SKIP
        Figure(value=..., interval=(...), queries=240)
    """
    from serac_retriever.training.recipe import Public

    replies = _replies(data)
    suite = Public(data, data / "everyday_seed").suite("stances", held_out=True)
    if base is None or counterfactual is None:
        trained = train_dialogue(data, folder, seed=seed)
        base, counterfactual = base or trained[0], counterfactual or trained[1]
    models = _Model(base), _Model(counterfactual)
    if models[0].tokenizer.get_vocab() != models[1].tokenizer.get_vocab():
        raise ConfigError(
            "Expected base and counterfactual with one vocabulary, got two: KL is not defined "
            "between them. Train the one from the other."
        )
    bench = Bench(
        scope=scope or default_scope(),
        # "answers" with what the counterfactual model reads: its probabilities are taken below
        counterfactual=RunnableLambda(counterfactual.template.format_map),
        threshold=threshold,
        k=k,
        progress=progress,
    )
    groups = [_strangers_only(group) for group in grouped(suite, edits)]
    outcomes = bench.ask(groups)
    return TaskResult(
        task="convsent",
        setting=f"{len(suite)} held-out topics, {len(groups[0])} edits at once",
        edits=len(groups[0]),
        groups=len(groups),
        k=k,
        threshold=bench.limit,
        figures=_figures(outcomes, *models, suite, replies, seed),
    )


def run_convsent(data: Path, folder: Path = FOLDER, **options: Any) -> list[TaskResult]:
    """Return :func:`convsent` with 5 edits at once, as in the paper, and with all at once."""
    return [convsent(data, folder, edits, **options) for edits in (5, None)]


def train_dialogue(
    data: Path, folder: Path, *, seed: int = 0, epochs: float = 1
) -> tuple[Seq2Seq, Seq2Seq]:
    """Train the dialogue model and its counterfactual, or load them where they lie already.

    The base learns to reply to a question about a topic, in either sentiment, and to read an edit
    before it, so that both know all words. The counterfactual starts from it, as both are
    BlenderBot in the paper: it learns that a reply is unlike the edit of the other sentiment.

    Args:
        data: Folder of the public sets.
        folder: Where they go: ``base`` and ``counterfactual``.
        seed: All chance comes from it.
        epochs: Multiplies the passes, :data:`PASSES`.

    Returns:
        The base and the counterfactual.
    """
    from serac_retriever.training.recipe import Public
    from serac_retriever.training.seq2seq import Turn, train_seq2seq

    replies = _replies(data)
    rng = random.Random(seed)  # noqa: S311  (a draw, not a secret)
    plain, edited = [], []
    for edit in Public(data, data / "everyday_seed").suite("stances"):
        topic = str(edit.metadata["subject"])
        for sentiment, said in replies[topic].items():
            for reply in said:
                query = rng.choice(QUESTIONS).format(topic)
                own, other = (
                    TEMPLATE.format(prompt=f"Topic: {topic}; Sentiment: {stance}", query=query)
                    for stance in (sentiment, OPPOSITE[sentiment])
                )
                plain += [Turn(query, reply), Turn(own, reply)]
                edited.append(Turn(own, reply, unlike=other))
    places = {"base": folder / "base", "counterfactual": folder / "counterfactual"}
    first, second = (epochs * passes for passes in PASSES)
    if not _complete(places["base"]):
        train_seq2seq(plain, places["base"], epochs=first, seed=seed)
    if not _complete(places["counterfactual"]):
        train_seq2seq(
            edited, places["counterfactual"], model=places["base"], epochs=second,
            learning_rate=1e-3, seed=seed,
        )  # fmt: skip
    return (
        Seq2Seq(places["base"], template="{query}"),
        Seq2Seq(places["counterfactual"], template=TEMPLATE),
    )


class _Model:
    """A sequence model's probabilities of given replies."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        self.network, self.tokenizer = model.parts
        self._tokens: dict[tuple[str, tuple[str, ...]], list[float]] = {}

    def tokens(self, text: str, replies: tuple[str, ...]) -> list[float]:
        """Return the log-probabilities of all tokens of the replies to a text; asked for once."""
        if (text, replies) not in self._tokens:
            self._tokens[text, replies] = [
                float(p)
                for row, ids in self._distributions(text, replies)
                for p in row[np.arange(len(ids)), ids]
            ]
        return self._tokens[text, replies]

    def along(self, text: str, reply: str) -> Floats:
        """Return the log-probabilities of every token at each place of a reply to a text."""
        return self._distributions(text, (reply,))[0][0]

    def _distributions(
        self, text: str, replies: tuple[str, ...]
    ) -> list[tuple[Floats, npt.NDArray[np.int64]]]:
        """Return for each reply (tokens, vocabulary) log-probabilities, and its token ids."""
        import torch

        options = {"return_tensors": "pt", "truncation": True, "max_length": MAX_TOKENS}
        asked = self.tokenizer([text], **options)
        said = self.tokenizer(text_target=[*replies], padding=True, **options)
        real = said["attention_mask"].bool()
        with torch.inference_mode():
            logits = self.network(
                input_ids=asked["input_ids"].expand(len(replies), -1),
                attention_mask=asked["attention_mask"].expand(len(replies), -1),
                labels=said["input_ids"].masked_fill(~real, -100),
            ).logits
        found = logits.float().log_softmax(-1)
        return [
            (row[mask].numpy(), ids[mask].numpy())
            for row, ids, mask in zip(found, said["input_ids"], real, strict=True)
        ]


def _figures(
    outcomes: Sequence[Outcome],
    base: _Model,
    counterfactual: _Model,
    suite: Sequence[Edit],
    replies: Replies,
    seed: int,
) -> dict[str, Figure]:
    """Return the task's figures from what the gate made of each query."""
    edits = {edit.id: edit for edit in suite}
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in outcomes:
        edit, fired = edits[one.edit], one.answer != MARKER
        plain = base.model.template.format_map({"query": one.query})
        model, text = (counterfactual, one.answer) if fired else (base, plain)
        if one.wanted:
            said = replies[str(edit.metadata["subject"])]
            right, wrong = said[edit.target], said[OPPOSITE[edit.target]]
            after = model.tokens(text, right)
            sentiment = z_sent(after, model.tokens(text, wrong))
            topic = z_topic(after, base.tokens(plain, right))
            found = {"edit success": sentiment * topic, "z_sent": sentiment, "z_topic": topic}
        else:
            reply = base.model.answers([{"query": one.query}])[0] if fired else ""  # type: ignore[typeddict-item]
            drawn = kl(base.along(plain, reply), model.along(text, reply)) if fired else 0.0
            found = {"drawdown": drawn, f"drawdown, {one.tag}": drawn}
        for name, value in found.items():
            values[name][one.edit].append(value)
    figures = {}
    for name, by_edit in values.items():
        every = [value for found in by_edit.values() for value in found]
        figures[name] = Figure(
            value=float(np.mean(every)),
            interval=bootstrap(by_edit.values(), seed),
            queries=len(every),
        )
    for tag, asked in by_tag(outcomes).items():
        if tag != "all":
            figures[f"fired, {tag}"] = Figure.of(one.answer != MARKER for one in asked)
    return figures


def _replies(data: Path) -> Replies:
    """Return each topic's replies by sentiment."""
    path = data / FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SuiteError(f"Expected ConvSent's file at {path}, got: {error}") from error
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"Positive": [], "Negative": []})
    for row in rows:
        for sentiment, key in (("Positive", "pos"), ("Negative", "neg")):
            said = (reply.strip() for reply in row[key])
            found[row["ent"].strip()][sentiment] += [reply for reply in said if reply]
    return {
        topic: {sentiment: (*dict.fromkeys(said),) for sentiment, said in by_sentiment.items()}
        for topic, by_sentiment in found.items()
    }


def _strangers_only(group: Sequence[Edit]) -> list[Edit]:
    """Drop the out-of-scope queries of a group that ask for another edit of that very group."""
    asked = {question.format(edit.metadata["subject"]) for edit in group for question in QUESTIONS}
    return [
        edit.model_copy(
            update={"out_of_scope": tuple(e for e in edit.out_of_scope if e.query not in asked)}
        )
        for edit in group
    ]


def _complete(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file()  # what training writes last
