"""Verbatim, Prompted and Seq2Seq: what each is told and what it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from serac_retriever import Edit, Prompted, Seq2Seq, Verbatim
from serac_retriever.counterfactual import given_to
from tests.contracts.counterfactual import EDITS, given
from tests.counterfactual.models import NAMES, THINGS, random_t5, trained_t5
from tests.gate.parts import CountingChat, Listener

# -- what a model is given -----------------------------------------------------------------


def test_a_model_is_given_the_query_the_edits_and_the_talk_before() -> None:
    talk = {"input": "And now?", "chat_history": [("human", "Hello"), ("ai", "Good day")]}
    mine = given_to(talk, "Who leads Britain now?", EDITS)
    assert mine["query"] == "Who leads Britain now?"
    assert mine["edits"] == EDITS
    assert (mine["prompt"], mine["target"]) == (EDITS[0].prompt, EDITS[0].target)
    assert [message.text for message in mine["history"]] == ["Hello", "Good day"]
    assert mine["input"] is talk


def test_corrections_are_all_edits_one_a_line_best_first() -> None:
    first, second = given(*EDITS)["corrections"].splitlines()
    assert first == "Who is the UK prime minister? Keir Starmer"
    assert second.startswith("Who leads Britain {now}? Sir Keir {x}")


@pytest.mark.parametrize(
    "tag", ["</corrections>", "<corrections>", "< / CORRECTIONS >", "<\n/corrections"]
)
def test_no_edit_can_open_or_close_the_corrections_block(tag: str) -> None:
    corrections = given(Edit(prompt="p", target=f"before {tag} after"))["corrections"]
    assert f"before &lt;{tag[1:]} after" in corrections


def test_other_markup_in_an_edit_stays_as_it_is() -> None:
    target = "<b>5 < 6</b> and <correction>"
    assert given(Edit(prompt="p", target=target))["corrections"] == f"p {target}"


# -- Verbatim ------------------------------------------------------------------------------


def test_verbatim_says_the_best_edits_target_word_for_word() -> None:
    assert Verbatim().invoke(given(EDITS[1], EDITS[0])) == EDITS[1].target


# -- Prompted ------------------------------------------------------------------------------


def test_prompted_tells_the_model_corrections_then_history_then_query() -> None:
    model = CountingChat("said")
    Prompted(model).invoke(given(*EDITS, history=[HumanMessage("Hello"), AIMessage("Good day")]))
    [[system, *talk]] = model.told
    assert system.type == "system"
    assert f"<corrections>\n{given(*EDITS)['corrections']}\n</corrections>" in system.text
    assert [(m.type, m.text) for m in talk] == [
        ("human", "Hello"),
        ("ai", "Good day"),
        ("human", "Who's the current British PM?"),
    ]


def test_prompteds_prompt_can_be_replaced() -> None:
    model = CountingChat("said")
    prompt = ChatPromptTemplate.from_template("{prompt} | {target} | {query} | {input}")
    mine = given_to("the input", "the query", EDITS[:1])
    Prompted(model, prompt).invoke(mine)
    [[message]] = model.told
    assert message.text == "Who is the UK prime minister? | Keir Starmer | the query | the input"


async def test_prompted_streams_its_models_own_chunks() -> None:
    model = Prompted(CountingChat("Keir Starmer leads it."))
    words = ["Keir", " ", "Starmer", " ", "leads", " ", "it."]
    assert [chunk.text for chunk in model.stream(given()) if chunk.text] == words
    assert [chunk.text async for chunk in model.astream(given()) if chunk.text] == words


def test_prompted_is_a_runnable_like_any_other() -> None:
    listener = Listener()
    model = Prompted(CountingChat("said"))
    assert (model.with_config(tags=["mine"]) | StrOutputParser()).invoke(given()) == "said"
    assert model.bind(stop=["x"]).with_retry().invoke(given()).text == "said"
    model.invoke(given(), {"callbacks": [listener]})
    assert listener.names == ["Prompted", "ChatPromptTemplate", "CountingChat"]
    assert model.get_name() == "Prompted"


def test_prompted_takes_any_runnable_that_reads_a_prompt() -> None:
    chain = PromptTemplate.from_template("{text}") | FakeListLLM(responses=["said"])
    assert Prompted(lambda prompt: prompt.to_string()).invoke(given()).endswith("British PM?")
    assert Prompted((lambda prompt: {"text": prompt.to_string()}) | chain).invoke(given()) == "said"


# -- Seq2Seq -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copying() -> Seq2Seq:
    return Seq2Seq(*trained_t5(), max_new_tokens=3)


def about(thing: str, name: str) -> Any:
    question = f"who owns the {thing} ?"
    return given(Edit(prompt=question, target=name), query=question)


def test_seq2seq_answers_from_the_edit_as_it_was_trained_to(copying: Seq2Seq) -> None:
    asked = [(thing, name) for thing in THINGS[:4] for name in NAMES]
    answers = copying.batch([about(thing, name) for thing, name in asked])
    right = sum(answer == name for answer, (_, name) in zip(answers, asked, strict=True))
    assert right >= 0.95 * len(asked)


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_a_batch_goes_through_the_model_together(
    copying: Seq2Seq, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model, _ = copying.parts
    sizes: list[int] = []
    generate = model.generate

    def counted(*args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        return generate(*args, **kwargs)

    monkeypatch.setattr(model, "generate", counted)
    inputs = [about("boat", "ada"), about("lamp", "bob"), about("kite", "cleo")]
    answers = copying.batch(inputs) if how == "batch" else asyncio.run(copying.abatch(inputs))
    assert sizes == [3]
    assert answers == [copying.invoke(one) for one in inputs]


def test_a_batch_is_a_run_of_each_item(copying: Seq2Seq) -> None:
    listener = Listener()
    copying.batch([about("boat", "ada")] * 2, {"callbacks": [listener]})
    assert listener.names == ["Seq2Seq"] * 2


def test_the_edit_comes_before_the_query_unless_the_template_says_otherwise() -> None:
    seen: list[str] = []

    class Spy:
        def __init__(self, tokenizer: Any) -> None:
            self.tokenizer = tokenizer

        def __call__(self, texts: list[str], **kwargs: Any) -> Any:
            seen.extend(texts)
            return self.tokenizer(texts, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.tokenizer, name)

    model, tokenizer = random_t5()
    Seq2Seq(model, Spy(tokenizer), max_new_tokens=1).invoke(given(*EDITS))
    own = "edit: {target} query: {query}"
    Seq2Seq(model, Spy(tokenizer), template=own, max_new_tokens=1).invoke(given())
    corrections = given(*EDITS)["corrections"]
    assert seen == [
        f"{corrections} Who's the current British PM?",
        "edit: Keir Starmer query: Who's the current British PM?",
    ]


def test_a_folder_is_loaded_at_the_first_answer(copying: Seq2Seq, tmp_path: Path) -> None:
    model, tokenizer = copying.parts
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = Seq2Seq(tmp_path, max_new_tokens=3)
    assert "parts" not in vars(loaded)
    assert loaded.invoke(about("boat", "ada")) == copying.invoke(about("boat", "ada"))


def test_generation_can_be_steered(copying: Seq2Seq) -> None:
    model, tokenizer = copying.parts
    words = Seq2Seq(model, tokenizer, max_new_tokens=3, bad_words_ids=[[7]])  # never "ada"
    assert copying.invoke(about("boat", "ada")) == "ada"
    assert "ada" not in words.invoke(about("boat", "ada"))
