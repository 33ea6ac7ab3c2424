#!/usr/bin/env python3
"""Writes tests/data/sentencepiece: a small tokenizer.model, trained with Llama's settings on data/held_out.txt, and what python's sentencepiece makes
of awkward strings.

Run by hand, with sentencepiece (0.2.3 made the files in the tree): python3 tests/data/make_sentencepiece.py
cases.json: `text`; `ids`, without bos; `continued`: what `ids` add behind those of "Once upon", by decoding both together.
"""
import json
import pathlib

import sentencepiece

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "sentencepiece"
BEFORE = "Once upon"
TEXTS = ["", "Hello world", " leading space", "two  spaces   three", "trailing ", "line\nbreak\n\n\ttab\r\n", "In 1789, it's 3.14 or 1,000,000",
         "naïve café — “quoted” …", "東京タワー 2024", "emoji 🙂👍🏽", "x=f(a[i])+b_c; // done", "<s>not special</s> <unk> <0x41>",
         "▁ the mark itself", "\x00\x01\x7f", "é combining", "the meadow and the house were creeping"]

FOLDER.mkdir(exist_ok=True)
sentencepiece.SentencePieceTrainer.train(
    input=str(HERE.parents[1] / "data/held_out.txt"), model_prefix=str(FOLDER / "tokenizer"), vocab_size=500, model_type="bpe", byte_fallback=True,
    split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, num_threads=1,
    minloglevel=1)
(FOLDER / "tokenizer.vocab").unlink()

pieces = sentencepiece.SentencePieceProcessor(model_file=str(FOLDER / "tokenizer.model"))
before = pieces.encode(BEFORE)
cases = []
for text in TEXTS:
    ids = pieces.encode(text)
    cases.append({"text": text, "ids": ids, "continued": pieces.decode(before + ids).removeprefix(BEFORE)})
(FOLDER / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
