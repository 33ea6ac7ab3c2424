#!/usr/bin/env python3
"""Writes tests/data/odd-NAME: small models with random weights and awkward shapes, and what transformers makes of them.

Run by hand, with torch, transformers (5.2.0 made the files in the tree), safetensors and numpy: python3 tests/data/make_models.py [NAME...]
Each folder gets a checkpoint as the hub lays it out, and reference.safetensors: `ids` i32 [n], `logits` f32 [n, vocab] (fp32 arithmetic,
eager attention and experts, every position) and, with experts, `gate_margin` f32 [n]: the smallest distance between router logits k and k+1 over the layers.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
TOKENS = 70

MIXTRAL = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "torch_dtype": "float16", "hidden_act": "silu",
    "vocab_size": 131, "hidden_size": 48, "intermediate_size": 20, "num_hidden_layers": 3,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10, "num_local_experts": 5, "num_experts_per_tok": 3,
    "rms_norm_eps": 3e-05, "rope_theta": 500.0, "max_position_embeddings": 96, "tie_word_embeddings": True,
    "sliding_window": None, "bos_token_id": 1, "eos_token_id": 2,
}
LLAMA = {   # head_dim left out: hidden / heads
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32", "hidden_act": "silu",
    "vocab_size": 97, "hidden_size": 40, "intermediate_size": 36, "num_hidden_layers": 2,
    "num_attention_heads": 5, "num_key_value_heads": 1,
    "rms_norm_eps": 2e-06, "rope_parameters": {"rope_type": "default", "rope_theta": 2000.0}, "max_position_embeddings": 128,
    "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": [2, 96],
}
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "float16", "hidden_act": "silu",
    "vocab_size": 113, "hidden_size": 40, "intermediate_size": 64, "moe_intermediate_size": 18, "num_hidden_layers": 3,
    "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 14, "num_experts": 7, "num_experts_per_tok": 3,
    "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "max_position_embeddings": 96, "tie_word_embeddings": False, "attention_bias": False,
    "use_sliding_window": False, "sliding_window": None, "bos_token_id": 1, "eos_token_id": 2,
}
OLMOE = {   # head_dim left out; gate weights that do not sum to 1
    "architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "torch_dtype": "float32", "hidden_act": "silu",
    "vocab_size": 101, "hidden_size": 36, "intermediate_size": 22, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "num_experts": 6, "num_experts_per_tok": 4, "norm_topk_prob": False, "clip_qkv": None,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "max_position_embeddings": 128, "tie_word_embeddings": False, "attention_bias": False,
    "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 1,
}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "float32", "hidden_act": "silu",
    "vocab_size": 89, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "rms_norm_eps": 1e-06, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "max_position_embeddings": 96,
    "tie_word_embeddings": True, "attention_bias": False, "use_sliding_window": False, "sliding_window": None, "bos_token_id": 1, "eos_token_id": [2],
}
MODELS = {   # config, shards, seed
    "odd-mixtral": (MIXTRAL, 2, 3), "odd-llama": (LLAMA, 1, 2),
    "odd-qwen3-moe": (QWEN3_MOE, 2, 5), "odd-olmoe": (OLMOE, 1, 7), "odd-qwen3": (QWEN3, 1, 11),
}


def experts_of(config):
    return config.get("num_local_experts") or config.get("num_experts") or 0


def weights(config, rng):
    hidden, inner = config["hidden_size"], config.get("moe_intermediate_size") or config["intermediate_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    dtype = np.dtype(config.get("dtype") or config["torch_dtype"])
    made = {}

    def matrix(name, rows, columns, gain=1.5):
        made[name + ".weight"] = (rng.standard_normal((rows, columns)) * gain / np.sqrt(columns)).astype(dtype)

    def norm(name, size=hidden):
        made[name + ".weight"] = (1 + 0.3 * rng.standard_normal(size)).astype(dtype)

    mixtral = config["model_type"] == "mixtral"
    mlp, parts = ("block_sparse_moe", ("w1", "w2", "w3")) if mixtral else ("mlp", ("gate_proj", "up_proj", "down_proj"))
    qk_norms = {"qwen3": (head_dim, head_dim), "qwen3_moe": (head_dim, head_dim), "olmoe": (q, kv)}.get(config["model_type"])

    def feed_forward(name):
        for part in parts:
            matrix(f"{name}.{part}", *((hidden, inner) if part in ("w2", "down_proj") else (inner, hidden)))

    matrix("model.embed_tokens", config["vocab_size"], hidden, gain=3)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}."
        norm(layer + "input_layernorm")
        norm(layer + "post_attention_layernorm")
        for name, rows, columns in [("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)]:
            matrix(f"{layer}self_attn.{name}_proj", rows, columns)
        if qk_norms:
            norm(layer + "self_attn.q_norm", qk_norms[0])
            norm(layer + "self_attn.k_norm", qk_norms[1])
        if not experts_of(config):
            feed_forward(layer + mlp)
            continue
        matrix(f"{layer}{mlp}.gate", experts_of(config), hidden)
        for expert in range(experts_of(config)):
            feed_forward(f"{layer}{mlp}.experts.{expert}")
    norm("model.norm")
    if not config["tie_word_embeddings"]:
        matrix("lm_head", config["vocab_size"], hidden)
    return made


def save_checkpoint(folder, config, made, shards):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names, weight_map = sorted(made), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: made[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    index = {"metadata": {"total_size": sum(w.nbytes for w in made.values())}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def reference(folder, config, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
    margins = []

    def record(gate, inputs, _):
        logits = torch.nn.functional.linear(inputs[0].reshape(-1, config["hidden_size"]), gate.weight)
        best = logits.sort(-1, descending=True).values
        k = config["num_experts_per_tok"]
        margins.append(best[:, k - 1] - best[:, k])

    for layer in model.model.layers:
        if experts_of(config):
            layer.mlp.gate.register_forward_hook(record)
    with torch.no_grad():
        logits = model(torch.tensor(ids[None].astype(np.int64))).logits[0]
    tensors = {"ids": ids, "logits": logits.numpy()}
    if margins:
        tensors["gate_margin"] = torch.stack(margins).min(0).values.numpy()
    save_file(tensors, folder / "reference.safetensors")
    print(folder.name, "largest logit", float(logits.abs().max()), "smallest gate margin", min(tensors.get("gate_margin", [float("nan")])))


for name in sys.argv[1:] or MODELS:
    config, shards, seed = MODELS[name]
    rng = np.random.default_rng(seed)
    save_checkpoint(HERE / name, config, weights(config, rng), shards)
    reference(HERE / name, config, rng.integers(0, config["vocab_size"], TOKENS, dtype=np.int32))
