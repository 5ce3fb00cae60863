"""The paper's own counterfactual model: an encoder-decoder that reads the edit, then the input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor

from serac_retriever.counterfactual.model import CounterfactualInput, CounterfactualModel


class Seq2Seq(CounterfactualModel):
    """Answers with any Hugging Face encoder-decoder (T5, BART, BlenderBot, ...).

    The model is fed the edits and then the query, as in the paper's section 3. It should have
    been trained on such input; one that was not will answer as it likes.

    Args:
        model: A model, or the name or folder of one (loaded at the first answer).
        tokenizer: Its tokenizer; found beside the model unless given.
        template: How the input is written; may use ``{corrections}``, ``{prompt}``, ``{target}``
            and ``{query}``.
        max_new_tokens: Length of the longest answer.
        **generate: Further arguments of ``model.generate``.

    Example:
        >>> Seq2Seq("folder-of-a-t5").template
        '{corrections} {query}'
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        template: str = "{corrections} {query}",
        max_new_tokens: int = 64,
        **generate: Any,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.template = template
        self.generate: dict[str, Any] = {"max_new_tokens": max_new_tokens, **generate}

    @cached_property
    def parts(self) -> tuple[Any, Any]:
        """The model, ready to generate, and its tokenizer."""
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        model, tokenizer = self._model, self._tokenizer
        if isinstance(model, str | Path):
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model)
            model = AutoModelForSeq2SeqLM.from_pretrained(model)
        if tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
        return model.eval(), tokenizer

    def answer(self, given: CounterfactualInput) -> str:
        """Return what the model generates."""
        return str(self.answers([given])[0])

    def answers(self, given: Sequence[CounterfactualInput]) -> list[Any]:
        """Return what the model generates for several inputs, in one forward pass a token."""
        import torch

        model, tokenizer = self.parts
        texts = [self.template.format_map(cast(dict[str, Any], one)) for one in given]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
        inputs.pop("token_type_ids", None)  # encoder-decoders have none
        with torch.inference_mode():
            tokens = model.generate(**inputs.to(model.device), **self.generate)
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def batch(
        self,
        inputs: list[CounterfactualInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer several inputs together."""
        return self._batch_with_config(
            self.answers, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    async def abatch(
        self,
        inputs: list[CounterfactualInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer several inputs together, beside the event loop."""
        answer = partial(self.batch, return_exceptions=return_exceptions, **kwargs)
        return await run_in_executor(None, answer, inputs, config)
