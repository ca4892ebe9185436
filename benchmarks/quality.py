"""How good does a model get in a given time, against transformers?

    python benchmarks/quality.py [--minutes 20] [--alone-minutes 1] [--save]

Text: WikiText-2's validation part; its last tenth is held out. Same architecture
(4 layers, 256 wide, 4 heads), same vocabulary (8,000, learned from the training part),
same held-out rows with the same masked words, the same number of minutes of training
(evaluation is not counted). Contenders work two at a time, side by side, each in a
fresh process with one thread, and a minute is one of processor time: what else the
machine does is not counted. So 20 minutes are what 10 are on two cores.

- "transformers": BertForMaskedLM trained with what its `Trainer` and its `run_mlm`
  example do when nobody says otherwise: rows of 128 tokens cut from the running text,
  8 a step, AdamW at 5e-5, linear decay, no warm-up, dropout 0.1, float32, logits
  everywhere.
- "ours": every line of the list together.
- each line of the list: transformers' settings in the course's code, with that one
  thing changed and nothing else.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib.config import BertConfig
from bertlib.corpus import public_file
from bertlib.data import Batch, Example, Masker, cut_rows, length_buckets
from bertlib.evaluation import unigram
from bertlib.heads import BertForMaskedLM
from bertlib.losses import IGNORE
from bertlib.recipe import parameter_groups
from bertlib.tokenizer import WordPieceTokenizer

LENGTH, SHORT = 128, 32
RESULTS = Path(__file__).resolve().parents[1] / "bertlib/corpus/quality.json"


@dataclass(frozen=True)
class Settings:
    """What is changed from one line of the list to the next."""

    masked_only: bool = False  # logits at masked positions only
    buckets: bool = False  # one paragraph a row, batches of like lengths
    short_first: bool = False  # the first half of the time at 32 tokens a row
    rows: int = 8  # of 128 tokens, or as many tokens in other rows
    learning_rate: float = 5e-5
    warmup: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.1
    bf16: bool = False
    start_at_unigrams: bool = False  # the output bias starts at the log frequencies


PLAIN = Settings()
BEST = Settings(
    masked_only=True,
    buckets=True,
    short_first=True,
    rows=32,
    learning_rate=1e-3,
    warmup=0.06,
    weight_decay=0.01,
    dropout=0.0,
    bf16=True,
    start_at_unigrams=True,
)
ALONE = {
    "nothing changed": PLAIN,
    "logits at masked positions only": replace(PLAIN, masked_only=True),
    "batches of like lengths": replace(PLAIN, buckets=True),
    "short rows first": replace(PLAIN, short_first=True),
    "batch of 32 rows": replace(PLAIN, rows=32),
    "optimizer: AdamW 1e-3, warm-up, decay": replace(
        PLAIN, learning_rate=1e-3, warmup=0.06, weight_decay=0.01
    ),
    "no dropout": replace(PLAIN, dropout=0.0),
    "bf16": replace(PLAIN, bf16=True),
    "output bias at the unigrams": replace(PLAIN, start_at_unigrams=True),
}


def text_parts() -> tuple[list[str], list[str]]:
    """The paragraphs of the training part and of the held-out last tenth."""
    text = public_file("wikitext-2-valid.txt").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    cut = len(lines) * 9 // 10
    return lines[:cut], lines[cut:]


def rows_of(tokenizer: WordPieceTokenizer, lines: list[str], length: int, paragraphs):
    """Rows of at most `length` tokens: of each paragraph, or of the running text."""
    if paragraphs:
        streams = [tokenizer.ids(line) for line in lines]
    else:
        streams = [tokenizer.ids(" ".join(lines))]
    cls, sep = tokenizer.cls, tokenizer.sep
    return [row for ids in streams for row in cut_rows(ids, length, cls, sep)]


def model_for(name: str, settings: Settings, vocab_size: int) -> torch.nn.Module:
    """transformers' model, or the course's, with this dropout."""
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )
    if name != "transformers":
        return BertForMaskedLM(config)
    from transformers import BertConfig as TheirConfig
    from transformers import BertForMaskedLM as TheirModel

    return TheirModel(TheirConfig(**vars(config)))


def batches_of(rows: list[Example], settings: Settings, masker, seed: int):
    """Endless batches of as many tokens as `rows` rows of 128 have."""
    number = 0
    for epoch in range(10**9):
        lengths = [len(row.input_ids) for row in rows]
        tokens = settings.rows * LENGTH
        if settings.buckets:
            order = length_buckets(lengths, max_tokens=tokens, seed=seed, epoch=epoch)
        else:
            size = max(1, tokens // max(lengths))
            shuffled = np.random.default_rng([seed, epoch]).permutation(len(rows))
            order = [shuffled[i : i + size] for i in range(0, len(rows), size)]
        for picked in order:
            chosen = [rows[i]._replace(number=number + k) for k, i in enumerate(picked)]
            number += len(chosen)
            yield masker(chosen)


def train(name: str, settings: Settings, minutes: float) -> dict[str, float]:
    """Train for so long; return the held-out loss, accuracy and the tokens seen."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train_lines, held_lines = text_parts()
    tokenizer = WordPieceTokenizer.train(train_lines, 8000)
    masker = Masker(tokenizer, seed=1)
    held = rows_of(tokenizer, held_lines, LENGTH, paragraphs=False)
    held = [row._replace(number=i) for i, row in enumerate(held)]
    held_batches = [masker(held[i : i + 32]) for i in range(0, len(held), 32)]
    stream = np.array(tokenizer.ids(" ".join(train_lines)))
    unigrams = unigram(stream, len(tokenizer))
    labels = torch.cat([b["labels"][b["labels"] != IGNORE] for b in held_batches])

    model = model_for(name, settings, len(tokenizer))
    if settings.start_at_unigrams:
        with torch.no_grad():
            model.predictions.bias.copy_(unigrams)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate
    )
    lengths = (SHORT, LENGTH) if settings.short_first else (LENGTH,)
    phases = [
        batches_of(
            rows_of(tokenizer, train_lines, length, settings.buckets),
            settings,
            Masker(tokenizer, seed=0),
            seed=length,
        )
        for length in lengths
    ]

    seconds, used, steps, tokens = minutes * 60, 0.0, 0, 0
    model.train()
    while used < seconds:
        start, share = time.process_time(), used / seconds
        batch = next(phases[min(int(share * len(phases)), len(phases) - 1)])
        rise = share / settings.warmup if settings.warmup else 1.0
        factor = min(rise, (1 - share) / (1 - settings.warmup))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            loss = loss_of(name, settings, model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps, tokens = steps + 1, tokens + int(batch["attention_mask"].sum())
        used += time.process_time() - start

    return {
        "loss": held_out_loss(model, held_batches),
        "unigram": -unigrams[labels].mean().item(),
        "steps": steps,
        "tokens": tokens,
    }


def loss_of(
    name: str, settings: Settings, model: torch.nn.Module, batch: Batch
) -> torch.Tensor:
    """The loss of one batch; without `masked_only` by way of all logits."""
    if name == "transformers" or settings.masked_only:
        return model(**batch).loss
    inputs = {key: batch[key] for key in batch if key != "labels"}
    logits = model(**inputs).logits  # (B, T, V)
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["labels"].flatten()
    )


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, batches: list[Batch]) -> float:
    """Mean over all masked words of the held-out rows, in float32, no dropout."""
    model.eval()
    total = count = 0.0
    for batch in batches:
        masked = int((batch["labels"] != IGNORE).sum())
        total += model(**batch).loss.item() * masked
        count += masked
    return total / count


CONTENDERS: dict[str, Settings] = {"transformers": PLAIN, "ours": BEST} | ALONE


def measured(names: Sequence[str], minutes: float) -> dict[str, dict[str, float]]:
    """Let each train in a fresh process, two at a time; name -> what it found."""
    found = {}
    for pair in zip_longest(names[::2], names[1::2]):
        command = [sys.executable, __file__, "--minutes", str(minutes), "--one"]
        running = {
            name: subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True)
            for name in pair
            if name is not None
        }
        for name, process in running.items():
            printed, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"{name} ended with status {process.returncode}")
            found[name] = json.loads(printed.splitlines()[-1])
            steps, tokens, loss = (found[name][k] for k in ("steps", "tokens", "loss"))
            print(
                f"{name:40}{minutes:>6g} min{steps:>8,} steps{tokens:>12,} tokens   "
                f"held-out loss {loss:.3f}",
                flush=True,
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--alone-minutes", type=float, default=1)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.one, CONTENDERS[options.one], options.minutes)))
        return 0

    import transformers

    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{date.today()}; {machine}; {versions}\n")
    both = measured(["transformers", "ours"], options.minutes)
    theirs, ours = both["transformers"], both["ours"]
    print()
    alone = measured(list(ALONE), options.alone_minutes)
    print(f"\nunigram baseline on the same words: {ours['unigram']:.3f}")
    if options.save:
        found = {
            "machine": machine,
            "versions": versions,
            "date": str(date.today()),
            "minutes": options.minutes,
            "alone_minutes": options.alone_minutes,
            "unigram": ours["unigram"],
            "transformers": theirs,
            "ours": ours,
            "alone": alone,
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lower = ours["loss"] < theirs["loss"]
    print(f"\nours is {'lower' if lower else 'NOT lower'}")
    return 0 if lower else 1


if __name__ == "__main__":
    sys.exit(main())
