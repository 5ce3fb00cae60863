"""Every scope classifier that ships, and a user's own, keep to the contract."""

from __future__ import annotations

from typing import Any

import pytest

from serac_retriever import (
    CrossEncoderScope,
    EmbeddingScope,
    LateInteractionScope,
    ScopeClassifier,
)
from tests.contracts.scope import ScopeClassifierContract
from tests.scope.models import tiny_cross_encoder


class TestEmbeddingScope(ScopeClassifierContract):
    @pytest.fixture
    def classifier(self) -> ScopeClassifier:
        return EmbeddingScope.packaged()


class TestLateInteractionScope(ScopeClassifierContract):
    @pytest.fixture
    def classifier(self) -> ScopeClassifier:
        return LateInteractionScope.packaged()


class TestCrossEncoderScope(ScopeClassifierContract):
    @pytest.fixture
    def classifier(self) -> ScopeClassifier:
        return CrossEncoderScope(model=tiny_cross_encoder())


class SharedWords(ScopeClassifier):
    """A user's own: one method, one setting."""

    smallest: int = 3

    def score_pairs(self, pairs: Any) -> list[float]:
        def words(text: str) -> set[str]:
            return {word for word in text.lower().split() if len(word) >= self.smallest}

        shared = [words(query) & words(candidate.edit.prompt) for query, candidate in pairs]
        return [len(both) / (1 + len(both)) for both in shared]


class TestAUsersOwn(ScopeClassifierContract):
    @pytest.fixture
    def classifier(self) -> ScopeClassifier:
        return SharedWords(smallest=4)
