"""Does BERT learn the toy language of chapter 7, down to its floor?

    python benchmarks/toy_language.py [--seeds 3] [--steps 1400] [--threads 1]

For each seed a small BERT is trained on fresh sentences of 2 to 12 words, two to a row,
masked as the paper masks. Then two questions, on sentences it has not seen:

- Its loss on a masked batch, against the exact floor of that very batch: at most 1.05
  times. (The floor is the loss of a reader who knows the grammar.)
- Sentences of 13 to 18 words, longer than any in training, with the main verb masked:
  is the form that agrees with the subject likelier than the other number's? More than
  99 % of the time, with and without a noun of the other number in between.

Seconds are for sampling, masking and training together, and less than 90 are wanted;
the floor and the questions are not in them. Exit status 1 when one of these is missed.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bertlib.config import BertConfig
from bertlib.data import Batch, Masker, collate, length_buckets
from bertlib.heads import BertForMaskedLM
from bertlib.recipe import Recipe
from bertlib.toylang import ToyLanguage
from bertlib.train import Trainer

TRAINED, LONGER = range(2, 13), range(13, 19)  # words in a sentence
ROWS = 128  # a step
RECIPE = {"learning_rate": 2e-3, "warmup": 0.05, "weight_decay": 0.01}


def build(language: ToyLanguage, seed: int) -> BertForMaskedLM:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(language.tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=64,
    )
    return BertForMaskedLM(config)


def train(language: ToyLanguage, seed: int, steps: int) -> BertForMaskedLM:
    """Every sentence is new: there is no end to them, so nothing can be overfitted."""
    sentences = language.sample(2 * ROWS * steps, seed, TRAINED)
    rows = language.examples(sentences, per_row=2)
    mask = Masker(language.tokenizer, seed=seed)
    trainer = Trainer(build(language, seed), Recipe(seed=seed, **RECIPE), steps)
    batches = length_buckets([len(row.input_ids) for row in rows], ROWS, seed=seed)
    for batch in batches:
        trainer.step([mask([rows[i] for i in batch])])
    return trainer.model.eval()


@torch.no_grad()
def agreement(
    model: BertForMaskedLM, language: ToyLanguage, n: int, attractor: bool
) -> dict[int, float]:
    """{length: the share of n sentences in which the right form is the likelier one}"""
    mask = language.tokenizer.vocab["[MASK]"]
    found = {}
    for length in LONGER:
        pairs = language.agreement_pairs(n, 0, [length], attractor)
        rows = []
        for pair in pairs:
            words = [*pair.sentence]
            words[pair.verb] = mask
            rows += language.examples([words])
        logits = model(**collate(rows)).logits  # (n, T, V)
        scores = [logits[i, pair.verb + 1] for i, pair in enumerate(pairs)]
        agreed = [
            bool(score[pair.sentence[pair.verb]] > score[pair.wrong])
            for score, pair in zip(scores, pairs, strict=True)
        ]
        found[length] = sum(agreed) / n
    return found


def held_out(language: ToyLanguage) -> Batch:
    sentences = language.sample(4000, 1_000_000, TRAINED)
    return Masker(language.tokenizer, seed=1_000_000)(
        language.examples(sentences, per_row=2)
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--pairs", type=int, default=100, help="a length and kind")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    language = ToyLanguage()
    batch = held_out(language)
    floor = language.floor(batch)
    answers = batch["labels"][batch["labels"] != -100]
    print(f"floor: loss {floor.loss:.4f}, accuracy {floor.accuracy:.3f}")
    missed = False
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        start, cpu = time.perf_counter(), time.process_time()
        model = train(language, seed, args.steps)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        with torch.no_grad():
            out = model(**batch)
        right = (out.logits.argmax(-1) == answers).float().mean()
        ratio = out.loss.item() / floor.loss
        print(
            f"seed {seed}: loss {out.loss:.4f} = {ratio:.3f} x floor, accuracy "
            f"{right:.3f}, {seconds:.0f} s ({cpu:.0f} s of CPU)"
        )
        shares = []
        for attractor in (False, True):
            found = agreement(model, language, args.pairs, attractor)
            shares.append(sum(found.values()) / len(found))
            kind = "with an attractor" if attractor else "without"
            lengths = "  ".join(f"{n}: {share:.1%}" for n, share in found.items())
            print(f"  {kind:17} {shares[-1]:.2%}   {lengths}", flush=True)
        missed |= ratio > 1.05 or min(shares) <= 0.99
    print("missed" if missed else "all within 5 % of the floor, agreement above 99 %")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
