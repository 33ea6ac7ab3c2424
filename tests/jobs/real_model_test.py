"""Text through the real model: tokenize.py, `pikv generate` on two ranks, tokenize.py again.  Run: real_model_test.py build/pikv"""
import json
import pathlib
import sys
import tempfile
import unittest

import pikv_runs
import real_model

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
QUESTION = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
PROSE = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be"
PROSE_GOES_ON = ' willing to sacrifice his life for the greater good of his country.\n\nThis is a classic example of the "Liar Paradox" in philosophy, where a'


class RealModel(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def file(self, name, script_result):
        self.assertEqual((script_result.returncode, script_result.stderr), (0, b""))
        (self.folder / name).write_bytes(script_result.stdout)
        return self.folder / name

    @real_model.needs_model
    @real_model.needs_tokenizers
    def test_answers_as_transformers_did(self):
        prompts = "".join(json.dumps({"prompt": prompt, "max_new_tokens": 32}) + "\n" for prompt in (QUESTION, PROSE))
        ids = self.file("ids.jsonl", real_model.script("tokenize.py", real_model.DENSE, text=prompts))
        out = self.folder / "out.jsonl"
        done = pikv_runs.run(PIKV, ["generate", "--model", real_model.DENSE, "--kv-dtype", "f32", "--prompts", ids, "--output", out], ranks=2)
        self.assertEqual(done.code, 0, done.stderr)
        texts = self.file("texts.jsonl", real_model.script("tokenize.py", "--decode", real_model.DENSE, out)).read_text()
        self.assertEqual([json.loads(line)["text"] for line in texts.splitlines()], ["The capital of France is Paris.", PROSE_GOES_ON])


if __name__ == "__main__":
    real_model.run_tests()
