"""jobs/tokenize.py: text to ids and back, and what it says of bad input.  Run: tokenize_test.py   (most of it needs the package tokenizers)"""
import json
import pathlib
import tempfile
import textwrap
import unittest

import real_model

# A tokenizer of two merges, made by hand: words are split at spaces, which stay in front.
TINY = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
    "added_tokens": [{"id": 5, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
              "byte_fallback": False, "ignore_merges": False, "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<end>": 5},
              "merges": ["a b", "Ġ ab"]},
}


class TokenizeTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        (self.folder / "tokenizer.json").write_text(json.dumps(TINY))

    def lines(self, *arguments, text=""):
        done = real_model.script("tokenize.py", *arguments, text=text)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refuses(self, saying, *arguments, text="", environment=None):
        done = real_model.script("tokenize.py", *arguments, text=text, environment=environment)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count(b"\n")), (2, b"", 1), done.stderr)
        self.assertRegex(done.stderr.decode(), rf"^tokenize\.py: error: .*{saying}.*; ")

    @real_model.needs_tokenizers
    def test_a_line_of_text_is_a_prompt(self):
        self.assertEqual(self.lines(self.folder, text="ab\r\naba ab<end>\n"), [{"prompt_ids": [3]}, {"prompt_ids": [3, 0, 4, 5]}])

    @real_model.needs_tokenizers
    def test_a_json_line_keeps_its_other_keys(self):
        text = '{"id": "x", "prompt": "ab ab", "max_new_tokens": 3}\n{"prompt_ids": [1, 2]}\n'
        right = [{"id": "x", "max_new_tokens": 3, "prompt_ids": [3, 4]}, {"prompt_ids": [1, 2]}]
        self.assertEqual(self.lines(self.folder, text=text), right)
        (self.folder / "in.jsonl").write_text(text)
        self.assertEqual(self.lines(self.folder, self.folder / "in.jsonl"), right)

    @real_model.needs_tokenizers
    def test_a_whole_text_is_one_prompt(self):
        (self.folder / "in.txt").write_text("ab ab<end>a\n")
        self.assertRegex(real_model.script("tokenize.py", "--whole", "--decode", self.folder).stderr.decode(), "not allowed with")
        with self.subTest("a newline is no token of this tokenizer, and is passed over"):
            self.assertEqual(self.lines("--whole", self.folder, self.folder / "in.txt"), [{"prompt_ids": [3, 4, 5, 0]}])
            self.assertEqual(self.lines("--whole", self.folder, text="ab\nab"), [{"prompt_ids": [3, 3]}])

    @real_model.needs_tokenizers
    def test_needles_become_tasks(self):
        text = '{"kind": "single", "context": "ab ab", "question": "a", "answer": " ab", "depth": 0.5}\n'
        self.assertEqual(self.lines(self.folder, text=text), [{"kind": "single", "depth": 0.5, "context_ids": [3, 4], "question_ids": [0], "answer_ids": [4]}])

    @real_model.needs_tokenizers
    def test_tokens_become_text_without_special_ones(self):
        text = '{"id": "x", "tokens": [4, 0, 5], "text": null, "finish": "eos"}\n{"tokens": []}\n'
        self.assertEqual(self.lines("--decode", self.folder, text=text),
                         [{"id": "x", "tokens": [4, 0, 5], "text": " aba", "finish": "eos"}, {"tokens": [], "text": ""}])

    @real_model.needs_tokenizers
    def test_bad_input_is_named(self):
        self.refuses("line 2 of stdin is not JSON", self.folder, text='{"prompt": "a"}\n{')
        self.refuses("line 1 of stdin needs one of", self.folder, text='{"prompt": "a", "prompt_ids": [1]}')
        self.refuses("line 1 of stdin needs one of", self.folder, text='{"prompt": 7}')
        self.refuses('line 1 of stdin has "stop" strings', self.folder, text='{"prompt": "a", "stop": ["b"]}')
        self.refuses("line 2 of stdin becomes no token", self.folder, text="a\n\nb\n")
        self.refuses('line 1 of stdin has no "tokens"', "--decode", self.folder, text='{"text": "a"}')
        self.refuses('line 1 of stdin has no "tokens"', "--decode", self.folder, text='{"tokens": [-1]}')
        self.refuses("line 1 of stdin is not a JSON object", "--decode", self.folder, text="[1]")
        (self.folder / "latin").write_bytes(b"\xe9")
        self.refuses("latin is not UTF-8", self.folder, self.folder / "latin")

    @real_model.needs_tokenizers
    def test_a_folder_without_a_tokenizer_is_named(self):
        self.refuses("there is no .*nowhere/tokenizer.json", self.folder / "nowhere")
        (self.folder / "tokenizer.json").write_text("{")
        self.refuses(r"tokenizer\.json cannot be read", self.folder)

    def test_says_what_to_install(self):
        (self.folder / "tokenizers.py").write_text("raise ImportError")
        self.refuses("the package tokenizers is not installed", self.folder, environment=real_model.ENVIRONMENT | {"PYTHONPATH": str(self.folder)})

    def test_does_not_hide_pythons_module_of_its_name(self):
        (self.folder / "script.py").write_text(textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(real_model.REPOSITORY / "jobs")!r})
            import tokenize
            with tokenize.open(__file__) as source:
                print(len(list(tokenize.generate_tokens(source.readline))) > 0)
        """))
        done = real_model.subprocess.run([real_model.sys.executable, self.folder / "script.py"], capture_output=True, text=True, check=False)
        self.assertEqual((done.stdout, done.stderr), ("True\n", ""))

    @real_model.needs_model
    @real_model.needs_tokenizers
    def test_awkward_strings_become_the_ids_of_smollm2(self):
        cases = [case for case in real_model.tokenizer_cases() if case["text"]]
        self.assertGreaterEqual(len(cases), 20)
        text = "".join(json.dumps({"prompt": case["text"]}) + "\n" for case in cases)
        self.assertEqual([line["prompt_ids"] for line in self.lines(real_model.DENSE, text=text)], [case["ids"] for case in cases])


if __name__ == "__main__":
    real_model.run_tests()
