"""Edit success, drawdown, recall and latency of the real gate, on suites and the paper's tasks."""

from serac_retriever.evaluation.bench import Figure, TaskResult
from serac_retriever.evaluation.run import Report, evaluate
from serac_retriever.evaluation.tasks import TASKS, run_task

__all__ = ["TASKS", "Figure", "Report", "TaskResult", "evaluate", "run_task"]
