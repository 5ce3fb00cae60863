"""Edit success, drawdown, recall and latency of the real gate on a suite."""

from serac_retriever.evaluation.run import Report, evaluate

__all__ = ["Report", "evaluate"]
