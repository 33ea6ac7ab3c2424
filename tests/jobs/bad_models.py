"""Model folders that lie, each made from the embedded one by a single change."""
import json
import shutil
import struct

HEADER = 8   # a safetensors file begins with the length of its JSON header, then the header, then the bytes of the tensors


class Weights:
    """A safetensors file in parts."""

    def __init__(self, path):
        whole = path.read_bytes()
        (length,) = struct.unpack_from("<Q", whole)
        self.header = json.loads(whole[HEADER:HEADER + length])
        self.data = bytearray(whole[HEADER + length:])

    def write(self, path):
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(struct.pack("<Q", len(header)) + header + self.data)


def with_weights(change):
    """A model whose weights file went through change(Weights)."""
    def make(good, folder):
        folder.mkdir()
        shutil.copy(good / "config.json", folder)
        weights = Weights(good / "model.safetensors")
        change(weights)
        weights.write(folder / "model.safetensors")
    return make


def with_file(change):
    """A model whose weights file's bytes went through change(bytes)."""
    def make(good, folder):
        folder.mkdir()
        shutil.copy(good / "config.json", folder)
        (folder / "model.safetensors").write_bytes(change((good / "model.safetensors").read_bytes()))
    return make


def with_config(**changes):
    """A model with other values in config.json; None removes the key."""
    def make(good, folder):
        folder.mkdir()
        config = json.loads((good / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        (folder / "model.safetensors").symlink_to(good / "model.safetensors")
    return make


def with_tokenizer(content):
    """A model with a tokenizer.model of these bytes."""
    def make(good, folder):
        with_config()(good, folder)
        (folder / "tokenizer.model").write_bytes(content)
    return make


def with_config_text(text):
    def make(good, folder):
        folder.mkdir()
        (folder / "config.json").write_text(text)
        (folder / "model.safetensors").symlink_to(good / "model.safetensors")
    return make


def without_weights(good, folder):
    folder.mkdir()
    shutil.copy(good / "config.json", folder)


EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def entry(change):
    """change(entry of the embedding in the header)"""
    return with_weights(lambda weights: change(weights.header[EMBEDDING]))


def past_the_end(of):
    of["data_offsets"][1] += 1 << 40


def negative(of):
    of["data_offsets"] = [-512, 0]


def other_dtype(of):
    of["dtype"] = "I16"   # as wide as bf16


def other_shape(of):
    of["shape"] = [of["shape"][0] // 2, of["shape"][1] * 2]


def larger_shape(of):
    of["shape"] = [of["shape"][0] * 2, of["shape"][1]]


def overflowing_shape(of):
    of["shape"] = [1 << 62, 1 << 62]


def overlap(weights):
    weights.header[HEAD]["data_offsets"] = list(weights.header[EMBEDDING]["data_offsets"])


def without_head(weights):
    del weights.header[HEAD]


def infinite(weights):
    begin = weights.header[HEAD]["data_offsets"][0]
    weights.data[begin:begin + 2] = struct.pack("<H", 0x7F80)   # infinity in bf16


BAD_MODELS = {
    "weights missing": (without_weights, r"model\.safetensors"),
    "weights empty": (with_file(lambda whole: b""), r"model\.safetensors"),
    "weights cut short": (with_file(lambda whole: whole[:-1000]), r"model\.safetensors"),
    "header cut short": (with_file(lambda whole: whole[:100]), r"model\.safetensors"),
    "header huge": (with_file(lambda whole: struct.pack("<Q", 1 << 62) + whole[HEADER:]), r"model\.safetensors .*header"),
    "header not JSON": (with_file(lambda whole: whole[:HEADER] + b"[[[[" + whole[HEADER + 4:]), r"model\.safetensors.*JSON"),
    "offset outside": (entry(past_the_end), EMBEDDING),
    "offset negative": (entry(negative), EMBEDDING),
    "dtype unknown": (entry(other_dtype), f"{EMBEDDING}.*I16"),
    "shape wrong": (entry(other_shape), f"{EMBEDDING}.*shape"),
    "shape larger than its bytes": (entry(larger_shape), EMBEDDING),
    "shape overflows": (entry(overflowing_shape), EMBEDDING),
    "tensors overlap": (with_weights(overlap), f"{EMBEDDING}|{HEAD}"),
    "tensor missing": (with_weights(without_head), HEAD),
    "weight infinite": (with_weights(infinite), f"{HEAD}.*not finite"),
    "config missing": (lambda good, folder: folder.mkdir(), r"config\.json"),
    "config not JSON": (with_config_text("{"), r"config\.json.*JSON"),
    "config empty": (with_config_text(""), r"config\.json"),
    "config without a key": (with_config(num_hidden_layers=None), r"config\.json.*num_hidden_layers"),
    "config of a wrong type": (with_config(hidden_size="wide"), r"config\.json.*hidden_size"),
    "config negative": (with_config(vocab_size=-1), r"config\.json.*vocab_size"),
    "architecture unknown": (with_config(architectures=["FalconForCausalLM"]), r"config\.json.*FalconForCausalLM"),
    "sliding window": (with_config(sliding_window=64), r"config\.json.*sliding_window"),
    "rope scaled": (with_config(rope_scaling={"type": "linear", "factor": 2.0}), r"config\.json.*rope"),
    "some layers dense": (with_config(decoder_sparse_step=2), r"config\.json.*decoder_sparse_step"),
    "equal experts neither true nor false": (with_config(pikv_equal_experts="yes"), r"config\.json.*pikv_equal_experts"),
    "keys of another architecture": (with_config(architectures=["OlmoeForCausalLM"]), r"config\.json.*num_experts"),
    "norms of queries missing": (with_config(architectures=["OlmoeForCausalLM"], num_experts=8), r"no tensor .*q_norm"),
    "tokenizer damaged": (with_tokenizer(b"\0sentencepiece"), r"tokenizer\.model"),
    "folder missing": (lambda good, folder: None, "does not exist|no such"),
}
