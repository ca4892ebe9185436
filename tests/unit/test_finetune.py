"""Fine-tuning: exact after a kill, the same in company, the best epoch kept."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from bertlib.checkpoint import latest_checkpoint
from bertlib.config import BertConfig
from bertlib.data import Example
from bertlib.data import collate as pad
from bertlib.finetune import fine_tune
from bertlib.heads import BertForSequenceClassification, BertForTokenClassification
from bertlib.history import History
from bertlib.splits import hold_out
from bertlib.textfile import Refused
from bertlib.train import Trainer
from bertlib.tuning import (
    Settings,
    count_labels,
    freeze,
    predict_batches,
    tune_step,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.1,
}
SETTINGS = Settings(
    epochs=4,
    batch_size=16,
    micro_batch=4,
    learning_rate=1e-2,
    precision="float32",
    save_every=3,
)


class Row(NamedTuple):
    input_ids: list[int]
    label: int


ROWS = [
    Row([2, 5 + i % 7, 6 + i % 3, 3][: 3 + i % 2], int(i % 7 > 3)) for i in range(50)
]


def collate(rows: Any) -> Any:
    batch = pad([Example(row.input_ids, len(row.input_ids)) for row in rows])
    return batch | {"labels": torch.tensor([row.label for row in rows])}


def new_model(layers: int = 1) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(num_hidden_layers=layers, **SMALL))


def accuracy(model: Any) -> dict[str, float]:
    said = predict_batches(model, ROWS, collate)
    right = [int(z.argmax()) == row.label for (z,), row in zip(said, ROWS, strict=True)]
    return {"score": sum(right) / len(right)}


def save(model: Any, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "weights")


class Stop(Exception):
    """What stands for a kill."""


def run(out: Path, settings: Settings = SETTINGS, **more: Any) -> History:
    more.setdefault("evaluate", accuracy)
    evaluate, features = more.pop("evaluate"), more.pop("features", ROWS)
    return fine_tune(
        new_model(), features, collate, evaluate, out, settings, save=save, **more
    )


def weights(out: Path) -> dict[str, torch.Tensor]:
    path = latest_checkpoint(out)
    assert path is not None
    return load_file(path / "model.safetensors")


def scores(*numbers: float) -> Any:
    """An `evaluate` that gives these scores, one an epoch."""
    left = list(numbers)
    return lambda model: {"score": left.pop(0)}


# --- a run ---------------------------------------------------------------------------


def test_it_learns(tmp_path):
    history = run(tmp_path, Settings(20, 16, 1e-2, precision="float32"))
    assert history.best["score"] == 1.0
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] / 2


@pytest.mark.parametrize("at", [1, 4, 5, 11])
def test_a_run_that_is_stopped_goes_on_exactly(at, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    history = run(whole)

    def stop(step: Any, total: int) -> None:
        if step.step == at:
            raise Stop

    with pytest.raises(Stop):
        run(stopped, progress=stop)
    again = run(stopped, resume=True)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(stopped)[name]), name
    kept = [
        {k: v for k, v in e.items() if k != "seconds"}
        for h in (history, again)
        for e in h.epochs
    ]
    assert kept[:4] == kept[4:]
    lines = (stopped / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [*range(1, 17)]
    best = [torch.load(out / "best/weights") for out in (whole, stopped)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_a_finished_run_is_not_trained_further(tmp_path):
    run(tmp_path)
    before = weights(tmp_path)
    history = run(tmp_path, resume=True, evaluate=scores())
    assert len(history.epochs) == 4
    assert all(torch.equal(before[n], x) for n, x in weights(tmp_path).items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"learning_rate": 1e-3}, "learning_rate is 0.001, it was 0.01"),
        ({"epochs": 5}, "epochs is 5, it was 4"),
        ({"micro_batch": 8}, "micro_batch is 8, it was 4"),
        ({"seed": 1}, "seed is 1, it was 0"),
    ],
)
def test_other_settings_are_refused_by_name(change, says, tmp_path):
    run(tmp_path, Settings(**(vars(SETTINGS) | {"epochs": 4})))
    with pytest.raises(Refused, match=says):
        run(tmp_path, Settings(**(vars(SETTINGS) | change)), resume=True)


@pytest.mark.parametrize(
    "rows", [ROWS[::-1], [row._replace(label=1 - row.label) for row in ROWS]]
)
def test_other_rows_or_labels_are_refused(rows, tmp_path):
    run(tmp_path)
    with pytest.raises(Refused, match="the rows are others"):
        run(tmp_path, features=rows, resume=True)


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path):
    quiet_trainer(new_model()).save(tmp_path, {"phase": 0})
    with pytest.raises(Refused, match="step-00000000 is of another kind of run"):
        run(tmp_path, resume=True)


def test_a_run_that_begins_anew_says_so(tmp_path, capsys):
    run(tmp_path, resume=True)
    said = capsys.readouterr().err
    assert said == f"No checkpoint is in {tmp_path}: the run begins anew\n"
    run(tmp_path, resume=True)
    assert capsys.readouterr().err == ""


def test_the_log_is_json_where_a_gradient_is_no_number(tmp_path, monkeypatch):
    def overflow(trainer: Any, batches: Any) -> Any:
        return tune_step(trainer, batches)._replace(grad_norm=float("nan"))

    monkeypatch.setattr("bertlib.finetune.tune_step", overflow)
    run(tmp_path)
    text = (tmp_path / "log.jsonl").read_text()
    assert "NaN" not in text
    assert {json.loads(line)["grad_norm"] for line in text.splitlines()} == {None}


def test_another_frozen_part_is_refused(tmp_path):
    run(tmp_path)
    model = new_model()
    freeze(model, 0)
    with pytest.raises(Refused, match="number of parameters that learn"):
        fine_tune(
            model, ROWS, collate, accuracy, tmp_path, SETTINGS, save=save, resume=True
        )


def test_a_new_run_does_not_write_over_an_old_one(tmp_path):
    run(tmp_path)
    with pytest.raises(Refused, match="is not empty"):
        run(tmp_path)


# --- the best epoch ------------------------------------------------------------------


def test_the_best_epoch_is_kept_and_the_first_of_equal_ones(tmp_path):
    states = []

    def evaluate(model: Any) -> dict[str, float]:
        states.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"score": [0.5, 0.8, 0.8, 0.1][len(states) - 1]}

    history = run(tmp_path, evaluate=evaluate)
    assert history.best["epoch"] == 2
    kept = torch.load(tmp_path / "best/weights")
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["best"]["epoch"] == 2
    assert metrics["stopped_early"] is False
    assert metrics["settings"]["learning_rate"] == 1e-2


def test_patience_ends_a_run(tmp_path):
    settings = Settings(**(vars(SETTINGS) | {"epochs": 9, "patience": 2}))
    history = run(tmp_path, settings, evaluate=scores(0.1, 0.4, 0.4, 0.3, 0.9))
    assert [epoch["score"] for epoch in history.epochs] == [0.1, 0.4, 0.4, 0.3]
    assert json.loads((tmp_path / "metrics.json").read_text())["stopped_early"] is True


def test_scores_below_zero_have_a_best_one_too(tmp_path):
    history = run(tmp_path, evaluate=scores(-3.0, -1.0, -2.0, -4.0))
    assert history.best["epoch"] == 2
    assert (tmp_path / "best/weights").exists()


# --- a step --------------------------------------------------------------------------


def quiet_trainer(model: Any) -> Trainer:
    settings = Settings(learning_rate=1e-9, warmup=0.0, precision="float32")
    return Trainer(model, settings.recipe(), 1)


def test_micro_batches_count_by_their_labels():
    config = BertConfig(
        num_hidden_layers=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **SMALL,
    )
    ids = torch.randint(5, 20, (6, 5))
    labels = torch.full((6, 5), -100)
    labels[0, :4], labels[3, 1], labels[5] = 1, 0, 2
    whole = {"input_ids": ids, "labels": labels}
    norms = []
    for cut in ([6], [1, 5], [2, 2, 2]):
        torch.manual_seed(0)
        trainer = quiet_trainer(BertForTokenClassification(config, 3))
        parts = [ids.split(cut), labels.split(cut)]
        batches = [dict(zip(whole, p, strict=True)) for p in zip(*parts, strict=True)]
        step = tune_step(trainer, batches)
        norms.append((step.loss, step.grad_norm))
        assert step.labels == 10
    for loss, norm in norms[1:]:
        assert loss == pytest.approx(norms[0][0], abs=1e-6)
        assert norm == pytest.approx(norms[0][1], rel=1e-5)


def test_labels_are_counted_for_every_head():
    assert count_labels({"labels": torch.tensor([1, -100, 0])}) == 2
    spans = {"start_positions": torch.tensor([3, -100]), "end_positions": torch.ones(2)}
    assert count_labels(spans) == 1
    with pytest.raises(ValueError, match="is missing"):
        count_labels({"input_ids": torch.ones(2, 2)})


def test_a_loss_that_is_no_number_stops_the_run_before_the_weights(tmp_path):
    model = new_model()
    with torch.no_grad():
        model.classifier.bias[0] = torch.nan
    trainer = quiet_trainer(model)
    before = model.bert.pooler.dense.weight.clone()
    with pytest.raises(FloatingPointError, match="loss is nan"):
        tune_step(trainer, [collate(ROWS[:4])])
    assert torch.equal(before, model.bert.pooler.dense.weight)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"patience": 0}, "patience is 0"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"learning_rate": -1e-5}, "learning_rate is -1e-05"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(setting, says):
    with pytest.raises(ValueError, match=says):
        Settings(**setting)


# --- reading, freezing, splitting ----------------------------------------------------


def test_answers_come_in_the_order_of_the_rows():
    model = new_model().eval()
    got = torch.stack([z for (z,) in predict_batches(model, ROWS, collate)])
    with torch.no_grad():
        one_by_one = [model(torch.tensor([row.input_ids])).logits[0] for row in ROWS]
    torch.testing.assert_close(got, torch.stack(one_by_one))
    assert predict_batches(model, [], collate) == []


def test_reading_leaves_a_model_in_training_as_it_was():
    model = new_model().train()
    first, second = (predict_batches(model, ROWS, collate)[0][0] for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    assert model.training


def test_what_is_frozen_stands_still_and_the_rest_learns(tmp_path):
    model = new_model(layers=3)
    freeze(model, 2)
    before = {name: p.clone() for name, p in model.named_parameters()}
    fine_tune(model, ROWS, collate, accuracy, tmp_path, SETTINGS, save=save)
    low = ("bert.embeddings", "bert.encoder.layers.0.", "bert.encoder.layers.1.")
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith(low), name


@pytest.mark.parametrize("layers", [-1, 4])
def test_layers_that_are_not_there_cannot_be_frozen(layers):
    says = rf"layers \(--freeze\) is {layers}; it must be one of 0 to 3"
    with pytest.raises(ValueError, match=says):
        freeze(new_model(layers=3), layers)


def test_no_group_is_on_both_sides_of_a_split():
    groups = [f"film {i * i % 37}" for i in range(400)]
    for seed in range(5):
        kept, held = hold_out(groups, 0.2, seed)
        assert sorted(kept + held) == [*range(400)]
        assert not {groups[i] for i in kept} & {groups[i] for i in held}
        largest = max(groups.count(group) for group in groups)
        assert 80 <= len(held) < 80 + largest
    assert hold_out(groups, 0.2, 1) == hold_out(groups, 0.2, 1)
    assert hold_out(groups, 0.2, 1) != hold_out(groups, 0.2, 2)


def test_a_split_leaves_a_group_to_learn_from():
    assert hold_out(["a", "b"], 0.9) in (([0], [1]), ([1], [0]))
    with pytest.raises(ValueError, match="it takes two"):
        hold_out(["a", "a"], 0.5)
    with pytest.raises(ValueError, match="share is 1"):
        hold_out(["a", "b"], 1)


# --- two processes -------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
from bertlib.parallel import find_place
from tests.unit.test_finetune import run
run(Path(sys.argv[1]), place=find_place())
"""


def test_two_processes_end_with_the_weights_of_one(tmp_path):
    # 50 rows in batches of 16: the last batch has 2 rows, one micro-batch, and so
    # nothing for the second process.
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launch, "--nproc-per-node", "2", str(program), str(tmp_path / "two")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    history = run(tmp_path / "one")
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max((first[n] - second[n]).abs().max().item() for n in first) < 1e-6
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    assert metrics["processes"] == 2
    assert [e["score"] for e in metrics["epochs"]] == [
        e["score"] for e in history.epochs
    ]
