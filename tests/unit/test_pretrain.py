"""Pretraining as a command: exact after any kill, the same alone and in company."""

import json
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from bertlib.checkpoint import checkpoints, latest_checkpoint
from bertlib.config import BertConfig
from bertlib.cost import Phase, forward_flops, run_flops, step_flops, training_memory
from bertlib.heads import BertForPreTraining
from bertlib.parallel import rows_of
from bertlib.prepare import main as prepare
from bertlib.pretrain import main, phase
from bertlib.runlog import Log
from bertlib.train import Report

# A process that is forked from one which has imported everything starts at once.
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["bertlib.pretrain"])
SMALL = [
    *("--hidden-size", "16", "--layers", "1", "--heads", "2"),
    *("--batch-size", "8", "--micro-batch", "4", "--precision", "float32"),
    *("--learning-rate", "1e-3", "--eval-every", "0", "--print-every", "1000"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> Path:
    """Shards of a small random language, with a held-out part."""
    folder = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    words = ["the", "cat", "dog", "sees", "bird", "a", "small", "old", "runs", "and"]
    lines = []
    for _ in range(60):
        for _ in range(rng.randint(3, 12)):
            lines.append(" ".join(rng.choices(words, k=rng.randint(2, 14))))
        lines.append("")
    (folder / "text.txt").write_text("\n".join(lines))
    out = folder / "shards"
    options = ["--vocab-size", "60", "--workers", "1", "--shard-tokens", "1500"]
    assert prepare([str(folder / "text.txt"), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: Any) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def command(data: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(data), "--out", str(out), *SMALL, *more]


def start(arguments: list[str]) -> Any:
    """The command in a process of its own."""
    process = FORK.Process(target=main, args=(arguments,))
    process.start()
    return process


def finish(arguments: list[str]) -> None:
    process = start(arguments)
    process.join(120)
    assert process.exitcode == 0


def weights(out: Path) -> dict[str, torch.Tensor]:
    path = latest_checkpoint(out)
    assert path is not None
    return load_file(path / "model.safetensors")


def furthest(a: Path, b: Path) -> float:
    """The largest difference between the weights that two runs ended with."""
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    return max((first[n] - second[n]).abs().max().item() for n in first)


def steps_in_log(out: Path) -> list[int]:
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


# --- kill and resume -----------------------------------------------------------------


def kill_at_a_random_moment(process: Any, out: Path, rng: random.Random) -> bool:
    """Half of the kills hit a checkpoint that is being written. True if it lived."""
    begun = time.monotonic()
    moment = begun + rng.uniform(0.05, 0.5)
    writing = rng.random() < 0.5
    while time.monotonic() < begun + 20 and process.is_alive():
        if writing and time.monotonic() > moment:
            if any(out.glob("tmp-*")):
                time.sleep(rng.uniform(0, 0.004))
                break
        elif time.monotonic() > moment:
            time.sleep(0.001)
            break
        elif not writing:
            time.sleep(0.002)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def require_readable(out: Path) -> None:
    for path in checkpoints(out):
        load_file(path / "model.safetensors")
        load_file(path / "optimizer.safetensors")
        json.loads((path / "training.json").read_text())
        BertConfig.from_json(path / "config.json")


def test_twenty_kills_change_nothing(data, tmp_path, record_property):
    phases = ["--phase", "16:100", "--phase", "32:150", "--save-every", "3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(data, whole, *phases))
    rng, kills, drafts = random.Random(1), 0, 0
    while kills < 20:
        process = start(command(data, killed, *phases, "--resume"))
        kills += kill_at_a_random_moment(process, killed, rng)
        drafts += any(killed.glob("tmp-*"))
        require_readable(killed)
    finish(command(data, killed, *phases, "--resume"))
    record_property("kills that left half a checkpoint behind", drafts)
    print(f"{drafts} of {kills} kills left half a checkpoint behind")
    last = latest_checkpoint(whole)
    assert last is not None
    for name in ("model.safetensors", "optimizer.safetensors"):
        again = killed / last.name / name
        assert (last / name).read_bytes() == again.read_bytes()
    assert steps_in_log(killed) == [*range(1, 251)]


def test_a_new_run_does_not_write_over_an_old_one(data, tmp_path, capsys):
    finish(command(data, tmp_path, "--phase", "16:2"))
    assert main(command(data, tmp_path, "--phase", "16:2")) == 2
    assert "holds a run; go on with it by --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--batch-size", "16"], "batch_size is 16, it was 8"),
        (["--micro-batch", "8"], "micro_batch is 8, it was 4"),
        (["--layers", "2"], "num_hidden_layers is 2, it was 1"),
        (["--dropout", "0"], "hidden_dropout_prob is 0.0, it was 0.1"),
        (["--phase", "32:2"], "phases is [[16, 2], [32, 2]], it was [[16, 2]]"),
        (["--no-next-sentence"], "next_sentence is False, it was True"),
        (["--learning-rate", "2e-3"], "learning_rate is 0.002"),
        (["--seed", "3"], "seed is 3"),
    ],
)
def test_other_settings_are_refused_by_name(change, says, two_steps, data, capsys):
    arguments = command(data, two_steps, "--phase", "16:2", "--resume", *change)
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


@pytest.fixture(scope="module")
def two_steps(data: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("two")
    finish(command(data, out, "--phase", "16:2"))
    return out


def test_resuming_a_run_that_is_over_changes_nothing(data, two_steps):
    before = (two_steps / "log.jsonl").read_bytes()
    finish(command(data, two_steps, "--phase", "16:2", "--resume"))
    assert (two_steps / "log.jsonl").read_bytes() == before


def test_other_data_is_refused(data, two_steps, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("a cat\nsees a dog\n\nan old bird\nruns\n")
    other = tmp_path / "other"
    vocab = ["--vocab", str(data / "vocab.txt"), "--workers", "1"]
    assert prepare([str(text), "--out", str(other), *vocab]) == 0
    assert main(command(other, two_steps, "--phase", "16:2", "--resume")) == 2
    assert "data is another" in capsys.readouterr().err


# --- many processes, many micro-batches ----------------------------------------------


def torchrun(*arguments: str, restarts: int = 0) -> Any:
    """Two processes of one thread under torchrun, as a Popen."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [*launch, *options, "-m", "bertlib.pretrain", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


FIFTY = ["--phase", "16:30", "--phase", "32:20", "--save-every", "10"]


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("alone")
    os.environ["OMP_NUM_THREADS"] = "1"
    finish(command(data, out, *FIFTY))
    return out


def test_two_processes_end_with_the_weights_of_one(data, alone, tmp_path):
    process = torchrun(*command(data, tmp_path, *FIFTY))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert furthest(alone, tmp_path) < 1e-6
    assert steps_in_log(tmp_path) == [*range(1, 51)]


def test_a_killed_rank_restarts_and_ends_at_the_same_loss(data, alone, tmp_path):
    # Slow enough to be met in the middle: a checkpoint after each step.
    steps = [*FIFTY, "--save-every", "1"]
    process = torchrun(*command(data, tmp_path, *steps), restarts=1)
    while not latest_checkpoint(tmp_path) and process.poll() is None:
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    [second] = [p for p in children if p.environ().get("RANK") == "1"]
    second.kill()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert steps_in_log(tmp_path) == [*range(1, 51)]
    ends = [
        (out / "log.jsonl").read_text().splitlines()[-1] for out in (alone, tmp_path)
    ]
    first, again = (json.loads(line)["loss"] for line in ends)
    assert first == pytest.approx(again, abs=1e-6)
    assert furthest(alone, tmp_path) < 1e-6


def test_four_micro_batches_are_one_batch(data, tmp_path):
    same = ["--phase", "32:10", "--dropout", "0", "--attention-dropout", "0"]
    for size in ("8", "32"):
        more = [*same, "--batch-size", "32", "--micro-batch", size]
        finish(command(data, tmp_path / size, *more))
    assert furthest(tmp_path / "8", tmp_path / "32") < 1e-6


def test_the_ranks_share_the_rows_of_every_micro_batch():
    shared = [rows_of(rank, 3, 24, 4) for rank in range(3)]
    assert shared[1] == [range(4, 8), range(16, 20)]
    every = sorted(row for rank in shared for rows in rank for row in rows)
    assert every == [*range(24)]


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="multiple of micro_batch x processes, 8 x 3"):
        rows_of(0, 3, 32, 8)


# --- the command ---------------------------------------------------------------------


def test_the_held_out_loss_is_logged_when_it_is_due(data, tmp_path):
    more = ["--eval-every", "2", "--eval-rows", "6", "--phase", "16:3"]
    finish(command(data, tmp_path, *more))
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert ["held_out_loss" in json.loads(line) for line in lines] == [
        False,
        True,
        True,
    ]


def test_masked_words_alone_have_no_next_sentence_loss(data, tmp_path):
    finish(command(data, tmp_path, "--phase", "16:2", "--no-next-sentence"))
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line["nsp_loss"] == 0
    assert "seq_relationship.weight" not in weights(tmp_path)


def test_sizes_come_from_a_config_and_the_vocabulary_from_the_data(data, tmp_path):
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=999, intermediate_size=12, **sizes)
    config.to_json(tmp_path / "config.json")
    arguments = ["--data", str(data), "--out", str(tmp_path / "out")]
    arguments += ["--phase", "16:1", "--batch-size", "4", "--micro-batch", "4"]
    assert main([*arguments, "--config", str(tmp_path / "config.json")]) == 0
    path = latest_checkpoint(tmp_path / "out")
    assert path is not None
    found = BertConfig.from_json(path / "config.json")
    size = len((data / "vocab.txt").read_text().splitlines())
    assert (found.intermediate_size, found.vocab_size) == (12, size)


def test_data_that_is_missing_is_one_sentence(tmp_path, capsys):
    assert main(command(tmp_path / "none", tmp_path / "out", "--phase", "16:2")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_out_that_cannot_be_is_one_sentence(data, two_steps, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for out, says in ((taken, "File exists"), (taken / "x", "Not a directory")):
        assert main(command(data, out, "--phase", "16:2")) == 2
        assert f"{says}\n" in capsys.readouterr().err
    [step] = two_steps.glob("step-*")
    other = shutil.copytree(step, tmp_path / "classified" / step.name)
    about = json.loads((other / "training.json").read_text())
    (other / "training.json").write_text(json.dumps(about | {"position": {}}))
    assert main(command(data, other.parent, "--phase", "16:2", "--resume")) == 2
    assert "is no run of bertlib.pretrain" in capsys.readouterr().err


def test_nothing_to_resume_is_said(data, tmp_path, capsys):
    assert main(command(data, tmp_path, "--phase", "16:1", "--resume")) == 0
    assert f"no checkpoint in {tmp_path}; the run begins" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["128", "128:", "a:b", "4:10", "128:0"])
def test_a_phase_that_is_none_is_refused(text):
    with pytest.raises(Exception, match=r"length|LENGTH"):
        phase(text)


def test_the_log_is_json_where_a_number_is_none(tmp_path):
    log = Log(tmp_path, 0, 10)
    log.write(Report(1, 2.0, 1.0, 1.0, 0.5, math.inf, 1e-4, 3, 10), 2, length=16)
    [line] = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["grad_norm"] is None


def test_the_log_drops_steps_that_are_taken_again(tmp_path):
    report = Report(1, 2.0, 1.5, 0.5, 0.1, 1.0, 1e-3, 10, 100)
    log = Log(tmp_path, 0, 1)
    for step in (1, 2, 3):
        log.write(report._replace(step=step), 3, length=16)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed here
    log = Log(tmp_path, 2, 1)
    log.write(report._replace(step=3), 3, length=16)
    assert steps_in_log(tmp_path) == [1, 2, 3]


# --- what it costs -------------------------------------------------------------------


@pytest.mark.parametrize(("length", "masked"), [(8, 3), (24, 10)])
def test_the_flops_are_those_that_torch_counts(length, masked):
    from torch.utils.flop_counter import FlopCounterMode

    config = BertConfig(
        vocab_size=50, hidden_size=12, num_hidden_layers=2, intermediate_size=20
    )
    model = BertForPreTraining(config)
    ids = torch.randint(5, 50, (3, length))
    labels = torch.full_like(ids, -100)
    labels.flatten()[:masked] = 7
    with FlopCounterMode(display=False) as counter:
        out = model(ids, None, None, labels, torch.zeros(3, dtype=torch.long))
        forward = counter.get_total_flops()
        out.loss.backward()
    assert sum(forward_flops(config, 3, length, masked).values()) == forward
    assert step_flops(config, 3, length, masked) == counter.get_total_flops()


def test_a_run_costs_the_sum_of_its_steps():
    config = BertConfig()
    short, long = step_flops(config, 4, 128, 76), step_flops(config, 4, 512, 308)
    phases = [Phase(128, 9), Phase(512, 1)]
    assert run_flops(config, phases, 4) == 9 * short + long


def test_memory_is_that_of_the_parameters():
    config = BertConfig(vocab_size=70)
    size = sum(4 * p.numel() for p in BertForPreTraining(config).parameters())
    assert set(training_memory(config).values()) == {size, 2 * size}
