"""Our measures of answers against the code of SQuAD's published script.

transformers carried that code up to version 4; the test takes this one file out of a
wheel on the package index, as the course takes its data.
"""

import importlib.util
import random
import sys
import types
from types import SimpleNamespace

import pytest

from bertlib.corpus import Wheel, _folder_with
from bertlib.squad import (
    Answer,
    Question,
    exact_match,
    f1_score,
    normalize_answer,
    score_answer,
    score_answers,
)

SCRIPT = Wheel(
    "transformers==4.57.1",
    "transformers/data/metrics",
    {
        "squad_metrics.py": (
            29_685,
            "fff72374f535aadddb8e75eade4e820b6fe9ff90f16d4f29e88e442f8d2e9eb8",
        )
    },
)
WORDS = [
    "the", "The", "a", "An", "an", "THE", "theatre", "a.", "the-", "(the)", "an's",
    "Paris", "paris", "PARIS.", "in", "of", "1,000", "1000", "$5", "5%", "U.S.", "us",
    "don't", "dont", "—", "–", "“quoted”", "«oui»", "…", "naïve", "naïve", "é",
    "İstanbul", "straße", "STRASSE", "Σίσυφος", "ὈΔΥΣΣΕΎΣ", "東京", "東京。", "한국",
    "🙂", "½", "²", "ﬁn", "\u00a0", "\u200b", "\u2028", "\t", "\n", "", ".", "--", "'s",
    "_", "a_b", "`", "the_end", "aΩ", "the東京", "e\u0301",
]  # fmt: skip
JOINS = [" ", "  ", "\u00a0", "", "-", "\n", ", "]


@pytest.fixture(scope="module")
def script():
    """The published code as a module. What it imports from transformers beside it is
    not used by the measures."""
    path = _folder_with(SCRIPT, "squad-metrics") / "squad_metrics.py"
    stubs = {
        "published": types.ModuleType("published"),
        "published.data": types.ModuleType("published.data"),
        "published.data.metrics": types.ModuleType("published.data.metrics"),
        "published.models": types.ModuleType("published.models"),
        "published.models.bert": SimpleNamespace(BasicTokenizer=None),
        "published.utils": SimpleNamespace(
            logging=SimpleNamespace(get_logger=lambda name: None)
        ),
    }
    name = "published.data.metrics.squad"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(stubs)
    try:
        spec.loader.exec_module(module)
    finally:
        for stub in stubs:
            del sys.modules[stub]
    return module


def random_text(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 9]))]
    return "".join(word + rng.choice(JOINS) for word in words)


def random_pair(rng: random.Random) -> tuple[str, str]:
    """Two texts, of which the second is often much like the first."""
    first = random_text(rng)
    if rng.random() < 0.4:
        return first, random_text(rng)
    words = first.split(" ")
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(words) + 1)
        words[place : place + rng.randrange(2)] = [rng.choice(WORDS)]
    changed = " ".join(words)
    return first, rng.choice([changed, changed.upper(), changed.title(), first])


def test_10000_pairs_score_alike_to_the_last_digit(script):
    rng = random.Random(13)
    partial = 0
    for _ in range(10_000):
        said, right = random_pair(rng)
        assert normalize_answer(said) == script.normalize_answer(said)
        assert exact_match(said, right) == script.compute_exact(right, said)
        f1 = f1_score(said, right)
        assert f1 == script.compute_f1(right, said), (said, right)
        partial += 0 < f1 < 1
    assert partial > 1_500  # the pairs are neither all alike nor all different


def test_10000_questions_with_several_answers_or_none_score_alike(script):
    rng = random.Random(17)
    questions, predictions, examples = [], {}, []
    for number in range(10_000):
        said, first = random_pair(rng)
        others = [random_text(rng) for _ in range(rng.choice([0, 0, 1, 2, 3]))]
        texts = [] if rng.random() < 0.2 else [first, *others]
        rng.shuffle(texts)
        name = str(number)
        questions.append(Question(name, "?", "", tuple(Answer(t, 0) for t in texts)))
        predictions[name] = said if rng.random() < 0.9 else None
        examples.append(
            SimpleNamespace(qas_id=name, answers=[{"text": t} for t in texts])
        )
    said = {name: text or "" for name, text in predictions.items()}
    exact, f1 = script.get_raw_scores(examples, said)
    for asked in questions:
        texts = [answer.text for answer in asked.answers]
        score = score_answer(predictions[asked.id], texts)
        assert score == (exact[asked.id], f1[asked.id])
    theirs = script.squad_evaluate(examples, said)
    ours = score_answers(questions, predictions)
    assert ours == {name: theirs[name] for name in ours}
    assert len(ours) == 9
