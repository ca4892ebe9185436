"""BertEmbeddings: what a vector depends on, and which ids are refused."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from bertlib.config import BertConfig
from bertlib.embeddings import BertEmbeddings

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=12,
    num_attention_heads=3,
    max_position_embeddings=8,
    type_vocab_size=2,
    layer_norm_eps=0.1,
    pad_token_id=3,
)


def made(config=CONFIG):
    """A module whose numbers are all random, gain and bias included."""
    torch.manual_seed(0)
    module = BertEmbeddings(config).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def test_ids_become_vectors():
    assert made()(torch.ones(2, 5, dtype=torch.int64)).shape == (2, 5, 12)


def test_the_output_is_the_normalised_sum_of_three_rows():
    module = made()
    ids, types = torch.tensor([[4, 9], [7, 4]]), torch.tensor([[0, 1], [1, 1]])
    got = module(ids, types)
    for b in range(2):
        for t in range(2):
            x = module.word_embeddings.weight[ids[b, t]]
            x = x + module.position_embeddings.weight[t]
            x = x + module.token_type_embeddings.weight[types[b, t]]
            centred = x - sum(x) / 12
            y = centred / (sum(centred**2) / 12 + 0.1).sqrt()
            want = y * module.layer_norm.weight + module.layer_norm.bias
            torch.testing.assert_close(got[b, t], want)


def test_without_segments_every_token_is_in_segment_0():
    module, ids = made(), torch.tensor([[4, 9, 7]])
    assert torch.equal(module(ids), module(ids, torch.zeros_like(ids)))
    assert not torch.equal(module(ids), module(ids, torch.ones_like(ids)))


def test_a_vector_does_not_depend_on_its_neighbours():
    module = made()
    one, other = module(torch.tensor([[4, 9, 7]])), module(torch.tensor([[5, 9, 8]]))
    assert torch.equal(one[0, 1], other[0, 1])


def test_a_vector_does_not_depend_on_the_rest_of_the_batch():
    module, ids = made(), torch.tensor([[4, 9, 7], [1, 2, 5]])
    torch.testing.assert_close(module(ids)[1:], module(ids[1:]))


def test_the_same_token_has_another_vector_at_another_position():
    x = made()(torch.tensor([[9, 9]]))
    assert not torch.allclose(x[0, 0], x[0, 1])


def test_int32_ids_give_what_int64_ids_give():
    module, ids = made(), torch.tensor([[4, 9, 7]])
    types = torch.tensor([[0, 1, 1]])
    assert torch.equal(module(ids.int(), types.int()), module(ids, types))


@pytest.mark.parametrize("shape", [(1, 8), (1, 0), (0, 4)])
def test_the_longest_and_the_emptiest_input_go_through(shape):
    assert made()(torch.ones(shape, dtype=torch.int64)).shape == (*shape, 12)


def test_the_row_of_padding_starts_at_zero():
    weight = BertEmbeddings(CONFIG).word_embeddings.weight
    assert not weight[3].any()
    assert weight[[0, 1, 2, 4]].any(dim=1).all()


def test_the_row_of_padding_gets_no_gradient():
    module = made()
    module(torch.tensor([[4, 3, 3]])).pow(3).sum().backward()
    grad = module.word_embeddings.weight.grad
    assert not grad[3].any()
    assert grad[4].any()


def test_only_rows_that_were_used_get_a_gradient():
    module = made()
    module(torch.tensor([[4, 9], [9, 7]])).pow(3).sum().backward()
    used = {
        name: module.get_submodule(name).weight.grad.any(dim=1).nonzero()[:, 0].tolist()
        for name in ["word_embeddings", "position_embeddings", "token_type_embeddings"]
    }
    assert used == {
        "word_embeddings": [4, 7, 9],
        "position_embeddings": [0, 1],
        "token_type_embeddings": [0],
    }


def test_dropout_comes_last_and_in_training_alone():
    module = made(replace(CONFIG, hidden_dropout_prob=0.25))
    ids = torch.randint(4, 20, (60, 8))
    whole = module(ids)
    dropped = module.train()(ids)
    zero = dropped == 0
    assert not (whole == 0).any()
    assert 0.2 < zero.float().mean() < 0.3
    torch.testing.assert_close(dropped[~zero], whole[~zero] / 0.75)


def test_the_layer_norm_takes_its_eps_from_the_config():
    module = made(replace(CONFIG, layer_norm_eps=0.5))
    x = torch.randn(3, 12)
    norm = module.layer_norm
    want = F.layer_norm(x, (12,), norm.weight, norm.bias, eps=0.5)
    assert torch.equal(norm(x), want)


GOOD = torch.ones(2, 4, dtype=torch.int64)
TOO_LARGE = GOOD.clone()
TOO_LARGE[1, 3] = 40000
NEGATIVE = GOOD.clone()
NEGATIVE[0, 2] = -1
SEGMENT_2 = torch.zeros_like(GOOD)
SEGMENT_2[1, 0] = 2
BAD = {
    "id too large": (
        (TOO_LARGE,),
        ValueError,
        "input_ids[1, 3] is 40000; it must be from 0 to 19",
    ),
    "id negative": (
        (NEGATIVE,),
        ValueError,
        "input_ids[0, 2] is -1; it must be from 0 to 19",
    ),
    "id of float": (
        (GOOD.float(),),
        TypeError,
        "input_ids has dtype torch.float32; it must be int64 or int32",
    ),
    "id of bool": (
        (GOOD.bool(),),
        TypeError,
        "input_ids has dtype torch.bool; it must be int64 or int32",
    ),
    "a list": (
        ([[1, 2]],),
        TypeError,
        "input_ids is a list; it must be a tensor (B, T)",
    ),
    "one axis": (
        (GOOD[0],),
        ValueError,
        "input_ids has shape (4,); it must be (B, T)",
    ),
    "three axes": (
        (GOOD[None],),
        ValueError,
        "input_ids has shape (1, 2, 4); it must be (B, T)",
    ),
    "too long": (
        (torch.ones(1, 9, dtype=torch.int64),),
        ValueError,
        "input_ids has 9 tokens in a row; there are 8 positions",
    ),
    "segments of another shape": (
        (GOOD, GOOD[:1]),
        ValueError,
        "token_type_ids has shape (1, 4); it must be that of input_ids, (2, 4)",
    ),
    "segments with one axis": (
        (GOOD, GOOD[0]),
        ValueError,
        "token_type_ids has shape (4,); it must be (B, T)",
    ),
    "segment too large": (
        (GOOD, SEGMENT_2),
        ValueError,
        "token_type_ids[1, 0] is 2; it must be from 0 to 1",
    ),
    "segment negative": (
        (GOOD, -GOOD),
        ValueError,
        "token_type_ids[0, 0] is -1; it must be from 0 to 1",
    ),
    "segments of float": (
        (GOOD, GOOD.float()),
        TypeError,
        "token_type_ids has dtype torch.float32; it must be int64 or int32",
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("inputs", "kind", "says"), BAD.values(), ids=BAD)
def test_ids_that_cannot_be_right_are_refused_with_place(inputs, kind, says, training):
    module = made().train(training)
    with pytest.raises(kind) as error:
        module(*inputs)
    assert str(error.value) == says
