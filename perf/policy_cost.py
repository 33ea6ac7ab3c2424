#!/usr/bin/env python3
"""Question: which share of a step's instructions goes into deciding what is kept and what is read? (5 % is what the project allows.)

Run: python3 perf/policy_cost.py build/pikv [--context 512] [--new 64] [--page-tokens 16] [--only NAME...]
pikv generate decodes the embedded model, one thread, under valgrind's callgrind (AVX2 at most), once per scheduler that decides and once per router. What
is counted: everything inside runtime/cache_manager.cpp as the store and the engine call it (observing masses, summaries of sealed pages, choosing what is
read, utilities, choosing what is evicted), as a share of the instructions of all steps, prompt included. What the kernels do more, because masses are
wanted, is attention's and not counted.
"""
import argparse
import pathlib
import subprocess
import tempfile

from profile_steps import decode, inclusive_costs

DECISIONS = ("choose", "choose_more", "observe", "sealed", "encoded", "after_step", "chooses", "watches")


def listed(pikv, what):
    return [line.split("\t")[0] for line in subprocess.run([pikv, "list", what], capture_output=True, text=True, check=True).stdout.splitlines()]


def inclusive(pikv, more, given, folder):
    costs = inclusive_costs(decode(pikv, given.context, given.new, given.page_tokens) + ["--pin-window", 16, *more], ("CacheManager", "Engine"), folder)
    return sum(costs.get(f"CacheManager::{name}", 0) for name in DECISIONS if name not in ("chooses",)), costs["Engine::run"]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pikv", type=pathlib.Path)
    options.add_argument("--context", type=int, default=512)
    options.add_argument("--new", type=int, default=64)
    options.add_argument("--page-tokens", type=int, default=16)
    options.add_argument("--only", nargs="+", default=[])
    given = options.parse_args()
    pikv = given.pikv.resolve()
    ways = [(name, ["--scheduler", name, "--keep", 0.5]) for name in listed(pikv, "schedulers") if name not in ("none", "flexgen")]
    ways += [(name, ["--attention", "routed", "--router", name, "--kv-experts", 16, "--experts", 4]) for name in listed(pikv, "routers")]
    ways += [("certified", ["--attention", "certified", "--max-error", 0.1])]
    print(f"{'policy':<16}{'share of instructions':>24}")
    for name, more in ways:
        if given.only and name not in given.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            decisions, steps = inclusive(pikv, more, given, pathlib.Path(folder))
        print(f"{name:<16}{100 * decisions / steps:>22.2f} %", flush=True)


if __name__ == "__main__":
    main()
