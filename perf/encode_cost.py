#!/usr/bin/env python3
"""Question: which share of a prompt's instructions goes into encoding its pages? (10 % is what the project allows codecs without search.)

Run: python3 perf/encode_cost.py build/pikv [--calibration tiny.h5] [--context 1024] [--only CODEC...]
pikv generate reads a prompt with the embedded model and generates one token, under callgrind, once per codec. What is counted: everything inside Home::encode (maps, codes, the errors
stored with the page), as a share of the instructions of all steps. Codecs with a basis are measured if a calibration of the embedded model is given.
"""
import argparse
import pathlib
import tempfile

from profile_steps import decode, inclusive_costs

PLAIN = ("bf16", "int8", "int4", "int3", "rotate+int3", "fp8")
MAPPED = ("mixed:3.5/rotate+mixed:3.5", "svd:32", "lora_plus:32", "prune:40", "svd:32+int8", "lora_plus:48+int4")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pikv", type=pathlib.Path)
    options.add_argument("--calibration", type=pathlib.Path)
    options.add_argument("--context", type=int, default=1024)
    options.add_argument("--only", nargs="+", default=[])
    given = options.parse_args()
    print(f"{'codec':<20}{'share of instructions':>24}")
    for codec in PLAIN + (MAPPED if given.calibration else ()):
        if given.only and codec not in given.only:
            continue
        more = ["--codec", codec] + (["--kv-dtype", "f32"] if codec == "bf16" else [])
        if codec in MAPPED:
            more += ["--calibration", given.calibration.resolve()]
        with tempfile.TemporaryDirectory() as folder:
            costs = inclusive_costs(decode(given.pikv.resolve(), given.context, 1, 32) + more, ("Home", "Engine"), pathlib.Path(folder))
        print(f"{codec:<20}{100 * costs.get('Home::encode', 0) / costs['Engine::run']:>22.2f} %", flush=True)


if __name__ == "__main__":
    main()
