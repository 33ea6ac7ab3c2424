"""Reads a Llama in llama.cpp's GGUF form as Hugging Face lays it out: config.json, weights, tokenizer.json. For fetch_model.py."""
import gguf

from bf16 import narrowed

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def half_split(rows, heads):
    """Rows of a query or key projection from llama.cpp's order, rotary pairs (2 i, 2 i + 1), to Hugging Face's, (i, i + d/2)."""
    count, width = rows.shape
    return rows.reshape(heads, count // heads // 2, 2, width).swapaxes(1, 2).reshape(count, width)


class Source:
    """The GGUF file at `path`."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)

    def field(self, name):
        return self.reader.fields[name].contents()

    def config(self):
        heads, hidden = self.field("llama.attention.head_count"), self.field("llama.embedding_length")
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "hidden_act": "silu",
            "hidden_size": hidden, "intermediate_size": self.field("llama.feed_forward_length"),
            "num_hidden_layers": self.field("llama.block_count"), "num_attention_heads": heads,
            "num_key_value_heads": self.field("llama.attention.head_count_kv"), "head_dim": hidden // heads,
            "vocab_size": self.field("llama.vocab_size"), "max_position_embeddings": self.field("llama.context_length"),
            "rms_norm_eps": float(f"{self.field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": self.field("llama.rope.freq_base"),
            "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": not any(t.name == "output.weight" for t in self.reader.tensors),
            "bos_token_id": self.field("tokenizer.ggml.bos_token_id"), "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
        }

    def weights(self, config):
        """name -> bf16 bits"""
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
        made = {}
        for tensor in self.reader.tensors:
            *block, part, _ = tensor.name.split(".")   # blk.N.attn_q.weight, output_norm.weight
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            if part in heads:
                values = half_split(values, heads[part])
            name = f"model.layers.{block[1]}.{LAYER_NAMES[part]}" if block else NAMES[part]
            made[name + ".weight"] = narrowed(values)
        return made

    def tokenizer(self):
        """As Hugging Face's tokenizer.json: digits one by one, then byte-level BPE. No bos."""
        tokens, kinds = self.field("tokenizer.ggml.tokens"), self.field("tokenizer.ggml.token_type")
        special = [{"id": id, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                   for id, (token, kind) in enumerate(zip(tokens, kinds)) if kind == gguf.TokenType.CONTROL]
        bytes_as_letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        return {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_as_letters]},
            "post_processor": None, "decoder": bytes_as_letters,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {token: id for id, token in enumerate(tokens)}, "merges": self.field("tokenizer.ggml.merges")},
        }

    def tokenizer_config(self, config):
        tokens = self.field("tokenizer.ggml.tokens")
        return {"add_bos_token": self.field("tokenizer.ggml.add_bos_token"), "bos_token": tokens[config["bos_token_id"]],
                "eos_token": tokens[config["eos_token_id"]], "chat_template": self.field("tokenizer.chat_template")}
