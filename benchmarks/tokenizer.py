"""How fast is the tokenizer of chapter 1, against the Rust library `tokenizers`?

    python benchmarks/tokenizer.py [--runs 5]

Each contender works in a fresh process; the contenders take turns, and the median of
the runs counts. Texts are the 13,836 distinct film reviews, the vocabulary is MiniLM's
(30,522 pieces). The Rust library has its defaults, that is, all cores; ours has one.
Only the work is timed, no imports and no loading; it ends with the ids as Python lists
(or ids and offsets) in hand, on either side. "Cold" is the first pass after a
start, "warm" the best of the next three. The Rust WordPiece keeps no cache of words;
what it saves after its first pass is the start of its threads and their memory.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib.corpus import load_reviews, minilm_folder

VOCAB_SIZE = 8000


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the first pass, and of the best of the next three."""
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        del result
    return {"cold": seconds[0], "warm": min(seconds[1:])}


def ours(with_offsets: bool) -> dict[str, float]:
    from bertlib.tokenizer import WordPieceTokenizer

    texts = distinct_texts()
    tokenizer = WordPieceTokenizer.from_vocab_file(minilm_folder() / "vocab.txt")
    if with_offsets:
        return measure(
            lambda: [(e.input_ids, e.offsets) for e in tokenizer.encode_batch(texts)]
        )
    return measure(lambda: [e.input_ids for e in tokenizer.encode_batch(texts)])


def rust(with_offsets: bool) -> dict[str, float]:
    from tokenizers import Tokenizer, models, processors

    texts = distinct_texts()
    lines = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {token: i for i, token in enumerate(lines) if token}
    tokenizer = rust_pipeline(Tokenizer(models.WordPiece(vocab, unk_token="[UNK]")))
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"])
    )
    if with_offsets:
        return measure(
            lambda: [(e.ids, e.offsets) for e in tokenizer.encode_batch(texts)]
        )
    return measure(lambda: [e.ids for e in tokenizer.encode_batch(texts)])


def rust_fast() -> dict[str, float]:
    """`encode_batch_fast`, which works out no offsets."""
    from tokenizers import Tokenizer, models

    texts = distinct_texts()
    lines = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {token: i for i, token in enumerate(lines) if token}
    tokenizer = rust_pipeline(Tokenizer(models.WordPiece(vocab, unk_token="[UNK]")))
    return measure(lambda: [e.ids for e in tokenizer.encode_batch_fast(texts)])


def rust_pipeline(tokenizer):
    from tokenizers import normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def train_ours(score: str = "frequency") -> dict[str, float]:
    from bertlib.tokenizer import WordPieceTokenizer

    texts = [review.text for review in load_reviews()]
    start = time.perf_counter()
    WordPieceTokenizer.train(texts, VOCAB_SIZE, score=score)
    return {"cold": time.perf_counter() - start}


def train_rust() -> dict[str, float]:
    from tokenizers import Tokenizer, models, trainers

    texts = [review.text for review in load_reviews()]
    tokenizer = rust_pipeline(Tokenizer(models.WordPiece(unk_token="[UNK]")))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        special_tokens=special,
        show_progress=False,
    )
    start = time.perf_counter()
    tokenizer.train_from_iterator(texts, trainer)
    return {"cold": time.perf_counter() - start}


def distinct_texts() -> list[str]:
    return list(dict.fromkeys(review.text for review in load_reviews()))


CONTENDERS: dict[str, Callable[[], dict[str, float]]] = {
    "ids, ours": lambda: ours(with_offsets=False),
    "ids, rust": lambda: rust(with_offsets=False),
    "fast, rust": rust_fast,
    "offsets, ours": lambda: ours(with_offsets=True),
    "offsets, rust": lambda: rust(with_offsets=True),
    "train, ours": train_ours,
    "train, rust": train_rust,
    "train, ours, likelihood": lambda: train_ours("likelihood"),
}
# What is claimed: name, (contender, pass) above and below the line, at least.
CLAIMS: list[tuple[str, tuple[str, str], tuple[str, str], float | None]] = [
    ("ids, warm", ("ids, rust", "warm"), ("ids, ours", "warm"), 3.0),
    ("ids, cold", ("ids, rust", "cold"), ("ids, ours", "cold"), 2.0),
    ("  our cold, their warm", ("ids, rust", "warm"), ("ids, ours", "cold"), None),
    ("  warm, encode_batch_fast", ("fast, rust", "warm"), ("ids, ours", "warm"), None),
    ("offsets, warm", ("offsets, rust", "warm"), ("offsets, ours", "warm"), 0.5),
    ("offsets, cold", ("offsets, rust", "cold"), ("offsets, ours", "cold"), 0.5),
    ("training", ("train, rust", "cold"), ("train, ours", "cold"), 1 / 1.5),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(CONTENDERS[arguments.one]()))
        return 0

    load_reviews(), minilm_folder()  # fetched before anything is measured
    seconds: dict[tuple[str, str], list[float]] = {}
    for run in range(arguments.runs):
        for name in CONTENDERS:
            if sys.stderr.isatty():
                print(f"\rrun {run + 1}: {name:30}", end="", file=sys.stderr)
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True
            )
            for which, value in json.loads(done.stdout).items():
                seconds.setdefault((name, which), []).append(value)
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)

    import tokenizers

    print(f"{date.today()}; {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(
        f"Python {platform.python_version()}, tokenizers {tokenizers.__version__};",
        end=" ",
    )
    print(f"median (and spread) of {arguments.runs}")
    print(f"\n{'seconds':32}{'cold':>22}{'warm':>22}")
    for name in CONTENDERS:
        cells = [seconds.get((name, which)) for which in ("cold", "warm")]
        texts = [
            f"{statistics.median(c):.3f} ({min(c):.3f}-{max(c):.3f})" if c else ""
            for c in cells
        ]
        print(f"{name:32}{texts[0]:>22}{texts[1]:>22}")
    print(f"\n{'times as fast as rust':32}{'median':>22}{'must be':>22}")
    failed = 0
    for name, above, below, least in CLAIMS:
        # Run by run: what disturbed the machine disturbed neighbours alike.
        both = zip(seconds[above], seconds[below], strict=True)
        ratio = statistics.median(a / b for a, b in both)
        verdict = "" if least is None else f">= {least:.2f}"
        if least is not None and ratio < least:
            verdict, failed = verdict + " MISSED", failed + 1
        print(f"{name:32}{ratio:>22.2f}{verdict:>22}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
