"""A real, tiny T5 with a tokenizer of its own, made here: no hub."""

from __future__ import annotations

from typing import Any

NAMES = ["ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "june", "kit", "lea"]
THINGS = ["boat", "lamp", "kite", "drum", "harp", "vase", "sled", "coin"]


def random_t5() -> tuple[Any, Any]:
    """A T5 of 60,000 parameters with random weights, and a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = ["<pad>", "</s>", "<unk>", "who", "owns", "the", "?", *NAMES, *THINGS]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    config = T5Config(
        vocab_size=len(words), d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=128,
    )  # fmt: skip
    return T5ForConditionalGeneration(config), fast


def trained_t5(steps: int = 250) -> tuple[Any, Any]:
    """That T5, trained for a few seconds to copy the edit's target: the paper's supervision."""
    import random

    import torch

    model, tokenizer = random_t5()
    chance = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    model.train()
    for _ in range(steps):
        pairs = [(chance.choice(THINGS), chance.choice(NAMES)) for _ in range(32)]
        inputs = tokenizer(
            [f"who owns the {thing} ? {name} who owns the {thing} ?" for thing, name in pairs],
            return_tensors="pt",
            padding=True,
        )
        labels = tokenizer([name for _, name in pairs], return_tensors="pt").input_ids
        loss = model(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=labels
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, tokenizer
