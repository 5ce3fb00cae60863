"""SERAC as middleware of a LangChain agent: stored edits answer what they are meant for."""

from serac_langchain_agent.middleware import GateOptions, SeracMiddleware, SeracState

__version__ = "0.1.0"
__all__ = ["GateOptions", "SeracMiddleware", "SeracState"]
