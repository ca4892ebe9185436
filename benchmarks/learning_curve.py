"""How many labelled reviews does it take? Three ways to learn, five sizes, seeds.

    python benchmarks/learning_curve.py [--save] [--sizes 50 200 800 3200 8000]

Film reviews, split by film: learned from some of the training films' reviews, tested on
640 reviews of the test films. On one thread; the file says in how many minutes (36 on a
busy machine).

- "full": MiniLM, all of it, with a new head. AdamW 1e-4, warm-up 10 %, batch 16, bf16.
- "frozen": MiniLM as it is; a logistic regression on the mean of its last vectors.
- "scratch": a BERT of 2 layers, 128 wide, with random weights. AdamW 1e-3, batch 16.
  (MiniLM's own size from random weights learns less in the same time.)

What is cut to save time: reviews end after 40 tokens; epochs become fewer
with more rows (see EPOCHS); the large sizes have fewer seeds (see SEEDS).
"""

import argparse
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib.classifier import Text, collate, new_classifier, probabilities
from bertlib.config import BertConfig
from bertlib.data import length_buckets
from bertlib.heads import BertForSequenceClassification
from bertlib.labelled import reviews
from bertlib.recipe import Recipe, autocast, choose_precision
from bertlib.train import Trainer
from bertlib.tuning import tune_step

RESULTS = Path(__file__).resolve().parents[1] / "bertlib/corpus/learning_curve.json"
LENGTH, TEST, BATCH = 40, 640, 16
SIZES = [50, 200, 800, 3200, 8000]
SEEDS = {50: 4, 200: 3, 800: 3, 3200: 2, 8000: 1}
EPOCHS = {
    "full": {50: 10, 200: 6, 800: 3, 3200: 2, 8000: 1},
    "scratch": {50: 40, 200: 30, 800: 16, 3200: 8, 8000: 5},
}


def subset(texts: list[Text], size: int, seed: int) -> list[Text]:
    """`size` of the texts; a larger set of the same seed holds the smaller ones."""
    order = np.random.default_rng([seed, 7]).permutation(len(texts))
    return [texts[i] for i in order[:size]]


def tuned(
    model: BertForSequenceClassification,
    texts: list[Text],
    epochs: int,
    rate: float,
    seed: int,
) -> BertForSequenceClassification:
    """The recipe of chapter 11, without its checkpoints."""
    lengths = [len(text.input_ids) for text in texts]
    total = epochs * -(-len(texts) // BATCH)
    trainer = Trainer(model, Recipe(rate, 0.1, precision=PRECISION, seed=seed), total)
    for epoch in range(epochs):
        for rows in length_buckets(lengths, BATCH, seed=seed, epoch=epoch):
            tune_step(trainer, [collate([texts[i] for i in rows])])
    return model


def small(seed: int, vocab_size: int) -> BertForSequenceClassification:
    """A model that has read nothing."""
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=vocab_size,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
        )
    )


@torch.no_grad()
def mean_vectors(
    model: BertForSequenceClassification, texts: list[Text]
) -> torch.Tensor:
    """The mean of the last layer's vectors over the tokens of each text: (N, D)."""
    found = torch.empty(len(texts), model.config.hidden_size)
    for rows in length_buckets([len(text.input_ids) for text in texts], 32):
        batch = collate([texts[i] for i in rows])
        batch.pop("labels")
        with autocast(torch.device("cpu"), PRECISION):
            hidden = model.bert(**batch).last_hidden_state.float()  # (B, T, D)
        mask = batch["attention_mask"].unsqueeze(-1)  # (B, T, 1)
        found[rows] = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return found


def probe(x: torch.Tensor, y: torch.Tensor, decay: float = 1e-2) -> nn.Linear:
    """Logistic regression with weight decay, to its minimum."""
    linear = nn.Linear(x.size(1), 2)
    nn.init.zeros_(linear.weight)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(linear(x), y)
        loss = loss + decay * linear.weight.pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear


def run(sizes: list[int]) -> list[dict[str, Any]]:
    """Every method at every size with every seed."""
    start = new_classifier("minilm", ["rotten", "fresh"])
    learn, test = (start.encode(part, LENGTH) for part in reviews())
    test = subset(test, TEST, 0)
    truth = torch.tensor([text.label for text in test])
    results: list[dict[str, Any]] = []

    def note(method: str, size: int, seed: int, right: float, begun: float) -> None:
        seconds = round(time.perf_counter() - begun, 1)
        results.append(
            {
                "method": method,
                "rows": size,
                "seed": seed,
                "accuracy": right,
                "seconds": seconds,
            }
        )
        print(
            f"{method:8} {size:5} rows  seed {seed}  {right:.3f}  {seconds:5.1f} s",
            flush=True,
        )

    def accuracy(model: BertForSequenceClassification) -> float:
        return (
            (probabilities(model, test, PRECISION).argmax(-1) == truth)
            .float()
            .mean()
            .item()
        )

    largest = {
        seed: subset(learn, max(s for s in sizes if SEEDS[s] > seed), seed)
        for seed in range(max(SEEDS[s] for s in sizes))
    }
    everything = list({id(t): t for texts in largest.values() for t in texts}.values())
    place = {id(text): at for at, text in enumerate(everything)}
    begun = time.perf_counter()
    vectors, at_test = (
        mean_vectors(start.bert, everything),
        mean_vectors(start.bert, test),
    )
    seconds = time.perf_counter() - begun
    print(f"vectors of {len(everything) + TEST} reviews: {seconds:.0f} s")
    shift, scale = vectors.mean(dim=0), vectors.std(dim=0)
    vectors, at_test = (vectors - shift) / scale, (at_test - shift) / scale
    for size in sizes:
        for seed in range(SEEDS[size]):
            texts = largest[seed][:size]
            begun = time.perf_counter()
            y = torch.tensor([text.label for text in texts])
            linear = probe(vectors[[place[id(text)] for text in texts]], y)
            right = (linear(at_test).argmax(-1) == truth).float().mean().item()
            note("frozen", size, seed, right, begun)
            begun = time.perf_counter()
            model = small(seed, len(start.tokenizer))
            right = accuracy(tuned(model, texts, EPOCHS["scratch"][size], 1e-3, seed))
            note("scratch", size, seed, right, begun)
            begun = time.perf_counter()
            model = new_classifier("minilm", ["rotten", "fresh"], seed).bert
            right = accuracy(tuned(model, texts, EPOCHS["full"][size], 1e-4, seed))
            note("full", size, seed, right, begun)
    majority = truth.bincount().max().item() / len(truth)
    results.append(
        {"method": "majority", "rows": 0, "seed": 0, "accuracy": majority, "seconds": 0}
    )
    return results


PRECISION = choose_precision("auto", torch.device("cpu"))


def main() -> None:
    """Measure, print, and with --save write the file that chapter 11 draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, choices=SIZES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    runs = run(options.sizes)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": str(date.today()),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "precision": PRECISION,
        "tokens": LENGTH,
        "test_rows": TEST,
        "epochs": EPOCHS,
        "runs": runs,
    }
    print(json.dumps({key: value for key, value in about.items() if key != "runs"}))
    if options.save:
        RESULTS.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
