"""One vector for a text: the neighbours in a batch must not change it."""

import pytest
import torch

from bertlib.config import BertConfig
from bertlib.model import BertModel
from bertlib.tokenizer import WordPieceTokenizer
from bertlib.vectors import POOLINGS, encode_texts, pool
from bertlib.vocabulary import SPECIAL_TOKENS

TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *"abcdefgh"])
TEXTS = ["a b c d e f g h", "a", "", "h g f", "b b b b b", "c", "a b", "h"]
each_way = pytest.mark.parametrize("how", POOLINGS)


@pytest.fixture(scope="module")
def model() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        initializer_range=0.5,
    )
    return BertModel(config).eval()


def alone(model: BertModel, text: str, how: str) -> torch.Tensor:
    ids = torch.tensor([TOKENIZER.encode(text).input_ids])
    with torch.no_grad():
        hidden = model(ids).last_hidden_state[0]
    if how == "cls":
        vector = hidden[0]
    else:
        vector = hidden.mean(dim=0) if how == "mean" else hidden.amax(dim=0)
    return vector / vector.norm()


@each_way
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_text_has_the_vector_that_it_has_alone(how, batch_size, model):
    vectors = encode_texts(model, TOKENIZER, TEXTS, how, batch_size=batch_size)
    want = torch.stack([alone(model, text, how) for text in TEXTS])
    torch.testing.assert_close(vectors, want, rtol=0, atol=1e-5)


@each_way
def test_padding_may_hold_anything(how):
    hidden = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])
    filled = hidden.clone()
    filled[1, 1:] = torch.nan
    assert torch.equal(pool(filled, mask, how)[1], hidden[1, 0])


def test_vectors_have_length_one(model):
    vectors = encode_texts(model, TOKENIZER, TEXTS)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(TEXTS)))


def test_no_texts_give_no_vectors(model):
    assert encode_texts(model, TOKENIZER, []).shape == (0, 12)


def test_a_long_text_is_cut(model):
    long = encode_texts(model, TOKENIZER, ["a " * 900], max_length=6)
    torch.testing.assert_close(long, encode_texts(model, TOKENIZER, ["a a a a"]))


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="how is 'sum'; it may be one of cls, mean"):
        pool(torch.zeros(1, 1, 2), torch.ones(1, 1), "sum")
