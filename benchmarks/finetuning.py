"""Fine-tuning with the course's commands, against the same run in transformers.

    python benchmarks/finetuning.py [TASKS] [--seeds 0 1 2]

Both start from MiniLM-L6 and learn from the same rows with the same ids, batch size,
learning rate, warm-up and clipping. TASKS: reviews, wnut17, conll2000, xquad. "Ours" is
the command (`classify`, `ner`, `qa`) as it comes. "Theirs" is transformers' model in
the loop that its documentation shows: float32, rows in random order, batches padded to
the longest row, torch's AdamW. Both are measured on the same test rows by the same
code.

Each run has a process and one thread of its own; seconds are seconds of processor time,
evaluation on dev rows included in ours, so other work on the machine does not count. At
"reviews" theirs gets as many seconds as ours took, and its schedule fits them; at the
others it takes the same number of epochs. A third contender at "reviews" is ours from
random weights, with the same number of epochs. At "xquad" 72 test questions are also
asked of three texts of 3,000 word pieces, made of the test paragraphs (long_f1).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib import classify, ner, qa
from bertlib.classifier import Classifier
from bertlib.classifier import collate as collate_texts
from bertlib.corpus import minilm_folder
from bertlib.finder import Finder
from bertlib.pretrained import load_pretrained, load_tokenizer
from bertlib.reader import Reader, measure
from bertlib.recipe import learning_rate_at, parameter_groups
from bertlib.tagging import Tagger, collate_words
from bertlib.windows import Limits, collate_windows, make_windows

COMMANDS = {"reviews": classify, "wnut17": ner, "conll2000": ner, "xquad": qa}


class Theirs(torch.nn.Module):
    """A model of transformers, called as the course's models are."""

    def __init__(self, kind: str, **arguments: Any) -> None:
        super().__init__()
        import transformers

        load = getattr(transformers, f"AutoModelFor{kind}").from_pretrained
        self.inner = load(minilm_folder(), **arguments)
        self.config = self.inner.config

    def forward(self, **batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.inner(**batch, return_dict=False)


def options(task: str, seed: int, out: str) -> argparse.Namespace:
    """The command's own defaults."""
    argv = ["train", "--data", task, "--out", out, "--seed", str(seed)]
    return COMMANDS[task].arguments(argv)


def their_task(
    task: str, a: argparse.Namespace
) -> tuple[Theirs, Sequence[Any], Callable, Callable[[], dict[str, float]]]:
    """Model, rows, collation and the measure on the test rows."""
    tokenizer = load_tokenizer("minilm")
    torch.manual_seed(a.seed)
    if task == "reviews":
        rows, _ = classify.rows_to_learn_from(a)
        labels = sorted({row.label for row in rows})
        model = Theirs("SequenceClassification", num_labels=len(labels))
        ours = Classifier(model, tokenizer, labels)
        test = ours.encode(classify.NAMED[task]()[1], a.max_length)
        features = ours.encode(rows, a.max_length)
        return model, features, collate_texts, lambda: ours.evaluate(test, "float32")
    if task == "xquad":
        asked, _ = qa.train_and_dev(a)
        reader = Reader(Theirs("QuestionAnswering"), tokenizer, Limits())
        test = qa.load_questions(task, test=True)
        windows = make_windows(asked, tokenizer, reader.limits, labelled=True)
        return (
            reader.model,
            windows,
            collate_windows,
            lambda: measure(test, reader.answer(test)),
        )
    rows, _ = ner.train_and_dev(a, tokenizer)
    names = ner.begin(a, tokenizer, rows).names
    torch.manual_seed(a.seed)
    model = Theirs("TokenClassification", num_labels=len(names))
    tagger = Tagger(model, tokenizer, names, a.max_length, a.constrained, "float32")
    features = tagger.features([r.words for r in rows], [r.tags for r in rows])
    test = ner.load_rows(task, "test", tokenizer)

    def score() -> dict[str, float]:
        found = ner.measure(tagger, test)
        return {"f1": found.micro.f1, "accuracy": found.accuracy}

    return model, features, collate_words, score


def theirs(task: str, seed: int, seconds: float | None) -> dict[str, float]:
    """Train transformers' model for the recipe's epochs, or for so many seconds."""
    a = options(task, seed, "unused")
    model, features, collate, score = their_task(task, a)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, a.weight_decay), lr=a.learning_rate
    )
    size = a.batch_size
    total = a.epochs * -(-len(features) // size)
    rng, step, start = np.random.default_rng(seed), 0, time.process_time()
    order: list[int] = []
    model.train()
    while True:
        share = step / total
        if seconds is not None:
            share = (time.process_time() - start) / seconds
        if share >= 1:
            break
        if not order:
            order = rng.permutation(len(features)).tolist()
        picked, order = order[:size], order[size:]
        factor = learning_rate_at(int(10_000 * share), 10_000, a.warmup)
        for group in optimizer.param_groups:
            group["lr"] = a.learning_rate * factor
        model(**collate([features[i] for i in picked]))[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), a.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    used = time.process_time() - start
    return score() | {"seconds": used, "steps": step}


def ours(task: str, seed: int, scratch: bool) -> dict[str, float]:
    """Train and evaluate with the command."""
    command = COMMANDS[task]
    with tempfile.TemporaryDirectory() as out:
        argv = ["train", "--data", task, "--out", out, "--seed", str(seed)]
        start = time.process_time()
        if command.main(argv + ["--from-scratch"] * scratch):
            raise RuntimeError(f"{argv} failed")
        used = time.process_time() - start
        test = ["evaluate", "--data", task, "--init", out, "--out", f"{out}/test"]
        command.main([*test, "--precision", "float32"])
        found = json.loads(Path(out, "test/evaluation.json").read_text("utf-8"))
        steps = json.loads(Path(out, "metrics.json").read_text("utf-8"))
        last = max(epoch["step"] for epoch in steps["epochs"])
        if task == "xquad":
            found |= long_context(f"{out}/best")
    names = ("accuracy", "f1", "macro_f1", "exact", "calibration_error")
    names += ("short_f1", "all_windows_f1", "long_f1", "no_penalty_f1")
    kept = {n: found[n] for n in names if isinstance(found.get(n), float)}
    return kept | {"seconds": used, "steps": last}


def long_context(folder: str, pieces: int = 3000, asked: int = 24) -> dict:
    """F1 on test questions about texts of so many pieces, made of the test paragraphs,
    with so many questions each: in its own paragraph (short_f1), in the whole text with
    all windows read (all_windows_f1), and as `predict --max-length 256` reads it, the
    three windows nearest to the question (long_f1), also without a penalty for their
    distance (no_penalty_f1)."""
    questions = qa.load_questions("xquad", test=True)
    tokenizer = load_tokenizer("minilm")
    short, long = [], []
    paragraphs: list[str] = []
    for paragraph in dict.fromkeys(q.context for q in questions):
        paragraphs.append(paragraph)
        text = "\n\n".join(paragraphs)
        if len(tokenizer.ids(text)) < pieces:
            continue
        some = [q for q in questions if q.context in paragraphs]
        for q in some[:: max(1, len(some) // asked)][:asked]:
            shift = text.index(q.context)
            moved = [a._replace(start=a.start + shift) for a in q.answers]
            short.append(q)
            long.append(q._replace(context=text, answers=tuple(moved)))
        paragraphs = []
    reader, near = Reader.load(folder), Reader.load(folder, max_length=256)
    found = {
        "short_f1": measure(short, reader.answer(short))["f1"],
        "all_windows_f1": measure(long, reader.answer(long))["f1"],
    }
    for name, weight in (("long_f1", 20.0), ("no_penalty_f1", 0.0)):
        near.finder = Finder(load_pretrained("minilm"), tokenizer, weight=weight)
        found[name] = measure(long, near.answer(long))["f1"]
    return found


def run(task: str, who: str, seed: int, seconds: float | None = None) -> dict:
    """One contender, in a process of its own."""
    command = [sys.executable, __file__, task, "--one", who, "--seeds", str(seed)]
    command += ["--seconds", str(seconds)] if seconds else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found = json.loads(done.stdout.splitlines()[-1])
    text = "  ".join(f"{name} {value:.4g}" for name, value in found.items())
    print(f"{task:10} {who:8} seed {seed}  {text}", flush=True)
    return found


def compare(task: str, seeds: Sequence[int]) -> bool:
    """Let all contenders of a task run; whether the claims hold."""
    measured: dict[str, list[dict]] = {"ours": [], "theirs": []}
    for seed in seeds:
        mine = run(task, "ours", seed)
        measured["ours"].append(mine)
        budget = mine["seconds"] if task == "reviews" else None
        measured["theirs"].append(run(task, "theirs", seed, budget))
    if task == "reviews":
        measured["scratch"] = [run(task, "scratch", seeds[0])]
    name = "accuracy" if task == "reviews" else "f1"
    points = 1 if task == "xquad" else 100  # the script of SQuAD says percent
    means = {
        who: points * statistics.mean(found[name] for found in runs)
        for who, runs in measured.items()
    }
    each = {
        who: statistics.median(found["seconds"] / found["steps"] for found in runs)
        for who, runs in measured.items()
    }
    print(f"\n{task}, {name}, mean of {len(seeds)}, in percent:")
    for who, mean in means.items():
        print(f"{who:8}{mean:8.2f}{each[who]:10.3f} s a step")
    good = means["ours"] >= means["theirs"] - 1
    if task == "reviews":
        good &= means["ours"] >= 83 and each["ours"] < each["theirs"]
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", default=[*COMMANDS], help=f"{[*COMMANDS]}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if unknown := {*a.tasks} - {*COMMANDS}:
        parser.error(f"{unknown}: the tasks are {[*COMMANDS]}")
    if not a.one:
        return 0 if all([compare(task, a.seeds) for task in a.tasks]) else 1
    torch.set_num_threads(1)
    [task], seed = a.tasks, a.seeds[0]
    if a.one == "theirs":
        found = theirs(task, seed, a.seconds)
    else:
        found = ours(task, seed, scratch=a.one == "scratch")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
