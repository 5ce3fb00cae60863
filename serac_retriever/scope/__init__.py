"""Scope classifiers: is this query inside that edit's scope? That is the paper's section 3."""

from serac_retriever.scope.calibration import Calibration
from serac_retriever.scope.classifier import ScopeClassifier
from serac_retriever.scope.cross_encoder import CrossEncoderScope
from serac_retriever.scope.embedding import EmbeddingScope
from serac_retriever.scope.late_interaction import LateInteractionScope
from serac_retriever.scope.prompted import PromptedScope

__all__ = [
    "Calibration",
    "CrossEncoderScope",
    "EmbeddingScope",
    "LateInteractionScope",
    "PromptedScope",
    "ScopeClassifier",
]
