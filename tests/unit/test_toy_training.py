"""A small BERT learns the toy language; the whole way: benchmarks/toy_language.py."""

import pytest
import torch

from bertlib.config import BertConfig
from bertlib.data import Masker, collate, length_buckets
from bertlib.heads import BertForMaskedLM
from bertlib.recipe import Recipe
from bertlib.toylang import Floor, ToyLanguage
from bertlib.train import Trainer

SEEN, LONGER = range(2, 13), range(13, 16)  # words in a sentence
STEPS, ROWS = 500, 128
LANGUAGE = ToyLanguage()


@pytest.fixture(scope="module")
def trained() -> BertForMaskedLM:
    """Less than half of the benchmark's budget: about half a minute of one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(LANGUAGE.tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=64,
    )
    recipe = Recipe(learning_rate=2e-3, warmup=0.05)
    trainer = Trainer(BertForMaskedLM(config), recipe, STEPS)
    sentences = LANGUAGE.sample(2 * ROWS * STEPS, 0, SEEN)
    rows = LANGUAGE.examples(sentences, per_row=2)
    mask = Masker(LANGUAGE.tokenizer)
    for batch in length_buckets([len(row.input_ids) for row in rows], ROWS):
        trainer.step([mask([rows[i] for i in batch])])
    torch.set_num_threads(threads)
    return trainer.model.eval()


@pytest.fixture(scope="module")
def losses(trained: BertForMaskedLM) -> tuple[float, Floor]:
    rows = LANGUAGE.examples(LANGUAGE.sample(2000, 1, SEEN), per_row=2)
    batch = Masker(LANGUAGE.tokenizer, seed=1)(rows)
    with torch.no_grad():
        return trained(**batch).loss.item(), LANGUAGE.floor(batch)


def test_the_loss_comes_near_the_floor(losses: tuple[float, Floor]):
    loss, floor = losses
    assert loss < 1.2 * floor.loss


def test_the_loss_stays_above_the_floor(losses: tuple[float, Floor]):
    loss, floor = losses
    assert loss > floor.loss


@pytest.mark.parametrize("attractor", [False, True])
def test_verbs_agree_in_sentences_longer_than_any_seen(
    trained: BertForMaskedLM, attractor: bool
):
    pairs = LANGUAGE.agreement_pairs(200, 0, LONGER, attractor)
    rows = []
    for pair in pairs:
        words = [*pair.sentence]
        words[pair.verb] = LANGUAGE.tokenizer.vocab["[MASK]"]
        rows += LANGUAGE.examples([words])
    with torch.no_grad():
        logits = trained(**collate(rows)).logits  # (200, T, V)
    agreed = [
        bool(
            row[pair.verb + 1, pair.sentence[pair.verb]]
            > row[pair.verb + 1, pair.wrong]
        )
        for row, pair in zip(logits, pairs, strict=True)
    ]
    assert sum(agreed) / len(agreed) > 0.75  # guessing gives 0.5
