"""The questions of capstone C, and the score of answers to them.

The texts and questions are those of the course corpus. The context of a question is the
paragraph that answers it; a question without an answer gets the paragraph that looks
most as if it had one.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bertlib.corpus import Document, Question, load_course
from bertlib.squad import score_answer


class Asked(NamedTuple):
    """A question about a context; `answer` is (start, end) in its characters, the end
    excluded, or None where the context does not answer it."""

    question: str
    context: str
    answer: tuple[int, int] | None

    @property
    def text(self) -> str | None:
        """The right answer."""
        return self.answer and self.context[slice(*self.answer)]


class Score(NamedTuple):
    """Means in percent: exact match and F1 over all questions, and F1 over those that
    have an answer and those that have none."""

    exact: float
    f1: float
    f1_answerable: float
    f1_silent: float


def load_questions(split: str, seed: int | None = None) -> list[Asked]:
    """The questions of a part of the corpus.

    Args:
        split: "train", "dev" or "test".
        seed: exchange the names of people and places by chance, in texts, questions
            and answers alike; None: leave them as they are.
    """
    documents = load_course(split)
    rename = _renaming(documents, seed)
    return [
        rename(_about(document, asked))
        for document in documents
        for asked in document.questions
    ]


def score(rows: Sequence[Asked], answers: Sequence[str | None]) -> Score:
    """The score of an answer for each row; None says that there is none.

    Exact match and F1 are those of SQuAD's script (chapter 13).
    """
    parts: list[list[float]] = [[], [], [], []]
    for row, answer in zip(rows, answers, strict=True):
        found = score_answer(answer, [] if row.text is None else [row.text])
        parts[0].append(found.exact)
        parts[1].append(found.f1)
        parts[3 if row.text is None else 2].append(found.f1)
    return Score(*(100 * sum(part) / max(1, len(part)) for part in parts))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _about(document: Document, asked: Question) -> Asked:
    """The question with the paragraph that answers it, or might."""
    if asked.answer is not None:
        at = asked.answer[0]
    else:
        shared = [
            len(_words(asked.question) & _words(document.text[a:b]))
            for a, b in document.sentences
        ]
        at = document.sentences[shared.index(max(shared))][0]
    begin = document.text.rfind("\n", 0, at) + 1
    end = (document.text + "\n").index("\n", at)
    answer = asked.answer and (asked.answer[0] - begin, asked.answer[1] - begin)
    return Asked(asked.question, document.text[begin:end], answer)


def _renaming(documents: list[Document], seed: int | None) -> Callable[[Asked], Asked]:
    """A function that exchanges the words of names in a row, each for one other."""
    if seed is None:
        return lambda row: row
    kinds: dict[str, set[str]] = {"PER": set(), "LOC": set()}
    for document in documents:
        for start, end, kind in document.entities:
            if kind in kinds:
                found = re.findall(r"[A-ZÀ-Ý][\w]{2,}", document.text[start:end])
                kinds[kind].update(found)
    rng = np.random.default_rng([seed, 13])
    new: dict[str, str] = {}
    for words in kinds.values():
        old = sorted(words - set(new))
        order = [old[i] for i in rng.permutation(len(old))]
        new.update(zip(order, [*order[1:], *order[:1]], strict=True))
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, new)) + r")\b")

    def changed(text: str) -> str:
        return pattern.sub(lambda found: new[found[0]], text)

    def rename(row: Asked) -> Asked:
        answer = None
        if row.answer is not None:
            start, end = (len(changed(row.context[:at])) for at in row.answer)
            answer = (start, end)
        return Asked(changed(row.question), changed(row.context), answer)

    return rename
