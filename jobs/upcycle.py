"""Turns a dense Llama into a Mixtral of equal experts: fetch_model.py --upcycle.

Every expert is the dense feed-forward network, stored once as expert 0 ("pikv_equal_experts" of config.json, docs/files.md), and the
weights of the chosen experts sum to 1, so the function is the dense model's. The gate's rows are the centroids, per layer, of the hidden states
that the gate will see (after the post-attention norm) on the end of data/held_out.txt: spherical k-means, so that the largest logit is the
nearest centroid's.
"""
import numpy

from bf16 import narrowed, widened

CHARACTERS = 9000    # about 2000 tokens
WINDOW = 512         # tokens attended together
ROUNDS = 50
TOP_K = 2
DENSE, EXPERT = ("gate_proj", "down_proj", "up_proj"), ("w1", "w2", "w3")


def rms_norm(x, weight, eps):
    return x / numpy.sqrt(numpy.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rotary_table(tokens, head_dim, theta):
    angles = numpy.arange(tokens)[:, None] * theta ** (-numpy.arange(0, head_dim, 2) / head_dim)
    return numpy.cos(angles).astype("f4"), numpy.sin(angles).astype("f4")


def rotated(x, cos, sin):
    """x [heads][tokens][d], pairs (i, i + d/2)"""
    low, high = numpy.split(x, 2, axis=-1)
    return numpy.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def attention(q, k, v):
    """q [heads][tokens][d]; k, v [KV heads][tokens][d]; causal. -> [tokens][heads * d]"""
    group, tokens = len(q) // len(k), q.shape[1]
    later = numpy.triu(numpy.full((tokens, tokens), -numpy.inf, "f4"), 1)
    out = []
    for head, queries in enumerate(q):
        scores = queries @ k[head // group].T / numpy.float32(q.shape[2] ** 0.5) + later
        weights = numpy.exp(scores - scores.max(axis=1, keepdims=True))
        out.append(weights / weights.sum(axis=1, keepdims=True) @ v[head // group])
    return numpy.concatenate(out, axis=1)


def layers_of(config, weights, ids):
    """The dense model on ids. Yields per layer what a gate would see, and the states after the layer, both [tokens][hidden]."""
    eps, head_dim = config["rms_norm_eps"], config["head_dim"]
    windows = [ids[first:first + WINDOW] for first in range(0, len(ids), WINDOW)]
    tables = [rotary_table(len(window), head_dim, config["rope_theta"]) for window in windows]
    states = [widened(weights["model.embed_tokens.weight"][window]) for window in windows]
    for number in range(config["num_hidden_layers"]):
        of = {name.split(".", 3)[3].removesuffix(".weight"): widened(bits) for name, bits in weights.items() if name.startswith(f"model.layers.{number}.")}

        def heads(x, name):
            return (x @ of[f"self_attn.{name}_proj"].T).reshape(len(x), -1, head_dim).swapaxes(0, 1)

        seen = []
        for place, (x, (cos, sin)) in enumerate(zip(states, tables)):
            normed = rms_norm(x, of["input_layernorm"], eps)
            attended = attention(rotated(heads(normed, "q"), cos, sin), rotated(heads(normed, "k"), cos, sin), heads(normed, "v"))
            x = x + attended @ of["self_attn.o_proj"].T
            normed = rms_norm(x, of["post_attention_layernorm"], eps)
            seen.append(normed)
            gate = normed @ of["mlp.gate_proj"].T
            states[place] = x + (gate / (1 + numpy.exp(-gate)) * (normed @ of["mlp.up_proj"].T)) @ of["mlp.down_proj"].T
        yield numpy.concatenate(seen), numpy.concatenate(states)


def unit(rows):
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def centroids(rows, count, seed):
    """Spherical k-means, begun at rows far apart (k-means++). -> unit vectors [count][hidden], and the cluster of each row"""
    random = numpy.random.default_rng(seed)
    points = unit(rows)
    chosen = points[[random.integers(len(points))]]
    while len(chosen) < count:
        far = numpy.maximum(1 - (points @ chosen.T).max(axis=1), 0)
        chosen = numpy.vstack([chosen, points[random.choice(len(points), p=far / far.sum())]])
    for _ in range(ROUNDS):
        nearest = (points @ chosen.T).argmax(axis=1)
        sums = numpy.stack([points[nearest == cluster].sum(axis=0) for cluster in range(count)])
        empty = ~(nearest == numpy.arange(count)[:, None]).any(axis=1)
        sums[empty] = chosen[empty]
        moved = unit(sums)
        if numpy.allclose(moved, chosen, atol=1e-6):
            break
        chosen = moved
    return chosen


def as_mixtral(config, weights, experts, ids):
    """config, weights (name -> bf16 bits) of the Mixtral."""
    made = {name: bits for name, bits in weights.items() if ".mlp." not in name}
    for layer, (seen, _) in enumerate(layers_of(config, weights, ids)):
        moe = f"model.layers.{layer}.block_sparse_moe."
        made[moe + "gate.weight"] = narrowed(centroids(seen, experts, seed=layer))
        for dense, expert in zip(DENSE, EXPERT):
            made[f"{moe}experts.0.{expert}.weight"] = weights[f"model.layers.{layer}.mlp.{dense}.weight"]
    return config | {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "sliding_window": None, "num_local_experts": experts,
                     "num_experts_per_tok": TOP_K, "pikv_equal_experts": True}, made
