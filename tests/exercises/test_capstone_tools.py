"""What the capstones' checks stand on: lines, dialects, and questions renamed."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bertlib.attention import MultiHeadSelfAttention
from bertlib.config import BertConfig
from bertlib.exercises import dialect as dialects
from bertlib.exercises.lines import count_lines, foreign_parts
from bertlib.exercises.questions import load_questions, score
from bertlib.grammar import WORDS

# --- lines ----------------------------------------------------------------------------


def helper(x):
    return x + 1


class Part(nn.Module):
    """Six lines: the class, two heads, and three statements."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(
            2,
            2,
        )

    def forward(self, x):
        """Not counted."""
        # nor is this
        return helper(x)


class Child(Part):
    pass


def build():
    return Child()


def test_a_statement_is_one_line_however_it_is_broken():
    assert count_lines(build, build()) == {
        "build": 2,
        "Child": 1,
        "Part": 6,
        "helper": 2,
    }


def test_a_library_is_not_the_students_code():
    assert foreign_parts(build, build()) == []


def test_a_model_of_the_course_is_named():
    model = MultiHeadSelfAttention(BertConfig())
    (name,) = foreign_parts(build, model)
    assert name == "bertlib.attention.MultiHeadSelfAttention"


def borrows():
    from bertlib.encoder import gelu

    return gelu


def test_an_import_inside_of_a_function_is_seen():
    assert "bertlib.encoder" in foreign_parts(borrows, build())


def test_code_without_a_source_is_refused():
    space = {"__name__": __name__}
    exec(compile("def made(): return 1", "<nowhere>", "exec"), space)
    with pytest.raises(OSError):
        count_lines(space["made"], build())


# --- dialects -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dialect():
    return dialects.draw(3, sentences=2000)


def test_a_dialect_is_the_same_for_the_same_seed(dialect):
    again = dialects.draw(3, sentences=2000)
    assert again.sentences == dialect.sentences
    assert torch.equal(again.numbers, dialect.numbers)


def test_another_dialect_has_other_words_and_numbers(dialect):
    other = dialects.draw(4, sentences=10)
    assert other.language.tokenizer.tokens != dialect.language.tokenizer.tokens
    assert not torch.equal(other.numbers, dialect.numbers)


def test_special_tokens_keep_their_ids_and_no_word_has_one(dialect):
    assert dialect.numbers[:5].tolist() == [0, 1, 2, 3, 4]
    assert min(min(words) for words in dialect.sentences) >= 5
    assert sorted(dialect.numbers.tolist()) == list(range(dialect.vocab_size))


def test_the_forms_of_one_word_stay_together():
    fewer = dialects._fewer_words(np.random.default_rng(1), 5)

    def pairs(words):
        return {*zip(words["noun:it"].split(), words["noun:they"].split(), strict=True)}

    assert len(pairs(fewer)) == 5
    assert pairs(fewer) < pairs(WORDS)
    assert fewer["rests:he"] == fewer["rests:it"]


class Even(nn.Module):
    """The same logit for everything."""

    def __init__(self, V):
        super().__init__()
        self.V = V

    def forward(self, input_ids, attention_mask):
        logits = torch.zeros(*input_ids.shape, self.V)
        return type("Out", (), {"logits": logits})


def test_even_guessing_has_the_loss_of_even_guessing(dialect):
    scores = dialects.measure(Even(dialect.vocab_size), dialect)
    assert math.isclose(scores.loss, scores.even, rel_tol=1e-4)
    assert scores.agreement == 0  # no form is likelier than the other
    assert scores.floor < 0.5 * scores.unigram < scores.even


class Ideal(nn.Module):
    """The language's own reader, for the masked words that it can see."""

    def __init__(self, dialect):
        super().__init__()
        self.dialect = dialect
        self.back = torch.argsort(dialect.numbers)

    def forward(self, input_ids, attention_mask):
        ids, language = self.back[input_ids], self.dialect.language
        masked = ids == language.tokenizer.vocab["[MASK]"]
        labels = torch.where(masked, 5, -100)
        segments = torch.zeros_like(ids)
        batch = {
            "input_ids": ids,
            "attention_mask": attention_mask,
            "token_type_ids": segments,
            "labels": labels,
        }
        logits = torch.zeros(*ids.shape, self.dialect.vocab_size)
        own = language.log_posterior(batch).float()
        at = torch.zeros_like(logits[masked])
        at[:, self.dialect.numbers] = own
        logits[masked] = at
        return type("Out", (), {"logits": logits})


def test_the_ideal_reader_agrees_every_verb(dialect):
    held = dialect._replace(pairs=dialect.pairs[:50])
    assert dialects._agreement(Ideal(held), held) == 1.0


# --- questions ------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_answer_stands_in_its_context(split, seed):
    rows = load_questions(split, seed)
    assert rows
    for row in rows:
        assert row.text is None or (row.text and row.text in row.context)


def test_renaming_changes_names_and_nothing_else():
    plain, other = load_questions("test"), load_questions("test", 1)
    assert [row.text is None for row in plain] == [row.text is None for row in other]
    changed = [a for a, b in zip(plain, other, strict=True) if a.question != b.question]
    assert len(changed) > 60
    small = [w for row in plain for w in row.context.split() if w.islower()]
    assert small == [w for row in other for w in row.context.split() if w.islower()]


def test_two_seeds_give_two_renamings():
    assert load_questions("dev", 1) != load_questions("dev", 2)
    assert load_questions("dev", 1) == load_questions("dev", 1)


def test_silence_scores_the_share_of_questions_without_an_answer():
    rows = load_questions("dev")
    share = 100 * sum(row.text is None for row in rows) / len(rows)
    found = score(rows, [None] * len(rows))
    assert found == (share, share, 0.0, 100.0)


def test_the_right_answers_score_100():
    rows = load_questions("dev", 5)
    assert score(rows, [row.text for row in rows]) == (100.0, 100.0, 100.0, 100.0)
