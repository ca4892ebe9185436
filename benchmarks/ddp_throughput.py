"""How much faster two processes of one thread train than one: bertlib.pretrain, DDP.

    python benchmarks/ddp_throughput.py [--rounds 5] [--steps 14]

One and two processes take turns; both train the same global batch, so the same run.
A round's number is the speed of two divided by that of one. The time of a step comes
from the log, so starting up does not count; the first steps of each run are left out.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import torch

LEAST = 1.7


def text(path: Path) -> None:
    """A few thousand lines of words, so that nothing has to be fetched."""
    words = [a + b for a in "bcdfghklmnprst" for b in ("a", "e", "i", "o", "um", "ers")]
    state = 1
    with path.open("w") as file:
        for line in range(12_000):
            row = []
            for _ in range(12):
                state = (1103515245 * state + 12345) % 2**31
                row.append(words[state // 65536 % len(words)])
            file.write(" ".join(row) + ("\n\n" if line % 12 == 11 else "\n"))


def run(folder: Path, out: str, processes: int, steps: int) -> float:
    """Seconds a step, the median over all but the first four."""
    launch = [sys.executable, "-m"]
    if processes > 1:
        launch += ["torch.distributed.run", "--standalone"]
        launch += [f"--nproc-per-node={processes}", "-m"]
    options = ["--data", "shards", "--out", out, "--phase", f"128:{steps}"]
    options += ["--batch-size", "32", "--micro-batch", "16", "--precision", "float32"]
    options += ["--eval-every", "0", "--save-every", "1000"]
    subprocess.run(
        [*launch, "bertlib.pretrain", *options],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = (folder / out / "log.jsonl").read_text().splitlines()
    at = [json.loads(line)["seconds"] for line in lines]
    return statistics.median(b - a for a, b in pairwise(at[3:]))


def main() -> int:
    """Print each round, and the median ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=14)
    a = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ",
        end="",
    )
    print(f"torch {torch.__version__}; course's size, vocabulary 8,000, 32 x 128")
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text(folder / "text.txt")
        vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghiklmnoprstu"]
        vocab += [f"##{letter}" for letter in "aeiourms"]
        vocab += [f"unused{i}" for i in range(8000 - len(vocab))]
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocab))
        prepare = [sys.executable, "-m", "bertlib.prepare", "text.txt"]
        subprocess.run(
            [*prepare, "--out", "shards", "--vocab", "vocab.txt"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        for number in range(a.rounds):
            one, two = (run(folder, f"{number}-{n}", n, a.steps) for n in (1, 2))
            ratios.append(one / two)
            print(
                f"round {number + 1}: one {one:.3f} s a step, two {two:.3f} s", end=""
            )
            print(f"   {one / two:.2f} times", flush=True)
    median = statistics.median(ratios)
    print(f"median: two processes are {median:.2f} times as fast", end="")
    print(f" (must be >= {LEAST}{'' if median >= LEAST else ' MISSED'})")
    return 0 if median >= LEAST else 1


if __name__ == "__main__":
    raise SystemExit(main())
