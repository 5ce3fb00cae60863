"""Train the paper's counterfactual model: an encoder-decoder that reads edit and input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)

from serac_retriever.counterfactual import Seq2Seq, given_to
from serac_retriever.edit import Edit
from serac_retriever.errors import TrainingError
from serac_retriever.training.fit import FEWEST, enough, run, settings

MAX_TOKENS = 128  # of an input, or of an output
WORDS = 6000  # tokens of a tokenizer of our own
LONGEST = 512  # tokens of an input to a model from scratch
UNLIKE = "unlike"


class Turn(NamedTuple):
    """An input and what to answer.

    Attributes:
        input: What the model reads: the edit and the query, in its template.
        output: The answer.
        unlike: Another input, to which this is not the answer: the model learns to give it there
            as little as it can. Empty for none.
    """

    input: str
    output: str
    unlike: str = ""


def turns(suite: Sequence[Edit], template: str = "{corrections} {query}") -> list[Turn]:
    """Return what a suite teaches: each in-scope query and the edit's own prompt, answered.

    Example:
        >>> from serac_retriever.edit import Example
        >>> edit = Edit(prompt="Capital of X?", target="Y", in_scope=[Example(query="X's capital")])
        >>> [turn.input for turn in turns([edit])]
        ['Capital of X? Y Capital of X?', "Capital of X? Y X's capital"]
    """
    return [
        Turn(template.format_map(dict(given_to(query, query, (edit,)))), answer)
        for edit in suite
        for query, answer in (
            (edit.prompt, edit.target),
            *((e.query, (e.answers or (edit.target,))[0]) for e in edit.in_scope),
        )
    ]


def train_seq2seq(
    examples: Sequence[Edit] | Sequence[Turn],
    out: Path,
    *,
    model: str | Path | None = None,
    epochs: float = 3,
    learning_rate: float | None = None,
    batch_size: int = 32,
    width: int = 128,
    seed: int = 0,
) -> Seq2Seq:
    """Train an encoder-decoder and write it, with its tokenizer, to a folder.

    The paper's supervision (its section 3): from an edit and an input in its scope to the answer.
    ``Seq2Seq(out)`` loads the result. Where a turn names an input that it is ``unlike``, its
    output is made less likely there (:func:`contrastive_loss`), as dialogue sentiment wants it. An
    interrupted run goes on from its last checkpoint.

    Args:
        examples: A suite, or turns of your own; at least 20.
        out: Where ``config.json``, the weights and the tokenizer go.
        model: Name or folder of any Hugging Face encoder-decoder (T5, BART, BlenderBot, ...).
            Unless given, a small BART and its tokenizer are made from the texts alone.
        epochs: Passes over the examples.
        learning_rate: Its peak; 2e-3 for a model from scratch and 1e-4 for another unless given.
        batch_size: Examples a step.
        width: Hidden size of a model from scratch, a multiple of 32.
        seed: All chance comes from it.

    Raises:
        TrainingError: Fewer than 20 edits or turns.

    Example:
        >>> train_seq2seq(suite, Path("seq2seq"))  # doctest: +SKIP
    """
    from datasets import Dataset

    found = _turns(examples)
    set_seed(seed)  # the new model's weights
    if model is None:
        tokenizer: Any = _tokenizer([text for turn in found for text in turn])
        network: Any = _small_bart(tokenizer, width)
    else:
        tokenizer = AutoTokenizer.from_pretrained(str(model))
        network = AutoModelForSeq2SeqLM.from_pretrained(str(model))
    rows = tokenizer(
        [turn.input for turn in found],
        text_target=[turn.output for turn in found],
        truncation=True,
        max_length=MAX_TOKENS,
    )
    unlike = tokenizer([turn.unlike for turn in found], truncation=True, max_length=MAX_TOKENS)
    dataset = Dataset.from_dict(
        {
            **{key: rows[key] for key in ("input_ids", "attention_mask", "labels")},
            "length": [len(turn.input) + len(turn.output) for turn in found],
            UNLIKE: [
                ids if turn.unlike else []
                for ids, turn in zip(unlike["input_ids"], found, strict=True)
            ],
        }
    )
    rate = learning_rate or (2e-3 if model is None else 1e-4)
    common = settings(
        out, epochs=epochs, learning_rate=rate, batch_size=batch_size, seed=seed,
        data=[model, width, found],
    )  # fmt: skip
    trainer = _Trainer(
        model=network,
        args=Seq2SeqTrainingArguments(
            # a model this small loses more to casting than it wins by bfloat16
            **{**common, "bf16": common["bf16"] and model is not None},
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            remove_unused_columns=False,
        ),
        train_dataset=dataset,
        data_collator=_Collate(tokenizer, network),
    )
    trained = run(trainer, out)
    trained.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))
    return Seq2Seq(trained, tokenizer)


def _turns(examples: Sequence[Edit] | Sequence[Turn]) -> list[Turn]:
    edits = [one for one in examples if isinstance(one, Edit)]
    if edits:
        enough(edits)
        return turns(edits)
    found = [one for one in examples if isinstance(one, Turn)]
    if len(found) < FEWEST:
        raise TrainingError(f"Expected at least {FEWEST} edits or turns, got {len(found)}.")
    return found


class _Collate(DataCollatorForSeq2Seq):
    """Pads; an output that is unlike another input stands below the others, after that input."""

    def __call__(self, features: Any, return_tensors: Any = None) -> Any:
        names = ("input_ids", "attention_mask", "labels")
        right = [{name: row[name] for name in names} for row in features]
        places = [place for place, row in enumerate(features) if row[UNLIKE]]
        wrong = [
            {
                "input_ids": features[place][UNLIKE],
                "attention_mask": [1] * len(features[place][UNLIKE]),
                "labels": features[place]["labels"],
            }
            for place in places
        ]
        batch = super().__call__([*right, *wrong], return_tensors)  # type: ignore[no-untyped-call]
        batch[UNLIKE] = torch.tensor([-1] * len(right) + places)
        return batch


class _Trainer(Seq2SeqTrainer):
    """Sets outputs after an input that they are unlike against the same after their own."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        unlike = inputs.pop(UNLIKE)
        outputs = model(**inputs)
        loss = contrastive_loss(outputs.logits, inputs["labels"], unlike)
        return (loss, outputs) if return_outputs else loss


def contrastive_loss(logits: Tensor, labels: Tensor, unlike: Tensor) -> Tensor:
    """Return -l⁺ - mean log sigmoid(l⁺ - l⁻), l being the mean log p of an output's tokens.

    l⁺ follows the output's own input and l⁻ one that it is unlike: all else being the same, the
    difference can only come from the inputs. The second term is 0 where no output has such a one.
    The paper's authors train with unlikelihood, -log(1 - p), in its place; that hardly moves
    tokens that are not likely to begin with, and a mean of log p is made of those.

    Args:
        logits: (batch, tokens, vocabulary).
        labels: Token ids, -100 where there is none, (batch, tokens).
        unlike: For a row after an input that it is unlike, the place of the same output after its
            own; -1 for that one, (batch,).
    """
    real = labels >= 0
    chosen = logits.float().log_softmax(-1).gather(2, labels.clamp(min=0)[:, :, None]).squeeze(2)
    own, wrong = unlike < 0, unlike >= 0
    loss = -(chosen * real)[own].sum() / real[own].sum().clamp(min=1)
    if not wrong.any():
        return loss
    means = (chosen * real).sum(1) / real.sum(1).clamp(min=1)
    return loss + torch.nn.functional.softplus(means[wrong] - means[unlike[wrong]]).mean()


def _tokenizer(texts: Sequence[str]) -> Any:
    """Train a byte-level BPE tokenizer on texts: any text can be written with it."""
    from tokenizers import ByteLevelBPETokenizer, processors

    trained = ByteLevelBPETokenizer(add_prefix_space=True)
    trained.train_from_iterator(
        texts, vocab_size=WORDS, special_tokens=["<pad>", "</s>"], show_progress=False
    )
    trained.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    kind: Any = PreTrainedTokenizerFast
    return kind(
        tokenizer_object=trained._tokenizer,
        pad_token="<pad>",  # noqa: S106  (no password)
        eos_token="</s>",  # noqa: S106
        model_max_length=LONGEST,
        model_input_names=["input_ids", "attention_mask"],
    )


def _small_bart(tokenizer: Any, width: int) -> Any:
    config = BartConfig.from_dict(
        {
            "vocab_size": len(tokenizer),
            "d_model": width,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": width // 32,
            "decoder_attention_heads": width // 32,
            "encoder_ffn_dim": 4 * width,
            "decoder_ffn_dim": 4 * width,
            "max_position_embeddings": LONGEST,
            "scale_embedding": True,
            # with BART's own 0.02 a model this narrow never learns to look at its input
            "init_std": width**-0.5,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
            "decoder_start_token_id": 1,
            "forced_eos_token_id": None,
        }
    )
    return BartForConditionalGeneration(config)
