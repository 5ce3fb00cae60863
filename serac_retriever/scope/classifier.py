"""What every scope classifier is: one method to override."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serac_retriever.edit import Candidate, Edit
from serac_retriever.errors import CalibrationError, ScopeError, WeightsNotFoundError
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope.calibration import Calibration, Pair, calibrate
from serac_retriever.shapes import text_of

SETTINGS = "scope.json"
Kind = TypeVar("Kind", bound="ScopeClassifier")


class ScopeClassifier(BaseModel, BaseCrossEncoder):
    """Gives the probability that a query is in an edit's scope.

    Override :meth:`score_pairs`; everything else follows. It is a LangChain ``BaseCrossEncoder``
    too, so that ``CrossEncoderReranker(model=scope)`` re-ranks any documents with it.

    Attributes:
        threshold: An edit is in scope when its score is above this, in [0, 1]; 1 never fires.
        calibration: How the threshold was found, if it was calibrated.
        margin: Candidates whose similarity is more than this below the query's nearest are out of
            scope without being judged, in [0, 2]; 2 judges all.

    Example:
        >>> class SameFirstWord(ScopeClassifier):
        ...     def score_pairs(self, pairs):
        ...         return [float(q.split()[0] == c.edit.prompt.split()[0]) for q, c in pairs]
        >>> SameFirstWord().score([("Who is it?", "Who wrote Emma?")])
        [1.0]
    """

    model_config = ConfigDict(
        validate_assignment=True, arbitrary_types_allowed=True, extra="forbid"
    )

    threshold: float = Field(default=0.5, ge=0, le=1)
    calibration: Calibration | None = None
    margin: float = Field(default=2.0, ge=0, le=2)

    @abstractmethod
    def score_pairs(self, pairs: Sequence[Pair]) -> Sequence[float]:
        """Return, for each (query, candidate), the probability that it is in scope.

        Called once for all candidates of all queries of a batch.

        Args:
            pairs: Queries and candidates; a candidate has its edit and its cosine similarity.

        Returns:
            As many probabilities, in [0, 1].
        """

    def judge(
        self, queries: Sequence[str], candidates: Sequence[Sequence[Candidate]]
    ) -> tuple[tuple[Candidate, ...], ...]:
        """Return each query's candidates with their scores, best first.

        An edit's own prompt, word for word, is in its scope whatever the model says.

        Raises:
            ScopeError: :meth:`score_pairs` did not return one probability a pair.
        """
        known: list[list[float | None]] = []  # scores that need no model
        for query, row in zip(queries, candidates, strict=True):
            floor = max((c.similarity for c in row), default=0) - self.margin
            asked = _words(query)
            known.append(
                [
                    1.0 if asked == _words(c.edit.prompt) else 0.0 if c.similarity < floor else None
                    for c in row
                ]
            )
        pairs = [
            (query, candidate)
            for query, row, given in zip(queries, candidates, known, strict=True)
            for candidate, score in zip(row, given, strict=True)
            if score is None
        ]
        scores = iter(self._checked(pairs))
        judged = (
            [
                c.model_copy(update={"score": next(scores) if score is None else score})
                for c, score in zip(row, given, strict=True)
            ]
            for row, given in zip(candidates, known, strict=True)
        )
        return tuple(
            tuple(sorted(row, key=lambda c: (-(c.score or 0), -c.similarity))) for row in judged
        )

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return the probability that each query is in the scope of each text (LangChain's door).

        Where a candidate's similarity is needed, the packaged encoder gives it.
        """
        text_pairs = [(text_of(query), text_of(text)) for query, text in text_pairs]
        texts = [text for pair in text_pairs for text in pair]
        vectors = packaged_encoder().encode(texts)
        similarities = (vectors[::2] * vectors[1::2]).sum(axis=1) if texts else []
        # not validated: other people's documents may be blank, and are none of our edits
        pairs = [
            (
                query,
                Candidate(
                    edit=Edit.model_construct(id="document", prompt=text, target=text),
                    similarity=float(similarity),
                ),
            )
            for (query, text), similarity in zip(text_pairs, similarities, strict=True)
        ]
        return self._checked(pairs)

    def calibrate(
        self,
        suite: Iterable[Edit],
        max_drawdown: float = 0.01,
        *,
        confidence: float = 0.95,
        keep_success: float | None = None,
        k: int = 8,
        embeddings: Embeddings | None = None,
    ) -> Calibration:
        """Set the threshold to the lowest that keeps false fires within a budget.

        Args:
            suite: Edits with in-scope and out-of-scope queries, like those of production.
            max_drawdown: The share of out-of-scope queries that may fire, in (0, 1).
            confidence: How sure to be of it, in (0, 1): Clopper and Pearson's exact bound.
            keep_success: Raise the threshold further, to the highest that leaves this share of
                in-scope queries answered: a margin for near misses that the suite lacks.
            k: Candidates a query, as in production.
            embeddings: The memory's encoder; the packaged one unless given.

        Returns:
            The threshold, and the edit success that it leaves.

        Raises:
            CalibrationError: Too few queries for the promise.
        """
        found = calibrate(
            [*suite],
            self._checked,
            embeddings or packaged_encoder(),
            max_drawdown=max_drawdown,
            confidence=confidence,
            keep_success=keep_success,
            k=k,
        )
        self.threshold, self.calibration = found.threshold, found
        return found

    def threshold_for(self, max_drawdown: float) -> float:
        """Return the threshold that keeps drawdown within a budget, as last calibrated.

        Of the budgets whose thresholds were kept, the largest within this one counts.

        Raises:
            CalibrationError: Not calibrated, or on too few queries for a promise so strict.
        """
        kept = self.calibration.thresholds if self.calibration else ()
        within = [threshold for budget, threshold in kept if budget <= max_drawdown]
        if not within:
            budgets = ", ".join(f"{budget:g}" for budget, _ in kept) or "none is kept"
            raise CalibrationError(
                f"Expected max_drawdown of at least the smallest calibrated budget ({budgets}), "
                f"got {max_drawdown!r}. Calibrate on more out-of-scope queries: scope.calibrate()."
            )
        return min(within)

    def save(self, folder: str | Path) -> Path:
        """Write the classifier, its threshold and its calibration into a folder; return it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"classifier": type(self).__name__, **self.model_dump(mode="json")}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a classifier that :meth:`save` wrote; on ScopeClassifier itself, of any known class.

        Args:
            folder: Where it lies.

        Raises:
            WeightsNotFoundError: No classifier lies there.
            ScopeError: It is of another class, or its settings are not what they must be.
        """
        path = Path(folder) / SETTINGS
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            name = settings.pop("classifier")
        except OSError:
            raise WeightsNotFoundError(
                f"Expected a saved scope classifier at {folder}, found no {SETTINGS} in it."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ScopeError(f"Expected a saved scope classifier in {path}, got: {error}") from None
        known: dict[str, type[Self]] = {kind.__name__: kind for kind in (cls, *_descendants(cls))}
        if name not in known:
            raise ScopeError(f"Expected one of {sorted(known)} in {path}, got {name!r}.")
        try:
            return known[name]._restored(Path(folder), settings)
        except ValidationError as error:
            raise ScopeError(f"Settings in {path} not accepted. {error}") from None

    @classmethod
    def _restored(cls, folder: Path, settings: dict[str, Any]) -> Self:
        return cls(**settings)

    def _checked(self, pairs: Sequence[Pair]) -> list[float]:
        if not pairs:
            return []
        scores = [float(score) for score in self.score_pairs(pairs)]
        bad = [s for s in scores if not 0 <= s <= 1 or math.isnan(s)]
        if len(scores) != len(pairs) or bad:
            raise ScopeError(
                f"Expected {type(self).__name__}.score_pairs to return {len(pairs)} "
                f"probabilities in [0, 1], got {len(scores)} numbers"
                + (f", {bad[0]} among them." if bad else ".")
            )
        return scores


def _words(text: str) -> str:
    """Return a text without what changes nothing: outer and repeated blanks, the final stop."""
    return " ".join(text.split()).rstrip("?.! ")


def _descendants(kind: type[Kind]) -> list[type[Kind]]:
    children = kind.__subclasses__()
    return [*children, *(d for child in children for d in _descendants(child))]
