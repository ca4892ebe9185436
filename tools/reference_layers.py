"""Make bertlib/corpus/minilm_layers.json: what transformers computes, layer by layer.

    python tools/reference_layers.py

Chapter 10 compares our model with these numbers; transformers itself is no part of the
course. The file holds `ids` and `token_type_ids` of a pair of sentences (T tokens), and
`states`: (layers + 1, T, 8), the first 8 numbers of each token's vector, after the
embeddings and after each layer. A test makes it again and compares.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import transformers

from bertlib.corpus import minilm_folder

PAIR = ("The film is far too long.", "I never looked at my watch.")
WIDTH = 8
OUTPUT = Path(__file__).parent.parent / "bertlib" / "corpus" / "minilm_layers.json"


def reference() -> dict[str, Any]:
    """The numbers, by transformers' own tokenizer and model."""
    folder = minilm_folder()
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    model = transformers.BertModel.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    batch = tokenizer(*PAIR, return_tensors="pt")
    with torch.no_grad():
        out = model(**batch, output_hidden_states=True)
    states = torch.cat(out.hidden_states)[..., :WIDTH]  # L+1 x (1, T, D) -> (L+1, T, 8)
    return {
        "transformers": transformers.__version__,
        "ids": batch["input_ids"][0].tolist(),
        "token_type_ids": batch["token_type_ids"][0].tolist(),
        "states": [
            [[round(x, 6) for x in token] for token in state]
            for state in states.tolist()
        ],
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    text = json.dumps(reference(), separators=(",", ":")).replace("]],", "]],\n")
    output.write_text(text + "\n", encoding="utf-8")
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
