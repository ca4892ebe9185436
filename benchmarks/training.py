"""How fast does the course's BERT train and read, against transformers?

    python benchmarks/training.py [--runs 5] [--save]

The same model (4 layers, 256 wide, 4 heads) on the same batches, 15 % of the tokens
masked. A training step is forward, backward, clip, optimizer step. Each contender works
in a fresh process with all cores; the contenders take turns. Nobody sets the allocator
from outside. The course's trainer keeps its memory by itself (`keep_memory`, chapter
8), so one more contender is transformers with that same setting. A ratio is taken
between neighbours of one turn, and the median of the turns counts. Peak memory is what
the system reports of the finished process.

- "fixed": 32 rows of 128 tokens, at a vocabulary of 8,000 and of 30,522.
- "reviews": film reviews at their own lengths (at most 128 tokens). The peer takes
  them as they come, 32 a batch, and pads each batch to its longest row, as its collator
  does. Ours sorts them into batches of like lengths: in training of 32 rows too, in
  reading (no gradient, hidden states alone) of as many rows as make 4,096 tokens.

The peer is `BertForMaskedLM` of transformers with torch's AdamW, both as they come.
--save writes the table to bertlib/corpus/training_speed.json, which chapter 9 shows.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib.config import BertConfig
from bertlib.corpus import load_reviews, minilm_folder
from bertlib.cost import forward_flops
from bertlib.data import Example, Masker, length_buckets
from bertlib.losses import IGNORE
from bertlib.tokenizer import WordPieceTokenizer

ROWS, LENGTH, STEPS = 32, 128, 4
VOCABULARIES = (8000, 30522)
RESULTS = Path(__file__).resolve().parents[1] / "bertlib/corpus/training_speed.json"


def config(vocab_size: int, hidden: float = 0.1, attention: float = 0.1) -> BertConfig:
    """The course's default size with the dropout of a contender."""
    return BertConfig(
        vocab_size=vocab_size,
        hidden_dropout_prob=hidden,
        attention_probs_dropout_prob=attention,
    )


# --- the batches, alike for all ------------------------------------------------------


def tokenizer_of(vocab_size: int) -> WordPieceTokenizer:
    """MiniLM's tokenizer, or as much of its vocabulary as fits."""
    tokens = (minilm_folder() / "vocab.txt").read_text("utf-8").split("\n")[:30522]
    return WordPieceTokenizer(tokens[:vocab_size])


def fixed_batches(vocab_size: int) -> list[dict[str, torch.Tensor]]:
    """32 rows of 128 random ids, masked; the ids do not matter for speed."""
    tokenizer = tokenizer_of(vocab_size)
    generator = torch.Generator().manual_seed(0)
    shape = (STEPS, ROWS, LENGTH - 2)
    ids = torch.randint(1000, vocab_size, shape, generator=generator).tolist()
    masker = Masker(tokenizer, seed=0)
    batches = []
    for number, rows in enumerate(ids):
        examples = [
            Example(
                [tokenizer.cls, *row, tokenizer.sep], LENGTH, number=ROWS * number + i
            )
            for i, row in enumerate(rows)
        ]
        batches.append(masker(examples))
    return batches


def review_batches(
    sort: bool, count: int = 512, tokens: int | None = None
) -> list[dict[str, torch.Tensor]]:
    """Reviews, masked, 32 a batch: as they come, or of like lengths together."""
    tokenizer = tokenizer_of(30522)
    texts = list(dict.fromkeys(review.text for review in load_reviews()))
    texts = texts[:: len(texts) // count][:count]
    rows = [e.input_ids for e in tokenizer.encode_batch(texts, max_length=LENGTH)]
    lengths = [len(row) for row in rows]
    if not sort:
        order = [list(range(i, i + ROWS)) for i in range(0, len(rows), ROWS)]
    elif tokens:
        order = length_buckets(lengths, max_tokens=tokens)
    else:
        order = length_buckets(lengths, ROWS)
    masker = Masker(tokenizer, seed=0)
    return [
        masker([Example(rows[i], len(rows[i]), number=i) for i in b]) for b in order
    ]


# --- the contenders ------------------------------------------------------------------


def timed_steps(
    step: Callable[[dict[str, torch.Tensor]], object],
    batches: list[dict[str, torch.Tensor]],
) -> float:
    """Seconds of one pass over the batches, after two steps that warm up."""
    for batch in batches[:2]:
        step(batch)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    return time.perf_counter() - start


def their_model(vocab_size: int) -> torch.nn.Module:
    from transformers import BertConfig as TheirConfig
    from transformers import BertForMaskedLM

    sizes = {k: v for k, v in vars(config(vocab_size)).items()}
    return BertForMaskedLM(TheirConfig(**sizes))


def theirs(vocab_size: int, batches: list, bf16: bool) -> float:
    """transformers in the loop that its documentation shows."""
    model = their_model(vocab_size).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(batch: dict[str, torch.Tensor]) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return timed_steps(step, batches)


def theirs_kept(vocab_size: int) -> float:
    """transformers with the allocator setting that the course's trainer chooses."""
    from bertlib.recipe import keep_memory

    keep_memory()
    return theirs(vocab_size, fixed_batches(vocab_size), False)


def ours(
    vocab_size: int, batches: list, bf16: bool, hidden=0.1, attention=0.1
) -> float:
    """The course's model in the course's own loop."""
    from bertlib.heads import BertForMaskedLM
    from bertlib.train import Recipe, Trainer

    model = BertForMaskedLM(config(vocab_size, hidden, attention))
    recipe = Recipe(learning_rate=1e-4, precision="bf16" if bf16 else "float32")
    trainer = Trainer(model, recipe, total_steps=1000)
    return timed_steps(lambda batch: trainer.step([batch]), batches)


def read(model: torch.nn.Module, batches: list, bf16: bool) -> float:
    """Seconds to turn the batches into hidden states, without gradients."""
    model.eval()
    if bf16:
        model.to(torch.bfloat16)  # nothing is learned: the weights may be short, too

    @torch.inference_mode()
    def step(batch: dict[str, torch.Tensor]) -> None:
        model(batch["input_ids"], batch["attention_mask"])

    return timed_steps(step, batches)


def their_reading(bf16: bool) -> float:
    return read(their_model(30522).bert, review_batches(False, 2048), bf16)


def our_reading(bf16: bool) -> float:
    from bertlib.model import BertModel

    model = BertModel(config(30522), add_pooling_layer=False)
    return read(model, review_batches(True, 2048, 4096), bf16)


def gemm(dtype: torch.dtype) -> float:
    """Seconds of 100 GFLOP of the step's own matrix products: the machine's ceiling."""
    pairs = [
        (torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype))
        for m, k, n in [(4096, 256, 1024), (4096, 1024, 256), (600, 256, 8000)]
    ]
    flops = sum(2 * a.shape[0] * a.shape[1] * b.shape[0] for a, b in pairs)
    for a, b in pairs:
        a @ b.T
    repeats = int(100e9 / flops)
    start = time.perf_counter()
    for _ in range(repeats):
        for a, b in pairs:
            a @ b.T
    return (time.perf_counter() - start) * 100e9 / (repeats * flops)


def contenders() -> Iterator[tuple[str, Callable[[], float]]]:
    """Name -> work; neighbours are compared with each other."""
    for V in VOCABULARIES:
        yield f"{V} theirs float32", lambda V=V: theirs(V, fixed_batches(V), False)
        yield f"{V} ours float32", lambda V=V: ours(V, fixed_batches(V), False)
        yield f"{V} theirs kept", lambda V=V: theirs_kept(V)
        yield f"{V} ours fast", lambda V=V: ours(V, fixed_batches(V), True, 0.1, 0.0)
        yield f"{V} theirs bf16", lambda V=V: theirs(V, fixed_batches(V), True)
        yield f"{V} ours bf16", lambda V=V: ours(V, fixed_batches(V), True)
        yield (
            f"{V} ours bf16 bare",
            lambda V=V: ours(V, fixed_batches(V), True, 0.0, 0.0),
        )
    as_they_come, sorted_ = lambda: review_batches(False), lambda: review_batches(True)
    yield "reviews theirs float32", lambda: theirs(30522, as_they_come(), False)
    yield "reviews ours float32", lambda: ours(30522, sorted_(), False)
    yield "reviews ours fast", lambda: ours(30522, sorted_(), True, 0.1, 0.0)
    yield "read theirs float32", lambda: their_reading(False)
    yield "read theirs bf16", lambda: their_reading(True)
    yield "read ours float32", lambda: our_reading(False)
    yield "read ours bf16", lambda: our_reading(True)
    yield "gemm float32", lambda: gemm(torch.float32)
    yield "gemm bf16", lambda: gemm(torch.bfloat16)


# --- the claims ----------------------------------------------------------------------

# What is claimed: (text, above the line, below it, at least).
CLAIMS: list[tuple[str, str, str, float]] = [
    ("8,000: same dropout, float32", "8000 theirs float32", "8000 ours float32", 1.5),
    ("8,000: fast recipe", "8000 theirs float32", "8000 ours fast", 2.8),
    ("8,000: fast against bf16", "8000 theirs bf16", "8000 ours fast", 1.6),
    ("30,522: same dropout", "30522 theirs float32", "30522 ours float32", 2.8),
    ("30,522: fast recipe", "30522 theirs float32", "30522 ours fast", 4.5),
    ("30,522: fast against bf16", "30522 theirs bf16", "30522 ours fast", 3.0),
    ("reviews, training, fast", "reviews theirs float32", "reviews ours fast", 2.0),
    ("reviews, training", "reviews theirs float32", "reviews ours float32", 2.0),
    ("reviews, reading, float32", "read theirs float32", "read ours float32", 1.0),
    ("reviews, reading, both bf16", "read theirs bf16", "read ours bf16", 1.0),
    ("reviews, reading, bf16", "read theirs float32", "read ours bf16", 2.5),
]
# The rows of chapter 9's table: text -> contender, without the vocabulary.
ROWS_OF_TABLE = {
    "transformers, memory kept": "theirs kept",
    "transformers, bf16": "theirs bf16",
    "ours, float32, same dropout": "ours float32",
    "ours, bf16, same dropout": "ours bf16",
    "ours, bf16, hidden dropout": "ours fast",
    "ours, bf16, no dropout": "ours bf16 bare",
}


def one(name: str) -> dict[str, float]:
    """Run a contender in this process: seconds, and the peak of memory in MiB."""
    seconds = dict(contenders())[name]()
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"seconds": seconds, "MiB": peak}


def step_flops(vocab_size: int) -> float:
    """FLOPs of the matrix products of our steps, by the formula of chapter 9."""
    total = 0
    for batch in fixed_batches(vocab_size):
        masked = int((batch["labels"] != IGNORE).sum())
        parts = forward_flops(config(vocab_size), ROWS, LENGTH, masked)
        total += 3 * (sum(parts.values()) - parts["next sentence"])
    return total / STEPS


def measure(runs: int) -> dict[str, list[dict[str, float]]]:
    """Let every contender work `runs` times, in turn, each in a fresh process."""
    found: dict[str, list[dict[str, float]]] = {}
    for run in range(runs):
        for name, _ in contenders():
            if sys.stderr.isatty():
                print(f"\rrun {run + 1}: {name:30}", end="", file=sys.stderr)
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True
            )
            found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return found


def ratio(found: dict, above: str, below: str, what: str = "seconds") -> float:
    """The median of the ratios, turn by turn: what disturbed one disturbed both."""
    both = zip(found[above], found[below], strict=True)
    return statistics.median(a[what] / b[what] for a, b in both)


def table(found: dict) -> dict:
    """What chapter 9 shows: ratios, the share of the GEMM peak, memory."""
    rows = []
    for text, contender in ROWS_OF_TABLE.items():
        row: dict[str, object] = {"what": text}
        for V in VOCABULARIES:
            row[f"vocab_{V}"] = ratio(found, f"{V} theirs float32", f"{V} {contender}")
            memory = ratio(found, f"{V} {contender}", f"{V} theirs float32", "MiB")
            row[f"memory_{V}"] = memory
        rows.append(row)
    reviews = {
        text: ratio(found, above, below)
        for text, above, below, _ in CLAIMS
        if text.startswith("reviews")
    }
    share = {}
    for V in VOCABULARIES:
        for dtype, name in [("float32", "ours float32"), ("bf16", "ours bf16 bare")]:
            seconds = statistics.median(f["seconds"] for f in found[f"{V} {name}"])
            peak = 100e9 / statistics.median(
                f["seconds"] for f in found[f"gemm {dtype}"]
            )
            share[f"{dtype}, vocabulary {V}"] = step_flops(V) * STEPS / seconds / peak
    peaks = {
        dtype: 100 / statistics.median(f["seconds"] for f in found[f"gemm {dtype}"])
        for dtype in ("float32", "bf16")
    }
    return {
        "rows": rows,
        "reviews": reviews,
        "gemm_gflops": peaks,
        "gemm_share": share,
        "seconds": {
            name: statistics.median(run["seconds"] for run in runs)
            for name, runs in found.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument(
        "--one", choices=[name for name, _ in contenders()], help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return 0

    load_reviews(), minilm_folder()  # fetched before anything is measured
    found = measure(options.runs)
    import transformers

    head = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "date": str(date.today()),
        "runs": options.runs,
        "unit": "times as fast as transformers in float32 as it comes",
    }
    result = head | table(found)
    print(f"{head['date']}; {head['machine']}; {head['versions']};", end=" ")
    print(f"median (and spread) of {options.runs}\n")
    print(f"{'':26}{'seconds':>26}{'peak MiB':>12}")
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        text = (
            f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"
        )
        memory = statistics.median(run["MiB"] for run in runs)
        print(f"{name:26}{text:>26}{memory:>12.0f}")
    print(f"\nGEMM, GFLOP/s: {rounded(result['gemm_gflops'])}")
    print(f"share of it that a step reaches: {rounded(result['gemm_share'])}")
    print(f"\n{'times as fast':34}{'median':>10}{'must be':>14}")
    failed = 0
    for text, above, below, least in CLAIMS:
        value = ratio(found, above, below)
        failed += value < least
        verdict = f">= {least:.2f}" + ("" if value >= least else " MISSED")
        print(f"{text:34}{value:>10.2f}{verdict:>14}")
    for V in VOCABULARIES:
        for name in ("ours float32", "ours fast"):
            value = ratio(found, f"{V} {name}", f"{V} theirs float32", "MiB")
            failed += value >= 1
            verdict = "< 1.00" + ("" if value < 1 else " MISSED")
            print(f"{f'{V:,}: memory, {name}':34}{value:>10.2f}{verdict:>14}")
    if options.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


def rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in numbers.items()}


if __name__ == "__main__":
    sys.exit(main())
