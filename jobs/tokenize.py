#!/usr/bin/env python3
"""Text to token ids and back, for models whose folder has a tokenizer.json, which `pikv` does not read.

Run: jobs/tokenize.py MODEL_DIR [FILE] >prompts.jsonl           then: pikv generate --model MODEL_DIR --prompts prompts.jsonl --output out.jsonl
     jobs/tokenize.py --decode MODEL_DIR out.jsonl
     jobs/tokenize.py --whole MODEL_DIR data/held_out.txt >text.jsonl    then: --text text.jsonl of pikv evaluate and sweep
     jobs/tokenize.py MODEL_DIR needles.jsonl >tasks.jsonl               from their --write-tasks to their --tasks
FILE (else stdin) is text, one prompt a line, or JSON lines with "prompt", or with "context", "question" and "answer"; out come JSON lines with
"prompt_ids" and so on, other keys as they were. --whole: all of the text is one prompt.
--decode fills in "text" from "tokens", special tokens left out. Needs the package tokenizers of PyPI; fetch_model.py brings it.
"""
import sys

if __name__ != "__main__":   # a script of this folder imports Python's own module of this name: hand it over
    import importlib.util
    import os
    spec = importlib.util.spec_from_file_location(__name__, os.path.join(os.path.dirname(os.__file__), "tokenize.py"))
    sys.modules[__name__] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])

import argparse  # noqa: E402  (after the module that has to be handed over)
import json  # noqa: E402
import pathlib  # noqa: E402

# Where fetch_model.py keeps the packages it got.
CACHE = pathlib.Path(__file__).resolve().parents[1] / f"build/models/cache/python{sys.version_info.major}.{sys.version_info.minor}"


class Trouble(Exception):
    """One sentence: what, why, what to do."""


def load(folder):
    sys.path.append(str(CACHE))
    try:
        import tokenizers
    except ImportError:
        raise Trouble(f"the package tokenizers is not installed for {sys.executable}; pip install tokenizers (a virtual environment will do)") from None
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise Trouble(f"there is no {path}; give the folder of a model that has one (for tokenizer.model, pikv itself reads text)")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:   # the package throws nothing narrower
        raise Trouble(f"{path} cannot be read ({str(error).splitlines()[0]}); copy it again") from None


def parsed(line, where):
    try:
        value = json.loads(line)
    except ValueError as error:
        raise Trouble(f"{where} is not JSON ({error}); correct it") from None
    if not isinstance(value, dict):
        raise Trouble(f'{where} is not a JSON object; write {{"prompt": "..."}}')
    return value


def lines_of(path, whole=False):
    """(text of a line, how to name it)"""
    name = "stdin" if path is None else str(path)
    try:
        text = (sys.stdin.buffer.read() if path is None else path.read_bytes()).decode("utf-8")
    except UnicodeDecodeError:
        raise Trouble(f"{name} is not UTF-8 text; convert it") from None
    if whole:
        return [(text, name)]
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [(line.removesuffix("\r"), f"line {number} of {name}") for number, line in enumerate(lines, 1)]


def encoded(tokenizer, lines, is_json):
    for line, where in lines:
        request = parsed(line, where) if is_json else {"prompt": line}
        if "prompt" in request and "stop" in request:
            raise Trouble(f'{where} has "stop" strings, which pikv cannot look for without the tokenizer; leave them out')
        for key in ("prompt", "context", "question", "answer"):
            if key not in request:
                continue
            if f"{key}_ids" in request or not isinstance(request[key], str):
                raise Trouble(f'{where} needs one of "{key}", a string, and "{key}_ids"; correct it')
            begins = key in ("prompt", "context")   # what follows gets no token of a beginning
            ids = tokenizer.encode(request.pop(key), add_special_tokens=begins).ids
            if not ids:
                raise Trouble(f"{where} becomes no token; give some text")
            request[f"{key}_ids"] = ids
        yield request


def decoded(tokenizer, lines):
    for line, where in lines:
        result = parsed(line, where)
        tokens = result.get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int and 0 <= token < 1 << 31 for token in tokens):
            raise Trouble(f'{where} has no "tokens" that are a list of token ids; give what --output of pikv generate wrote')
        yield result | {"text": tokenizer.decode(tokens, skip_special_tokens=True)}


def main():
    parser = argparse.ArgumentParser(description="Text to token ids and back, for models with a tokenizer.json.")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--decode", action="store_true", help='fills in "text" of the lines that --output of pikv generate wrote')
    how.add_argument("--whole", action="store_true", help="the text is one prompt, newlines and all")
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL_DIR")
    parser.add_argument("file", type=pathlib.Path, nargs="?", metavar="FILE", help="default: stdin")
    given = parser.parse_args()
    try:
        tokenizer = load(given.model)
        lines = lines_of(given.file, given.whole)
        is_json = not given.whole and ((given.file is not None and given.file.suffix == ".jsonl") or (bool(lines) and lines[0][0].startswith("{")))
        made = decoded(tokenizer, lines) if given.decode else encoded(tokenizer, lines, is_json)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in made)
        sys.stdout.buffer.write(text.encode())
        return 0
    except (Trouble, OSError) as trouble:
        print(f"tokenize.py: error: {trouble}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
