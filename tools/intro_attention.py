"""Make book/intro_attention.npz: the attention that the intro page opens with.

    python tools/intro_attention.py

The weights are a real pretrained BERT encoder's. The file holds `weights`, uint8 of
shape (layers, heads, T, T), square-root coded (w = (q / 255) ** 2), and `tokens`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from bertlib.config import BertConfig
from bertlib.corpus import minilm_folder
from bertlib.model import BertModel
from bertlib.tokenizer import WordPieceTokenizer

SENTENCE = "The ferry left without the painter because it could not wait for him."
OUTPUT = Path(__file__).parent.parent / "book" / "intro_attention.npz"
# Chapter 5 explains this table; longer names stand before those that they contain.
OUR_NAME = {
    "encoder.layer.": "encoder.layers.",
    "attention.self.": "attention.",
    "attention.output.LayerNorm": "attention_norm",
    "attention.output.dense": "attention.output",
    "intermediate.dense": "intermediate",
    "output.LayerNorm": "output_norm",
    "output.dense": "output",
    "embeddings.LayerNorm": "embeddings.layer_norm",
}


def minilm(folder: Path) -> BertModel:
    """The course's model with MiniLM's weights, as chapter 5 loads them."""
    weights = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for theirs, ours in OUR_NAME.items():
            name = name.replace(theirs, ours)
        weights[name] = tensor
    weights.pop("embeddings.position_ids")  # 0 to 511: not a parameter
    model = BertModel(BertConfig.from_json(folder / "config.json"))
    model.load_state_dict(weights)
    return model.eval()


def attend(folder: Path, sentence: str) -> tuple[torch.Tensor, list[str]]:
    """Run the encoder: weights (layers, heads, T, T) and the T tokens."""
    tokenizer = WordPieceTokenizer.from_vocab_file(folder / "vocab.txt")
    ids = tokenizer.encode(sentence).input_ids
    with torch.no_grad():
        out = minilm(folder)(torch.tensor([ids]), output_attentions=True)
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
    weights, tokens = attend(minilm_folder(), SENTENCE)
    np.savez_compressed(
        output, weights=encode(weights.numpy()), tokens=np.array(tokens)
    )
    row = weights[3, 1, tokens.index("it")]
    best = int(row.argmax())
    print(f"layer 3, head 1: it -> {tokens[best]} {row[best]:.2f}")
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
