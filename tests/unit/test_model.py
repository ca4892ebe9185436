"""BertModel: what it refuses, what it starts from, and what must not leak."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bertlib import test_run as smoke
from bertlib.config import BertConfig
from bertlib.model import (
    BertModel,
    BertOutput,
    BertPooler,
    count_by_part,
    count_parameters,
    extend_mask,
    init_weights,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL = BertConfig(
    vocab_size=50,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=10,
)
IDS = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 8, 4, 9, 6, 3]])
MASK = (IDS != 0).long()
BOTH_MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def small_model(training: bool = False, **changes: object) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(**{**vars(SMALL), **changes})  # type: ignore[arg-type]
    return BertModel(config).train(training)


# --- what comes out ------------------------------------------------------------------


def test_the_output_has_three_names_and_their_shapes():
    out = small_model()(IDS, MASK, output_attentions=True)
    assert isinstance(out, BertOutput)
    assert out.last_hidden_state.shape == (2, 6, 12)
    assert out.pooler_output.shape == (2, 12)
    assert [a.shape for a in out.attentions or ()] == [(2, 3, 6, 6)] * 3


def test_attentions_are_none_unless_asked_for():
    assert small_model()(IDS, MASK).attentions is None


def test_asking_for_attentions_does_not_change_the_vectors():
    model = small_model()
    plain, asked = model(IDS, MASK), model(IDS, MASK, output_attentions=True)
    torch.testing.assert_close(plain.last_hidden_state, asked.last_hidden_state)
    torch.testing.assert_close(plain.pooler_output, asked.pooler_output)


def test_attention_rows_sum_to_one():
    out = small_model()(IDS, MASK, output_attentions=True)
    for weights in out.attentions or ():
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6))


def test_the_pooler_reads_the_first_token():
    model = small_model()
    out = model(IDS, MASK)
    want = model.pooler.dense(out.last_hidden_state[:, 0]).tanh()
    torch.testing.assert_close(out.pooler_output, want)


def test_a_model_without_a_pooler_has_no_weights_for_one():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=12, num_attention_heads=3)
    model = BertModel(config, add_pooling_layer=False).eval()
    out = model(torch.tensor([[2, 7, 3]]))
    assert out.pooler_output is None
    assert out.last_hidden_state.shape == (1, 3, 12)
    pooler = BertPooler(config)
    without = sum(p.numel() for p in pooler.parameters())
    counted = sum(p.numel() for p in model.parameters())
    assert counted == count_parameters(config) - without


def test_eval_gives_the_same_numbers_twice():
    model = small_model()
    first, second = model(IDS, MASK), model(IDS, MASK)
    assert torch.equal(first.last_hidden_state, second.last_hidden_state)
    assert torch.equal(first.pooler_output, second.pooler_output)


def test_train_drops_numbers_at_random():
    model = small_model(training=True)
    first, second = model(IDS, MASK), model(IDS, MASK)
    assert not torch.equal(first.last_hidden_state, second.last_hidden_state)


def test_without_segments_all_tokens_are_in_segment_0():
    model = small_model()
    plain = model(IDS, MASK).last_hidden_state
    zeros = model(IDS, MASK, torch.zeros_like(IDS)).last_hidden_state
    ones = model(IDS, MASK, torch.ones_like(IDS)).last_hidden_state
    assert torch.equal(plain, zeros)
    assert not torch.allclose(plain, ones)


# --- padding -------------------------------------------------------------------------


def test_a_padded_text_gives_what_it_gives_alone():
    model = small_model()
    alone = model(IDS[:1, :4])
    padded = model(IDS, MASK)
    torch.testing.assert_close(
        padded.last_hidden_state[:1, :4], alone.last_hidden_state, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        padded.pooler_output[:1], alone.pooler_output, atol=1e-6, rtol=0
    )


def test_what_stands_in_the_padding_does_not_matter():
    model = small_model()
    other = IDS.masked_fill(MASK == 0, 33)
    for ask in (False, True):  # the fast path and the explicit one
        one = model(IDS, MASK, output_attentions=ask)
        two = model(other, MASK, output_attentions=ask)
        real = MASK.bool()
        assert torch.equal(one.last_hidden_state[real], two.last_hidden_state[real])
        assert torch.equal(one.pooler_output, two.pooler_output)


def test_padding_gets_no_attention():
    out = small_model()(IDS, MASK, output_attentions=True)
    for weights in out.attentions or ():
        assert weights[0, :, :, 4:].eq(0).all()


def test_no_gradient_reaches_what_stands_in_the_padding():
    model = small_model()
    ids = IDS.masked_fill(MASK == 0, 33)  # 33 stands nowhere else
    out = model(ids, MASK)
    weight = torch.randn(out.last_hidden_state.shape) * MASK[:, :, None]
    ((out.last_hidden_state * weight).sum() + out.pooler_output.sum()).backward()
    grad = model.embeddings.word_embeddings.weight.grad
    assert grad is not None
    assert grad[33].eq(0).all()
    assert grad[7].ne(0).any()


def test_a_text_of_nothing_but_padding_gives_no_nan():
    model = small_model(training=True)
    out = model(IDS, torch.zeros_like(IDS), output_attentions=True)
    out.last_hidden_state.square().sum().backward()
    assert out.last_hidden_state.isfinite().all()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str
)
def test_masks_of_bool_and_of_whole_numbers_mean_the_same(dtype: torch.dtype):
    model = small_model()
    want = model(IDS, MASK).last_hidden_state
    assert torch.equal(model(IDS, MASK.to(dtype)).last_hidden_state, want)


def test_the_mask_belongs_to_its_sentence_also_where_b_is_t():
    """(B, T) would broadcast to (queries, keys) here, without an error."""
    model = small_model()
    ids = torch.randint(1, 50, (4, 4))
    mask = torch.ones_like(ids)
    mask[0, 2:] = 0
    alone = model(ids[:1, :2]).last_hidden_state
    torch.testing.assert_close(
        model(ids, mask).last_hidden_state[:1, :2], alone, atol=1e-6, rtol=0
    )


def test_the_extended_mask_is_the_same_for_every_head_and_query():
    wide = extend_mask(MASK, IDS)
    assert wide.shape == (2, 1, 1, 6)
    assert wide.dtype == torch.bool
    assert torch.equal(wide[:, 0, 0], MASK == 1)


# --- what is refused -----------------------------------------------------------------


def with_value(row: int, column: int, value: int, base: Tensor = IDS) -> Tensor:
    changed = base.clone()
    changed[row, column] = value
    return changed


REFUSED = {
    "ids too large": (
        {"input_ids": with_value(1, 2, 50)},
        ValueError,
        ["input_ids[1, 2] is 50", "0 to 49"],
    ),
    "ids negative": (
        {"input_ids": with_value(0, 3, -1)},
        ValueError,
        ["input_ids[0, 3] is -1", "0 to 49"],
    ),
    "ids of fractions": (
        {"input_ids": IDS.float()},
        TypeError,
        ["input_ids", "torch.float32", "int64 or int32"],
    ),
    "ids no tensor": (
        {"input_ids": IDS.tolist()},
        TypeError,
        ["input_ids", "list", "tensor"],
    ),
    "ids of one text without its axis": (
        {"input_ids": IDS[0]},
        ValueError,
        ["input_ids", "(6,)", "(B, T)"],
    ),
    "too many tokens": (
        {"input_ids": torch.ones(2, 11, dtype=torch.long)},
        ValueError,
        ["input_ids", "11", "10"],
    ),
    "segment too large": (
        {"token_type_ids": with_value(1, 4, 2, MASK)},
        ValueError,
        ["token_type_ids[1, 4] is 2", "0 to 1"],
    ),
    "segments of another shape": (
        {"token_type_ids": torch.zeros(2, 5, dtype=torch.long)},
        ValueError,
        ["token_type_ids", "(2, 5)", "(2, 6)"],
    ),
    "mask too short": (
        {"attention_mask": MASK[:, :5]},
        ValueError,
        ["attention_mask", "(2, 5)", "(2, 6)"],
    ),
    "mask of one row": (
        {"attention_mask": MASK[:1]},
        ValueError,
        ["attention_mask", "(1, 6)", "(2, 6)"],
    ),
    "mask extended already": (
        {"attention_mask": MASK[:, None, None]},
        ValueError,
        ["attention_mask", "(2, 1, 1, 6)", "(2, 6)"],
    ),
    "mask of fractions": (
        {"attention_mask": MASK.float()},
        TypeError,
        ["attention_mask", "torch.float32", "torch.bool"],
    ),
    "mask of complex numbers": (
        {"attention_mask": MASK.to(torch.complex64)},
        TypeError,
        ["attention_mask", "torch.complex64", "torch.bool"],
    ),
    "mask no tensor": (
        {"attention_mask": MASK.tolist()},
        TypeError,
        ["attention_mask", "list", "tensor"],
    ),
    "mask with a 2": (
        {"attention_mask": with_value(1, 3, 2, MASK)},
        ValueError,
        ["attention_mask[1, 3] is 2", "0 or 1"],
    ),
    "mask with a -1": (
        {"attention_mask": with_value(0, 5, -1, MASK)},
        ValueError,
        ["attention_mask[0, 5] is -1", "0 or 1"],
    ),
}


@BOTH_MODES
@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_and_says_what_and_where(case: str, training: bool):
    inputs, error, words = REFUSED[case]
    with pytest.raises(error) as caught:
        small_model(training)(**{"input_ids": IDS, **inputs})  # type: ignore[dict-item]
    for word in words:
        assert word in str(caught.value)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"hidden_size is 12.*num_attention_heads"):
        small_model(num_attention_heads=5)


# --- the first weights ---------------------------------------------------------------


@pytest.mark.parametrize("std", [0.02, 0.2])
def test_weights_start_normal_with_the_configured_deviation(std: float):
    model = small_model(
        vocab_size=2000, hidden_size=60, num_attention_heads=3, initializer_range=std
    )
    drawn = [
        part.weight.detach()
        for part in model.modules()
        if isinstance(part, nn.Linear | nn.Embedding) and part.weight.numel() > 1000
    ]
    assert len(drawn) > 15
    for weight in drawn:
        # Seven standard errors of a sample standard deviation.
        room = 7 / (2 * weight.numel()) ** 0.5
        rows = weight[1:] if len(weight) == 2000 else weight  # row 0 is padding
        assert abs(rows.std().item() / std - 1) < room
        assert abs(rows.mean().item()) < 7 * std / rows.numel() ** 0.5
    words = model.embeddings.word_embeddings.weight
    assert words.abs().max() > 3.5 * std  # nothing was cut off


def test_biases_start_at_zero_and_layer_norms_at_one():
    model = small_model()
    for part in model.modules():
        if isinstance(part, nn.Linear):
            assert part.bias.eq(0).all()
        if isinstance(part, nn.LayerNorm):
            assert part.weight.eq(1).all() and part.bias.eq(0).all()


@pytest.mark.parametrize("pad", [0, 3])
def test_the_padding_row_starts_at_zero_and_only_that(pad: int):
    weight = small_model(pad_token_id=pad).embeddings.word_embeddings.weight
    zero = weight.eq(0).all(dim=1)
    assert zero.nonzero().flatten().tolist() == [pad]


def test_init_weights_resets_a_layer_norm_and_keeps_shared_weights_shared():
    words, read = nn.Embedding(7, 4), nn.Linear(4, 7)
    read.weight = words.weight
    norm = nn.LayerNorm(4)
    nn.init.normal_(norm.weight)
    init_weights(nn.ModuleList([words, read, norm]), 0.02)
    assert read.weight is words.weight
    assert norm.weight.eq(1).all()
    assert words.weight.requires_grad and words.weight.is_leaf


def test_the_same_seed_gives_the_same_model():
    first, second = small_model().state_dict(), small_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


# --- counting ------------------------------------------------------------------------

SIZES = {
    "tiny": ((2, 2, 128, 512), 4_385_920),
    "base": ((12, 12, 768, 3072), 109_482_240),
    "large": ((24, 16, 1024, 4096), 335_141_888),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_formula_counts_what_numel_counts(name: str):
    (layers, heads, width, inner), number = SIZES[name]
    config = BertConfig(
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=width,
        intermediate_size=inner,
    )
    with torch.device("meta"):
        model = BertModel(config)
    assert count_parameters(config) == number
    assert sum(p.numel() for p in model.parameters()) == number


def test_each_part_counts_what_its_modules_hold():
    model = small_model()
    layers = model.encoder.layers
    names = {
        "embeddings": [model.embeddings],
        "attention": [p for x in layers for p in (x.attention, x.attention_norm)],
        "feed-forward": [
            p for x in layers for p in (x.intermediate, x.output, x.output_norm)
        ],
        "pooler": [model.pooler],
    }
    held = {
        name: sum(p.numel() for part in parts for p in part.parameters())
        for name, parts in names.items()
    }
    assert count_by_part(SMALL) == held


# --- the smoke test as a command -----------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


def after(change: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process in which something was changed before."""
    return command(
        "-c",
        f"{change}\nfrom bertlib import test_run\nraise SystemExit(test_run.main())",
    )


def test_the_command_exits_with_0_and_shows_every_stage():
    done = command("-m", "bertlib.test_run", "--an-argument-it-ignores")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for stage, size in smoke.expected(BertConfig()).items():
        line = next(x for x in done.stdout.splitlines() if x.startswith(stage + " "))
        assert line.count(str(size)) == 2
    assert "wrong" not in done.stdout
    assert len({len(x) for x in done.stdout.splitlines()[:-2]}) == 1  # aligned


def test_the_command_fails_when_a_dimension_is_wrong():
    done = after(
        "import bertlib.model as m\n"
        "m.BertPooler.forward = lambda self, x: self.dense(x)"  # (B, T, D)
    )
    assert done.returncode == 1
    line = next(x for x in done.stdout.splitlines() if x.startswith("pooler_output"))
    assert line.split("  ")[-1] == "wrong"
    assert "(2, 256)" in line and "(2, 16, 256)" in line


def test_the_command_fails_when_a_layer_is_missing():
    done = after(
        "import bertlib.encoder as e\n"
        "old = e.BertEncoder.__init__\n"
        "def short(self, config):\n"
        "    old(self, config)\n"
        "    del self.layers[-1]\n"
        "e.BertEncoder.__init__ = short"
    )
    assert done.returncode == 1
    assert "nothing  wrong" in done.stdout


def test_the_command_fails_when_padding_is_seen():
    done = after(
        "import bertlib.model as m, torch\n"
        "m.extend_mask = lambda mask, ids: torch.ones_like(ids).bool()[:, None, None]"
    )
    assert done.returncode == 1
    line = next(x for x in done.stdout.splitlines() if "weight on padding" in x)
    assert line.endswith("wrong")


def test_the_command_says_in_words_what_stopped_it():
    done = after(
        "import bertlib.model as m\n"
        "m.extend_mask = lambda mask, ids: mask[:, None, None]"  # not bool
    )
    assert done.returncode == 1
    assert "Stopped by TypeError: mask has dtype torch.int64" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "embeddings" in done.stdout  # what was reached is still shown
