"""Queries made from zsRE's rows: near misses by kind, and the harder forms of what is in scope."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Edit, Example
from serac_retriever.evaluation.bench import progress_bar
from serac_retriever.evaluation.metrics import is_match
from serac_retriever.suites.facts import _GRAMMAR, _key, _Relations, zsre
from serac_retriever.training.near_misses import negated, other_number
from serac_retriever.training.verdicts import CHECKS, DENIALS

Rows = list[dict[str, Any]]
OTHER_RELATIONS = 60  # of which the one closest to the prompt is asked
LOOK_ALIKE = 0.6  # difflib's ratio from which names look alike
# words (their first five letters) that may well ask the same, where suites.facts cannot tell
FAMILIES = tuple(
    frozenset(words.split())
    for words in (
        """born birth being incep found forma forme launc estab start began begin occur point happe
        into""",
        "die died dies death dead kille expir end ended aboli gone disso cease cause final",
        """state place locat lies city town count site regio conti area villa munic home moon plane
        celes exist""",
        "chann netwo air aired broad hoste show media",
        """manuf produ compa made maker makes build built const corpo busin label studi assem distr
        relea publi""",
        "creat artis illus desig autho perfo sings sang sing album song write wrote",
        "fathe dad male pater paren",
        "spous wife husba marri",
        "gende sex woman man",
        "occup profe job work caree posit role emplo",
        "unive colle schoo educa alma study studi learn",
        "war battl confl fight fough",
        "team club sport leagu footb playe play",
        "ficti chara unive world serie part",
    )
)


class ZsreQueries:
    """Makes queries about zsRE's edits, and knows which ask the same thing.

    Whether two questions ask the same is judged by ``suites.facts``: in doubt they do, since a
    near miss must never be a paraphrase. On top of that, words of one family (``born``,
    ``birth``) count as the same word here, because the closest of many questions would else be
    just the paraphrase that no rule has caught.

    Args:
        rows: The file's rows.
        more: Rows of another zsRE file, which tell of further wordings that ask the same.
    """

    def __init__(self, rows: Rows, more: Sequence[dict[str, Any]] = ()) -> None:
        self.edits = zsre(rows)
        self.relations = _Relations([*rows, *more])
        self.names = {*(row["subject"].strip() for row in (*rows, *more))}
        self.rows = {(row["src"], row["alt"]): row for row in reversed(rows)}
        self.asked = {
            subject: row
            for row in reversed(rows)
            if (subject := row["subject"].strip()) in row["src"]
        }
        self._edited = {subject_of(edit): key_of(edit) for edit in self.edits}

    def near_misses(
        self,
        edits: Sequence[Edit],
        embeddings: Embeddings,
        seed: int = 0,
        *,
        progress: bool = False,
    ) -> list[Edit]:
        """Return the edits with near misses in place of their out-of-scope queries.

        ``random_subject``: another subject of the file in the edit's question.
        ``confusable_subject``: one whose name looks alike, or the edit's own with a figure changed.
        ``relation_swap``: another row's question asked of the edit's subject.
        ``closest_relation``: of 60 other relations' questions asked of the edit's subject, the
        most similar to the prompt.
        ``negation``: the prompt with "not", where a rule can do that.

        No subject that some edit asks the same of is put in. What cannot be made is left out.
        """
        rng = random.Random(seed)  # noqa: S311  (a draw, not a secret)
        banks = self._banks(edits, rng)
        closest = _closest(edits, banks, embeddings, progress)
        made = []
        for edit, near in zip(edits, closest, strict=True):
            found = [*self._other_subjects(edit, rng)]
            found += [
                ("relation_swap", e.query) for e in edit.out_of_scope if e.tag == "other_relation"
            ]
            if near is not None:
                found.append(("closest_relation", near))
            if (denied := negated(edit.prompt)) is not None:
                found.append(("negation", denied))
            examples = tuple(Example(query=query, tag=tag) for tag, query in found)
            made.append(edit.model_copy(update={"out_of_scope": examples}))
        return made

    def _other_subjects(self, edit: Edit, rng: random.Random) -> Iterator[tuple[str, str]]:
        own = subject_of(edit)

        def fits(other: str) -> bool:
            alone = other not in own and own not in other
            # a subject that no edit is about, or one of which something else is asked
            return alone and (
                other not in self._edited or self.differ(key_of(edit), self._edited[other])
            )

        drawn = rng.sample([*self.asked], min(40, len(self.asked)))
        if (other := next(filter(fits, drawn), None)) is not None:
            yield "random_subject", edit.prompt.replace(own, other)
        alike = get_close_matches(own, sorted(self.names - {own}), 5, LOOK_ALIKE)
        if (other := next(filter(fits, alike), None)) is not None:
            yield "confusable_subject", edit.prompt.replace(own, other)
        changed = other_number(own, rng)
        if changed != own and changed not in self._edited:
            yield "confusable_subject", edit.prompt.replace(own, changed)

    def differ(self, one: frozenset[str], other: frozenset[str]) -> bool:
        """Say whether two keys surely ask different things; one without words never does."""
        related = any(one & family and other & family for family in FAMILIES)
        return bool(one and other) and not related and not self.relations.same(one, other)

    def _banks(self, edits: Sequence[Edit], rng: random.Random) -> list[list[str]]:
        """Return for each edit up to 60 questions of other relations, its own subject put in."""
        forms: dict[frozenset[str], list[tuple[str, frozenset[str]]]] = defaultdict(list)
        for subject, row in self.asked.items():
            if key := _key(row["src"], subject):
                forms[self.relations._root(key)].append((row["src"].replace(subject, "{}"), key))
        banks = []
        for edit in edits:
            others = [
                form
                for root in rng.sample([*forms], len(forms))
                for form, key in [rng.choice(forms[root])]
                if self.differ(key, key_of(edit))
            ]
            subject = subject_of(edit)
            banks.append([form.replace("{}", subject) for form in others[:OTHER_RELATIONS]])
        return banks

    def harder(self, edit: Edit) -> tuple[Example, ...]:
        """Return the harder in-scope queries of an edit: checks, and what implies the question.

        ``true`` and ``false``: "True or False: question answer", with the new target, and with the
        base's own former answer (the row's ``pred``, else the true one).
        ``indirect`` and ``keywords``: restatements by rule, the question embedded in a statement
        ("I need to know who the mother of X is.") and its bare words ("X mother"). The file's
        ``portability`` questions are not used: each asks for another fact, which the edit
        does not hold.
        """
        made = [("true", f"True or False: {edit.prompt} {edit.target}", "True")]
        if (former := self.former(edit)) is not None:
            made.append(("false", f"True or False: {edit.prompt} {former}", "False"))
        if (indirect := embedded(edit.prompt, subject_of(edit))) is not None:
            made.append(("indirect", f"I need to know {indirect}.", edit.target))
        if (words := keywords(edit.prompt, subject_of(edit))) is not None:
            made.append(("keywords", words, edit.target))
        return tuple(Example(query=query, answer=answer, tag=tag) for tag, query, answer in made)

    def former(self, edit: Edit) -> str | None:
        """Return what the paper's base said before the edit, else the true answer; a wrong one."""
        row = self.rows[edit.prompt, edit.target]
        wrong = (answer for answer in (row["pred"], *row["answers"]) if answer.strip())
        return next((answer for answer in wrong if not is_match(answer, [edit.target])), None)

    def checks(self, edit: Edit, rng: random.Random) -> tuple[Example, ...]:
        """Return checks of an edit's answer and of the former one, each in a frame drawn.

        ``template``: of the prompt ("True or False: question answer" and its like).
        ``paraphrased``: of its paraphrase. ``negated``: of the prompt, denied ("Is it wrong to
        answer ...").
        """
        given = [(edit.target, True), (self.former(edit), False)]
        asked = [("template", CHECKS, edit.prompt), ("negated", DENIALS, edit.prompt)]
        asked += [("paraphrased", CHECKS, e.query) for e in edit.in_scope]
        return tuple(
            Example(
                query=rng.choice(frames).format(question=question.strip(), answer=answer),
                answer=str(right != (tag == "negated")),
                tag=tag,
            )
            for tag, frames, question in asked
            for answer, right in given
            if answer is not None
        )


def neighbours(
    edits: Sequence[Edit], pool: Iterable[str], embeddings: Embeddings, each: int = 2
) -> list[list[str]]:
    """Return for each edit the questions of a pool nearest to its prompt (the paper's section 4).

    Args:
        edits: The edits.
        pool: Questions that no edit answers.
        embeddings: The encoder whose space it is.
        each: How many an edit.
    """
    texts = [*dict.fromkeys(pool)]
    if not texts:
        return [[] for _ in edits]
    vectors = np.asarray(embeddings.embed_documents(texts), np.float32)
    prompts = np.asarray(embeddings.embed_documents([e.prompt for e in edits]), np.float32)
    return [[texts[at] for at in np.argsort(-vectors @ prompt)[:each]] for prompt in prompts]


def embedded(question: str, subject: str) -> str | None:
    """Return a question as part of a sentence; None where no rule fits.

    Example:
        >>> embedded("Who is the mother of Ann Lee?", "Ann Lee")
        'who the mother of Ann Lee is'
        >>> embedded("In what city was Ann Lee born?", "Ann Lee")
        'in what city Ann Lee was born'
    """
    asked = question.rstrip(" ?")
    name = re.escape(subject)
    if found := re.match(rf"((?:\w+ )+?)(is|was|are|were|has|had|can|will) ({name}) (.+)$", asked):
        lead, verb, who, rest = found.groups()
        text = f"{lead}{who} {verb} {rest}"
    elif found := re.match(
        r"(who|what|when|where) (is|was|are|were) (the .+)$", asked, re.IGNORECASE
    ):
        lead, verb, rest = found.groups()
        text = f"{lead} {rest} {verb}"
    else:
        return None
    return text[0].lower() + text[1:]


def keywords(question: str, subject: str) -> str | None:
    """Return a question's bare words, its subject first; None where no word says what is asked.

    Example:
        >>> keywords("Who is the mother of Ann Lee?", "Ann Lee")
        'Ann Lee mother'
    """
    rest = re.findall(r"\b\w[\w'’-]*", question.replace(subject, " "))
    needed = {"when", "where", "whom", "by"}
    if re.match(r"(who|what) \w+ed\b", question, re.IGNORECASE):
        needed.add(rest[0].lower())  # "Who designed X?" is not "X designed"
    words = [word for word in rest if word.lower() not in _GRAMMAR or word.lower() in needed]
    return " ".join([subject, *words]) if words else None


def subject_of(edit: Edit) -> str:
    """Return the subject that an edit's metadata names."""
    return str(edit.metadata["subject"])


def key_of(edit: Edit) -> frozenset[str]:
    """Return the words that say what an edit's prompt asks."""
    return _key(edit.prompt, subject_of(edit))


def _closest(
    edits: Sequence[Edit], banks: Sequence[Sequence[str]], embeddings: Embeddings, progress: bool
) -> list[str | None]:
    prompts = embeddings.embed_documents([edit.prompt for edit in edits])
    found: list[str | None] = []
    with progress_bar(progress) as bar:
        for prompt, bank in bar.track([*zip(prompts, banks, strict=True)], description="Banks"):
            if not bank:
                found.append(None)
                continue
            similar = np.asarray(embeddings.embed_documents([*bank])) @ np.asarray(prompt)
            found.append(bank[int(similar.argmax())])
    return found
