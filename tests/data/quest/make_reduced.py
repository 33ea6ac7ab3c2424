#!/usr/bin/env python3
"""make_reduced.py VECTORS: writes reduced.safetensors beside itself from quest.safetensors and attention_{t64,t509}.safetensors in folder VECTORS.

Kept for `t64` (64 tokens, layers 0, 15 and 29) and `end`, the tokens of t509 from 480 on (29, so that last pages are short; layer 15):
  STEM.k        [3][tokens][64]  keys after rotary          STEM.q  [8][9][64]  the last 8 queries
  STEM.pS.lo, hi [3][pages][64]; STEM.pS.upper, true_max [8][9][pages], for pages of S = 16 and 32 tokens
All f32, from SmolLM2-135M-Instruct, computed in float64 from the definition of Quest (arXiv 2406.10774).
"""
import json
import pathlib
import struct
import sys


def read(path):
    data = path.read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    return {name: (entry["shape"], data[8 + length:][slice(*entry["data_offsets"])]) for name, entry in header.items() if name != "__metadata__"}


def cut(tensor, axis, begin, end):
    """tensor[..., begin:end, ...] along axis."""
    shape, data = tensor
    outer, inner = 1, 4
    for size in shape[:axis]:
        outer *= size
    for size in shape[axis + 1:]:
        inner *= size
    rows = [data[(i * shape[axis] + begin) * inner:(i * shape[axis] + end) * inner] for i in range(outer)]
    return [*shape[:axis], end - begin, *shape[axis + 1:]], b"".join(rows)


def transposed(tensor):
    """[a][b][c] -> [b][a][c]."""
    (a, b, c), data = tensor
    return [b, a, c], b"".join(data[(i * b + j) * c * 4:(i * b + j + 1) * c * 4] for j in range(b) for i in range(a))


def write(path, tensors):
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values()))


def main(vectors):
    quest, kept = read(vectors / "quest.safetensors"), {}
    for prompt, layers, first in (("t64", (0, 15, 29), 0), ("t509", (15,), 480)):
        attention = read(vectors / f"attention_{prompt}.safetensors")
        for layer in layers:
            stem = f"l{layer}" if first == 0 else "end"
            tokens = attention[f"l{layer}.k"][0][1]
            kept[f"{stem}.k"] = cut(attention[f"l{layer}.k"], 1, first, tokens)
            kept[f"{stem}.q"] = transposed(cut(attention[f"l{layer}.q"], 1, tokens - 8, tokens))
            for size in (16, 32):
                for what, axis in (("lo", 1), ("hi", 1), ("upper", 2), ("true_max", 2)):
                    tensor = quest[f"{prompt}.l{layer}.p{size}.{what}"]
                    kept[f"{stem}.p{size}.{what}"] = cut(tensor, axis, first // size, tensor[0][axis])
    write(pathlib.Path(__file__).with_name("reduced.safetensors"), kept)


main(pathlib.Path(sys.argv[1]))
