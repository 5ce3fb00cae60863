"""Counterfactual models: what answers in place of the base. Any Runnable will do."""

from serac_retriever.counterfactual.model import CounterfactualInput, CounterfactualModel, given_to
from serac_retriever.counterfactual.prompted import PROMPT, Prompted
from serac_retriever.counterfactual.reader import Reader
from serac_retriever.counterfactual.seq2seq import Seq2Seq
from serac_retriever.counterfactual.verbatim import Verbatim

__all__ = [
    "PROMPT",
    "CounterfactualInput",
    "CounterfactualModel",
    "Prompted",
    "Reader",
    "Seq2Seq",
    "Verbatim",
    "given_to",
]
