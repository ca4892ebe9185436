"""Make book/intro_attention.npz: the attention that the intro page opens with.

    python tools/intro_attention.py

The weights are a real pretrained BERT encoder's. The file holds `weights`, uint8 of
shape (layers, heads, T, T), square-root coded (w = (q / 255) ** 2), and `tokens`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from bertlib.pretrained import load_pretrained, load_tokenizer

SENTENCE = "The ferry left without the painter because it could not wait for him."
OUTPUT = Path(__file__).parent.parent / "book" / "intro_attention.npz"


def attend(name: str, sentence: str) -> tuple[torch.Tensor, list[str]]:
    """Run the encoder: weights (layers, heads, T, T) and the T tokens."""
    tokenizer = load_tokenizer(name)
    ids = tokenizer.encode(sentence).input_ids
    with torch.no_grad():
        out = load_pretrained(name)(torch.tensor([ids]), output_attentions=True)
    assert out.attentions is not None
    # (1, H, T, T) each -> (L, H, T, T)
    return torch.cat(out.attentions), [tokenizer.tokens[i] for i in ids]


def encode(weights: np.ndarray) -> np.ndarray:
    """Weights between 0 and 1 as uint8: the square root keeps the small ones apart."""
    return np.round(np.sqrt(weights) * 255).astype(np.uint8)


def main() -> None:
    """Write the file and say what the intro's text relies on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    weights, tokens = attend("minilm", SENTENCE)
    np.savez_compressed(
        output, weights=encode(weights.numpy()), tokens=np.array(tokens)
    )
    row = weights[3, 1, tokens.index("it")]
    best = int(row.argmax())
    print(f"layer 3, head 1: it -> {tokens[best]} {row[best]:.2f}")
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
