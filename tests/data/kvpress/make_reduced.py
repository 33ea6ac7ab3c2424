#!/usr/bin/env python3
"""make_reduced.py VECTORS: writes reduced.safetensors, cases.json and pyramid_budgets.json beside itself from policies.{json,safetensors} and attention_{t64,t509}.safetensors
in folder VECTORS, the project's reference vectors.

  P.lL.q [9][rows][64], P.lL.k [3][T][64]   f32, after rotary. t64 (T = 64): layers 0, 15, 29, all queries; t509 (T = 509): layer 15, the last 64 queries
  kept, scores                              of the cases, as kvpress gave them: i32 [3][most kept], ascending, padded with -1; f32 [3][T]
  chunk_scores                              of ChunkKV: f32 [1][chunks], sums over the KV heads
  cases.json                                [{"prompt", "tokens", "layer", "case", "window"?, "chunk"?, "ratio_removed", "n_kept" by KV head, "ambiguous",
                                              "kept", "scores", "chunk_scores"?}]
  pyramid_budgets.json                      [{"tokens", "ratio_removed", "layers", "window", "beta", "budgets" by layer}], those that are not flat
"""
import json
import pathlib
import struct
import sys

CASES = {"streaming_llm", "snapkv_w16_k5", "snapkv_w32_k5", "snapkv_w64_k5", "tova", "observed_attention", "adakv_snapkv", "pyramidkv", "chunkkv20_snapkv", "chunkkv16_snapkv"}
KEPT = {"t64": (0, 15, 29), "t509": (15,)}
LAST_QUERIES = 64


def read(path):
    data = path.read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    return {name: (entry["dtype"], entry["shape"], data[8 + length:][slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def write(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def last_queries(tensor):
    dtype, (heads, rows, width), data = tensor
    keep, row = min(rows, LAST_QUERIES), 4 * width
    return dtype, [heads, keep, width], b"".join(data[(h * rows + rows - keep) * row:(h + 1) * rows * row] for h in range(heads))


def window(params):
    return params.get("window_size") or params.get("press", {}).get("window_size")


def main(vectors):
    here, policies, tensors, cases = pathlib.Path(__file__).parent, read(vectors / "policies.safetensors"), {}, []
    for prompt, layers in KEPT.items():
        attention = read(vectors / f"attention_{prompt}.safetensors")
        for layer in layers:
            tensors[f"{prompt}.l{layer}.q"] = last_queries(attention[f"l{layer}.q"])
            tensors[f"{prompt}.l{layer}.k"] = attention[f"l{layer}.k"]
    theirs = json.loads((vectors / "policies.json").read_text())
    for case in theirs["cases"]:
        prompt, layer = case["prompt"], case["layer"]
        if case["case"] not in CASES or layer not in KEPT[prompt] or (prompt, case["case"]) == ("t509", "observed_attention"):   # needs all queries
            continue
        cases.append({"prompt": prompt, "tokens": tensors[f"{prompt}.l{layer}.k"][1][1], "layer": layer, "case": case["case"],
                      **({"window": window(case["params"])} if window(case["params"]) else {}),
                      **({"chunk": case["params"]["chunk_length"]} if "chunk_scores" in case else {}),
                      **{name: case[name] for name in ("ratio_removed", "n_kept", "ambiguous", "kept", "scores", "chunk_scores") if name in case}})
        tensors.update({case[name]: policies[case[name]] for name in ("kept", "scores", "chunk_scores") if name in case})
    write(here / "reduced.safetensors", tensors)
    budgets = [row for row in theirs["pyramidkv_budgets"] if len(set(row["budgets"])) > 1]
    for name, rows in (("cases", cases), ("pyramid_budgets", budgets)):
        (here / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


main(pathlib.Path(sys.argv[1]))
