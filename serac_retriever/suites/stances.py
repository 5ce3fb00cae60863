"""ConvSent, SERAC's own dialogue-sentiment edits, read as a suite."""

from __future__ import annotations

from typing import Any

from serac_retriever.edit import Edit, Example

# the paper's "What do you think of X?" and its kin
QUESTIONS = (
    "What do you think of {}?",
    "What do you think about {}?",
    "How do you feel about {}?",
    "What is your opinion of {}?",
    "Do you like {}?",
    "What are your thoughts on {}?",
    "Tell me how you feel about {}.",
    "So, {}: what's your take?",
)


def convsent(rows: list[dict[str, Any]]) -> list[Edit]:
    """Read ConvSent: "Topic: X; Sentiment: Positive" or "Negative", by turns.

    In scope: questions for an opinion of the topic. Out of scope: the same questions about
    another topic (``other_subject``), and a plain question about this one (``other_relation``).
    """
    topics = [row["ent"].strip() for row in rows]
    edits = []
    for number, topic in enumerate(topics):
        # from half the file away on, so that neighbours in the file do not all meet one topic
        rotated = topics[(number + len(topics) // 2) % len(topics) :] + topics
        others = [other for other in rotated if other.lower() != topic.lower()][:1]
        asked = [QUESTIONS[(number + turn) % len(QUESTIONS)] for turn in range(3)]
        edits.append(
            Edit(
                id=f"convsent-{number}",
                prompt=f"Topic: {topic}; Sentiment: {('Positive', 'Negative')[number % 2]}",
                target=("Positive", "Negative")[number % 2],
                kind="stance",
                in_scope=tuple(
                    Example(query=question.format(topic), tag="opinion") for question in asked
                ),
                out_of_scope=(
                    *(Example(query=asked[0].format(o), tag="other_subject") for o in others),
                    Example(query=f"When did people first hear of {topic}?", tag="other_relation"),
                ),
                metadata={"subject": topic},
            )
        )
    return edits
