"""Every head against transformers': losses, logits and all gradients, weights copied.

Tolerance: 1e-5, absolute and relative to the largest number of the tensor compared.
"""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from bertlib import heads
from bertlib.config import BertConfig
from tests.parity.test_model import (
    CONFIGS,
    DEFAULT,
    assert_near,
    batch_of,
    published_name,
)

K = 5  # classes of the classifiers
HEADS = {  # ours -> theirs
    "predictions.dense": "cls.predictions.transform.dense",
    "predictions.norm": "cls.predictions.transform.LayerNorm",
    "predictions": "cls.predictions",  # the bias
    "seq_relationship": "cls.seq_relationship",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}
MODELS = [
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
]
each_model = pytest.mark.parametrize("name", MODELS)
each_config = pytest.mark.parametrize("number", range(len(CONFIGS)))


def their_name(name: str) -> str:
    """The published name of one of our parameters."""
    if name.startswith("bert."):
        return "bert." + published_name(name.removeprefix("bert."))
    module, kind = name.rsplit(".", 1)
    return f"{HEADS[module]}.{kind}"


def pair_of(name: str, config: BertConfig) -> tuple[nn.Module, Any]:
    """Ours and theirs, in eval, with equal weights of a lively size."""
    theirs = getattr(transformers, name)(
        transformers.BertConfig(
            **vars(config), num_labels=2 if "Question" in name else K
        )
    ).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    classes = {"num_labels": K} if "Classification" in name else {}
    ours = getattr(heads, name)(config, **classes).eval()
    weights = dict(theirs.named_parameters())
    loaded = {n: weights.pop(their_name(n)) for n in ours.state_dict()}
    assert not weights  # all of theirs were used
    ours.load_state_dict(loaded, strict=True)
    return ours, theirs


def labels_of(name: str, config: BertConfig, ids: Tensor, mask: Tensor, seed: int):
    """The labels that this model takes, some of them -100 (label 0 among the rest)."""
    generator = torch.Generator().manual_seed(seed)
    B, T = ids.shape

    def draw(classes: int, *shape: int) -> Tensor:
        return torch.randint(classes, shape, generator=generator)

    if name in ("BertForPreTraining", "BertForMaskedLM"):
        chosen = (torch.rand(B, T, generator=generator) < 0.3) & (mask == 1)
        chosen[0, 0] = True
        labels = draw(config.vocab_size, B, T).where(chosen, -100)
        labels[0, 0] = 0
        if name == "BertForMaskedLM":
            return {"labels": labels}
        follows = torch.tensor([0, 1, 0, 1])
        return {"labels": labels, "next_sentence_label": follows}
    if name == "BertForNextSentencePrediction":
        return {"labels": torch.tensor([0, 1, -100, 0])}
    if name == "BertForSequenceClassification":
        return {"labels": torch.tensor([0, K - 1, 2, -100])}
    if name == "BertForTokenClassification":
        return {"labels": draw(K, B, T).where(mask == 1, -100)}
    start = draw(2, B)
    return {"start_positions": start, "end_positions": start + draw(T - 2, B)}


def logits_of(out: Any) -> list[Tensor]:
    """All logits of an output, ours or theirs, in one order."""
    names = [
        ["prediction_logits", "logits"],
        ["seq_relationship_logits", "next_sentence_logits"],
        ["start_logits"],
        ["end_logits"],
    ]
    found = [
        next((x for n in same if (x := getattr(out, n, None)) is not None), None)
        for same in names
    ]
    return [x for x in found if x is not None]


@each_config
@each_model
def test_loss_logits_and_gradients_equal_transformers(name: str, number: int):
    torch.manual_seed(number)
    config = BertConfig(**{**DEFAULT, **CONFIGS[number]})  # type: ignore[arg-type]
    ours, theirs = pair_of(name, config)
    ids, mask, kinds = batch_of(config, number)
    labels = labels_of(name, config, ids, mask, number)
    mine = ours(ids, mask, kinds, **labels)
    other = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds, **labels)
    assert_near(mine.loss, other.loss, "loss")

    got, want = logits_of(mine), logits_of(other)
    assert (
        len(got)
        == len(want)
        == {"BertForPreTraining": 2}.get(name, 2 if "Question" in name else 1)
    )
    if name in ("BertForPreTraining", "BertForMaskedLM"):
        want[0] = want[0][labels["labels"] != -100]  # ours has no others
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert_near(a, b, "logits")

    mine.loss.backward()
    other.loss.backward()
    wanted = dict(theirs.named_parameters())
    for ours_name, parameter in ours.named_parameters():
        grad = wanted.pop(their_name(ours_name)).grad
        assert grad is not None and parameter.grad is not None, ours_name
        assert_near(parameter.grad, grad, f"gradient of {ours_name}")
    assert not wanted


@each_model
def test_without_labels_all_logits_equal_transformers(name: str):
    torch.manual_seed(0)
    config = BertConfig(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = pair_of(name, config)
    ids, mask, kinds = batch_of(config, 0)
    mine = ours(ids, mask, kinds)
    other = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
    assert mine.loss is None
    for a, b in zip(logits_of(mine), logits_of(other), strict=True):
        assert a.shape == b.shape
        assert_near(a, b, "logits")


@pytest.mark.parametrize("name", MODELS[:2])
def test_their_decoder_is_the_table_and_ours_needs_no_entry_for_it(name: str):
    config = BertConfig(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = pair_of(name, config)
    table = theirs.bert.embeddings.word_embeddings.weight
    assert theirs.cls.predictions.decoder.weight is table
    count = sum(p.numel() for p in theirs.parameters())
    assert sum(x.numel() for x in ours.state_dict().values()) == count


def test_one_task_alone_gives_the_loss_that_transformers_sums():
    torch.manual_seed(0)
    config = BertConfig(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = pair_of("BertForPreTraining", config)
    ids, mask, kinds = batch_of(config, 0)
    labels = labels_of("BertForPreTraining", config, ids, mask, 0)
    parts = [ours(ids, mask, kinds, **{n: x}).loss for n, x in labels.items()]
    both = ours(ids, mask, kinds, **labels)
    other = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds, **labels)
    assert_near(sum(parts), other.loss, "sum of the losses")
    assert_near(both.mlm_loss, parts[0], "masked words")
    assert_near(both.nsp_loss, parts[1], "next sentence")


def test_a_span_labelled_minus_100_is_ignored_here_and_position_0_there():
    """The one known difference: transformers clamps positions to 0 ... T."""
    torch.manual_seed(0)
    config = BertConfig(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = pair_of("BertForQuestionAnswering", config)
    ids, mask, kinds = batch_of(config, 0)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
    some = torch.tensor([3, -100, 1, -100])
    both = {"start_positions": some, "end_positions": some}
    alone = {"start_positions": some[::2], "end_positions": some[::2]}
    part = {name: x[::2] for name, x in inputs.items()}
    mine = ours(**inputs, **both).loss
    assert_near(mine, theirs(**part, **alone).loss, "loss of the labelled texts")
    zeros = {name: x.clamp(min=0) for name, x in both.items()}
    assert_near(
        theirs(**inputs, **both).loss, theirs(**inputs, **zeros).loss, "as they read it"
    )
