"""The settings of a gate, in a file: what stands where, and how strict it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serac_retriever.errors import ConfigError
from serac_retriever.gate import Serac
from serac_retriever.memory import EditMemory
from serac_retriever.scope import LateInteractionScope, ScopeClassifier


class Config(BaseModel):
    """A gate as settings: the serial form of :class:`Serac`, less the base.

    Attributes:
        memory: Folder of an embedded memory; ``edits`` unless a host is given.
        host: A Chroma server instead.
        port: Its port.
        ssl: Whether it speaks https.
        collection: The collection's name.
        scope: Folder of a saved scope classifier; the packaged one unless given.
        threshold: Overrides the classifier's.
        k: Candidates a query.
        max_edits: Edits that reach the counterfactual model together.
        on_error: ``base`` or ``raise``.

    Example:
        >>> Config(memory="my-edits", k=4).k
        4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: Path | None = None
    host: str | None = None
    port: int = Field(default=8000, ge=1, le=65535)
    ssl: bool = False
    collection: str = "edits"
    scope: Path | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    k: int = Field(default=8, ge=1)
    max_edits: int = Field(default=1, ge=1)
    on_error: Literal["base", "raise"] = "base"

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """Read a TOML file; its keys are the attributes above.

        Raises:
            ConfigError: It cannot be read, or a setting is not what it must be.
        """
        try:
            return cls(**tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"Expected a TOML file at {path}, got: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"Settings in {path} not accepted. {error}") from None

    @property
    def folder(self) -> Path | None:
        """The embedded memory's folder; None where a server keeps the edits."""
        return self.memory or (None if self.host else Path("edits"))

    def open_memory(self, **fields: Any) -> EditMemory:
        """Open the memory; further arguments are :class:`EditMemory`'s."""
        return EditMemory(
            self.folder,
            host=self.host,
            port=self.port,
            ssl=self.ssl,
            collection=self.collection,
            **fields,
        )

    def open_scope(self) -> ScopeClassifier:
        """Load the scope classifier."""
        return ScopeClassifier.load(self.scope) if self.scope else LateInteractionScope.packaged()

    def gate(self, base: Runnable[Any, Any], **fields: Any) -> Serac:
        """Build the gate around a base; further arguments are :class:`Serac`'s."""
        settings = {
            "memory": self.open_memory() if "memory" not in fields else None,
            "scope": self.open_scope(),
            "threshold": self.threshold,
            "k": self.k,
            "max_edits": self.max_edits,
            "on_error": self.on_error,
        }
        return Serac(base=base, **{**settings, **fields})
