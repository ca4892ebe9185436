"""The heads and their losses: shapes, -100, tying, and the mistakes people make."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertlib.config import BertConfig
from bertlib.heads import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    MaskedLMHead,
)
from bertlib.losses import IGNORE, check_labels, loss_if_labelled, mean_loss

SMALL = BertConfig(
    vocab_size=50,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=16,
)
IDS = torch.tensor([[2, 7, 4, 3, 0, 0], [2, 8, 4, 9, 6, 3]])
MASK = IDS != 0
KINDS = torch.tensor([[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])
LABELS = torch.tensor([[-100, -100, 9, -100, -100, -100], [-100, 0, 5, -100, -100, 7]])
FOLLOWS = torch.tensor([0, 1])
WORDS = [BertForPreTraining, BertForMaskedLM]
ALL: dict[type, dict[str, Tensor]] = {
    BertForPreTraining: {"labels": LABELS, "next_sentence_label": FOLLOWS},
    BertForMaskedLM: {"labels": LABELS},
    BertForNextSentencePrediction: {"labels": FOLLOWS},
    BertForSequenceClassification: {"labels": FOLLOWS},
    BertForTokenClassification: {"labels": LABELS.clamp(max=1)},
    BertForQuestionAnswering: {
        "start_positions": torch.tensor([1, 0]),
        "end_positions": torch.tensor([2, 5]),
    },
}
each_model = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
each_with_words = pytest.mark.parametrize("kind", WORDS, ids=lambda k: k.__name__)


def model_of(kind: Any, training: bool = False, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = BertConfig(**{**vars(SMALL), **changes})
    return kind(config).train(training)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for n, p in model.named_parameters()
    }


# --- shapes --------------------------------------------------------------------------


@each_with_words
def test_without_labels_there_are_logits_everywhere_and_no_loss(kind):
    out = model_of(kind)(IDS, MASK, KINDS)
    assert out.logits.shape == (2, 6, 50)
    assert (out.loss, out.mlm_loss, out.nsp_loss) == (None, None, None)


@each_with_words
def test_with_labels_there_are_logits_at_the_labelled_positions(kind):
    model = model_of(kind)
    everywhere = model(IDS, MASK, KINDS).logits
    out = model(IDS, MASK, KINDS, labels=LABELS)
    assert out.logits.shape == (4, 50)
    torch.testing.assert_close(out.logits, everywhere[LABELS != IGNORE])


def test_next_sentence_logits_are_two_for_each_pair():
    assert model_of(BertForMaskedLM)(IDS).next_sentence_logits is None
    out = model_of(BertForPreTraining)(IDS, MASK, KINDS)
    assert out.next_sentence_logits.shape == (2, 2)
    assert model_of(BertForNextSentencePrediction)(IDS, MASK).logits.shape == (2, 2)


@pytest.mark.parametrize("K", [2, 5])
def test_classifiers_have_one_logit_for_each_class(K: int):
    texts = BertForSequenceClassification(SMALL, num_labels=K)
    tokens = BertForTokenClassification(SMALL, num_labels=K)
    assert texts(IDS, MASK).logits.shape == (2, K)
    assert tokens(IDS, MASK).logits.shape == (2, 6, K)


def test_a_span_has_two_logits_for_each_token():
    out = model_of(BertForQuestionAnswering)(IDS, MASK)
    assert out.start_logits.shape == out.end_logits.shape == (2, 6)


@each_model
def test_a_model_has_a_pooler_only_where_its_head_reads_it(kind):
    model = model_of(kind)
    reads_text = kind in (
        BertForPreTraining,
        BertForNextSentencePrediction,
        BertForSequenceClassification,
    )
    assert (model.bert.pooler is not None) == reads_text


@each_model
def test_every_parameter_gets_a_gradient(kind):
    model = model_of(kind, initializer_range=0.2)
    model(IDS, MASK, KINDS, **ALL[kind]).loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_the_two_tasks_can_be_trained_one_at_a_time():
    model = model_of(BertForPreTraining)
    both = model(IDS, MASK, KINDS, LABELS, FOLLOWS)
    words = model(IDS, MASK, KINDS, labels=LABELS)
    texts = model(IDS, MASK, KINDS, next_sentence_label=FOLLOWS)
    assert words.nsp_loss is None and texts.mlm_loss is None
    torch.testing.assert_close(words.loss, both.mlm_loss)
    torch.testing.assert_close(texts.loss, both.nsp_loss)
    torch.testing.assert_close(both.loss, words.loss + texts.loss)


def test_classifiers_drop_numbers_in_training_only():
    model = model_of(BertForSequenceClassification, hidden_dropout_prob=0.5)
    torch.testing.assert_close(model(IDS).logits, model(IDS).logits)
    assert model.dropout.p == 0.5
    model.bert.eval()
    model.dropout.train()
    assert not torch.equal(model(IDS).logits, model(IDS).logits)


# --- the loss ------------------------------------------------------------------------


def test_the_loss_of_three_logits_is_the_one_worked_out_by_hand():
    loss = mean_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0]))
    want = math.log(math.e**2 + math.e + 1) - 2
    assert loss.item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("V", [2, 8000, 30522])
def test_even_logits_cost_log_v(V: int):
    loss = mean_loss(torch.zeros(3, V), torch.tensor([0, V - 1, 1]))
    assert loss.item() == pytest.approx(math.log(V), abs=1e-5)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
def test_the_mean_is_that_of_cross_entropy_over_the_labelled(shape):
    torch.manual_seed(0)
    logits = 3 * torch.randn(*shape, 6)
    labels = torch.randint(6, shape).where(torch.rand(shape) < 0.5, IGNORE)
    keep = labels != IGNORE
    want = F.cross_entropy(logits[keep], labels[keep])
    torch.testing.assert_close(mean_loss(logits, labels), want)


@each_model
def test_a_batch_without_labels_costs_nothing_and_moves_nothing(kind):
    model = model_of(kind)
    none = {name: torch.full_like(x, IGNORE) for name, x in ALL[kind].items()}
    loss = model(IDS, MASK, KINDS, **none).loss
    assert loss.item() == 0
    assert all(grad.eq(0).all() for grad in gradients(model, loss).values())


@each_model
def test_a_row_labelled_minus_100_is_as_if_it_were_not_there(kind):
    model = model_of(kind)
    labels = {name: x.clone() for name, x in ALL[kind].items()}
    for x in labels.values():
        x[0] = IGNORE
    both = model(IDS, MASK, KINDS, **labels).loss
    alone = {name: x[1:] for name, x in labels.items()}
    torch.testing.assert_close(both, model(IDS[1:], MASK[1:], KINDS[1:], **alone).loss)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in ALL if kind is not BertForQuestionAnswering],
    ids=lambda kind: kind.__name__,
)
def test_more_padding_changes_neither_loss_nor_gradient(kind):
    model = model_of(kind, initializer_range=0.2)
    short = model(IDS, MASK, KINDS, **ALL[kind]).loss
    before = gradients(model, short)
    wide = {
        name: F.pad(x, (0, 7), value=IGNORE) if x.dim() == 2 else x
        for name, x in ALL[kind].items()
    }
    inputs = [F.pad(x, (0, 7)) for x in (IDS, MASK, KINDS)]
    long = model(*inputs, **wide).loss
    torch.testing.assert_close(long, short)
    after = gradients(model, long)
    for name, grad in before.items():
        torch.testing.assert_close(after[name], grad, msg=name, atol=1e-6, rtol=1e-4)


def test_padding_takes_part_in_the_softmax_of_a_span_as_in_the_authors_code():
    model = model_of(BertForQuestionAnswering)
    with torch.no_grad():
        model.qa_outputs.weight.zero_()  # even logits
    labels = ALL[BertForQuestionAnswering]
    assert model(IDS, MASK, **labels).loss.item() == pytest.approx(math.log(6))
    wide = [F.pad(x, (0, 4)) for x in (IDS, MASK)]
    assert model(*wide, **labels).loss.item() == pytest.approx(math.log(10))


def test_the_loss_of_a_span_is_the_mean_of_its_ends():
    model = model_of(BertForQuestionAnswering, initializer_range=0.5)
    start, end = torch.tensor([0, IGNORE]), torch.tensor([3, 4])
    out = model(IDS, MASK, KINDS, start, end)
    first = F.cross_entropy(out.start_logits[:1], start[:1])
    last = F.cross_entropy(out.end_logits, end)
    torch.testing.assert_close(out.loss, (first + last) / 2)


# --- the mistakes of teaching code, one by one ----------------------------------------


def test_next_sentence_label_0_learns():
    """NLLLoss(ignore_index=0) shared by both tasks would leave it out."""
    model = model_of(BertForPreTraining)
    zeros = torch.tensor([0, 0])
    loss = model(IDS, MASK, KINDS, next_sentence_label=zeros).loss
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)
    grad = gradients(model, loss)["seq_relationship.bias"]
    assert grad[0] < -0.4 and grad[1] > 0.4  # towards 0, away from 1


def test_both_next_sentence_labels_are_learned():
    model = model_of(BertForNextSentencePrediction, hidden_dropout_prob=0.0)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        adam.zero_grad()
        model(IDS, MASK, KINDS, FOLLOWS).loss.backward()
        adam.step()
    assert model(IDS, MASK, KINDS).logits.argmax(-1).tolist() == [0, 1]


def test_the_word_with_number_0_is_a_word():
    model = model_of(BertForMaskedLM)
    only_zero = torch.full_like(LABELS, IGNORE)
    only_zero[1, 1] = 0
    out = model(IDS, MASK, KINDS, only_zero)
    assert out.logits.shape == (1, 50)
    assert out.loss.item() == pytest.approx(math.log(50), abs=0.3)
    assert gradients(model, out.loss)["predictions.bias"][0] < -0.9


def test_positions_without_a_label_do_not_enter_the_mean():
    """A mean-reduced loss times a mask, over the mask's sum, is the plain mean."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(2, 6, 50)
    right = mean_loss(logits, LABELS)
    keep = (LABELS != IGNORE).float()
    each = F.cross_entropy(
        logits.flatten(0, 1), LABELS.clamp(min=0).flatten(), reduction="none"
    )
    cancelled = (each.mean() * keep).sum() / keep.sum()
    torch.testing.assert_close(cancelled, each.mean())
    torch.testing.assert_close(right, (each * keep.flatten()).sum() / keep.sum())
    assert abs(cancelled - right) > 0.1
    changed = logits.masked_fill((LABELS == IGNORE)[..., None], 1e4)
    torch.testing.assert_close(mean_loss(changed, LABELS), right)


@each_with_words
def test_the_decoder_is_the_table_of_the_embeddings(kind):
    model = model_of(kind)
    tables = [n for n, x in model.state_dict().items() if tuple(x.shape) == (50, 12)]
    assert tables == ["bert.embeddings.word_embeddings.weight"]
    table = model.bert.embeddings.word_embeddings.weight
    before = model(IDS, MASK, KINDS).logits
    with torch.no_grad():
        table[33, 0] += 1.0  # a word that no input holds
    after = model(IDS, MASK, KINDS).logits
    changed = (after - before).abs().amax(dim=(0, 1)) > 1e-3
    assert changed.nonzero().flatten().tolist() == [33]


@each_with_words
def test_the_table_gets_a_gradient_from_both_sides(kind):
    model = model_of(kind)
    name = "bert.embeddings.word_embeddings.weight"
    table = model.bert.embeddings.word_embeddings.weight
    whole = gradients(model, model(IDS, MASK, KINDS, labels=LABELS).loss)[name]
    hidden = model.bert(IDS, MASK, KINDS).last_hidden_state[LABELS != IGNORE]
    truth = LABELS[LABELS != IGNORE]
    only_out = mean_loss(model.predictions(hidden.detach(), table), truth)
    only_in = mean_loss(model.predictions(hidden, table.detach()), truth)
    out, into = (gradients(model, loss)[name] for loss in (only_out, only_in))
    torch.testing.assert_close(whole, out + into)
    read = set(IDS[MASK].tolist())
    assert set(into.ne(0).any(dim=1).nonzero().flatten().tolist()) == read
    assert out.ne(0).any(dim=1).all()  # rows that nobody read, and padding's


def test_the_head_owns_no_matrix_with_a_row_for_each_word():
    D, V = 12, 50
    owned = sum(p.numel() for p in MaskedLMHead(SMALL).parameters())
    assert owned == D * D + D + 2 * D + V


# --- the first step ------------------------------------------------------------------


@pytest.mark.parametrize("V", [1000, 30522])
def test_an_untrained_model_starts_near_log_v_and_log_2(V: int):
    torch.manual_seed(0)
    config = BertConfig(vocab_size=V, num_hidden_layers=2)
    model = BertForPreTraining(config).eval()
    ids = torch.randint(5, V, (8, 32))
    labels = ids.where(torch.rand(8, 32) < 0.3, IGNORE)
    follows = torch.randint(2, (8,))
    with torch.no_grad():
        out = model(ids.masked_fill(labels >= 0, 4), None, None, labels, follows)
    variance = config.hidden_size * config.initializer_range**2  # of one logit
    room = 4 * (variance / int((labels >= 0).sum())) ** 0.5  # the right words' own
    assert out.mlm_loss.item() == pytest.approx(math.log(V) + variance / 2, abs=room)
    assert out.nsp_loss.item() == pytest.approx(math.log(2), abs=0.05)


@each_model
def test_all_layers_start_with_the_size_that_the_config_says(kind):
    model = model_of(kind, initializer_range=0.3)
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear):
            # Seven standard errors of a sample standard deviation.
            room = 7 / (2 * part.weight.numel()) ** 0.5
            assert abs(part.weight.std().item() / 0.3 - 1) < room, name
            assert part.bias.eq(0).all(), name
        if isinstance(part, nn.LayerNorm):
            assert part.weight.eq(1).all() and part.bias.eq(0).all(), name
        if isinstance(part, MaskedLMHead):
            assert part.bias.eq(0).all()


def test_one_batch_can_be_learned_by_heart():
    model = model_of(
        BertForPreTraining, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        adam.zero_grad()
        out = model(IDS, MASK, KINDS, LABELS, FOLLOWS)
        out.loss.backward()
        adam.step()
    assert out.mlm_loss < 0.1 and out.nsp_loss < 0.1
    assert out.logits.argmax(-1).tolist() == LABELS[LABELS != IGNORE].tolist()


def test_under_bf16_the_loss_is_float32():
    model = model_of(BertForPreTraining)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(IDS, MASK, KINDS, LABELS, FOLLOWS)
    assert out.loss.dtype == torch.float32
    assert out.loss.item() == pytest.approx(
        model(IDS, MASK, KINDS, LABELS, FOLLOWS).loss.item(), abs=0.05
    )


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "error", "says"),
    [
        ([[1, 2]], TypeError, "labels is a list; it must be a tensor"),
        (LABELS.float(), TypeError, r"dtype torch\.float32; it must be torch\.int64"),
        (LABELS.int(), TypeError, r"dtype torch\.int32; it must be torch\.int64"),
        (LABELS[:, 1:], ValueError, r"shape \(2, 5\); it must be \(2, 6\)"),
        (LABELS.flatten(), ValueError, r"shape \(12,\); it must be \(2, 6\)"),
        (LABELS.clamp(min=-1), ValueError, "holds -1; it may hold 0 to 49, and -100"),
        (LABELS + 43, ValueError, "labels holds -57"),
        (IDS * 6, ValueError, "labels holds 54; it may hold 0 to 49"),
    ],
)
@each_with_words
def test_labels_that_cannot_be_right_are_named(kind, labels, error, says):
    with pytest.raises(error, match=says):
        model_of(kind)(IDS, MASK, KINDS, labels=labels)


def test_a_wrong_next_sentence_label_is_named():
    model = model_of(BertForPreTraining)
    with pytest.raises(ValueError, match="next_sentence_label holds 2; it may hold 0"):
        model(IDS, MASK, KINDS, next_sentence_label=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"next_sentence_label has shape \(2, 1\)"):
        model(IDS, MASK, KINDS, next_sentence_label=FOLLOWS[:, None])


@pytest.mark.parametrize(
    "kind", [BertForSequenceClassification, BertForTokenClassification]
)
@pytest.mark.parametrize("number", [1, 0, -3, 2.0, True, None])
def test_fewer_than_two_classes_are_refused(kind, number):
    with pytest.raises(ValueError, match=rf"num_labels is {number!r}; it must be"):
        kind(SMALL, num_labels=number)


@pytest.mark.parametrize("missing", ["start_positions", "end_positions"])
def test_half_a_span_is_refused(missing: str):
    labels = {**ALL[BertForQuestionAnswering], missing: None}
    with pytest.raises(ValueError, match=f"{missing} is None; give both"):
        model_of(BertForQuestionAnswering)(IDS, MASK, KINDS, **labels)


def test_a_span_beyond_the_text_is_refused():
    labels = {**ALL[BertForQuestionAnswering], "end_positions": torch.tensor([2, 6])}
    with pytest.raises(ValueError, match="end_positions holds 6; it may hold 0 to 5"):
        model_of(BertForQuestionAnswering)(IDS, MASK, KINDS, **labels)


def test_labels_are_checked_and_left_as_they_are():
    labels = LABELS.clone()
    check_labels("labels", labels, (2, 6, 50))
    assert torch.equal(labels, LABELS)
    assert loss_if_labelled(torch.zeros(2, 6, 50), None) is None
