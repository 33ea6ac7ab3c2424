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
import re
import subprocess
import tempfile

DECISIONS = ("choose", "choose_more", "observe", "sealed", "after_step", "chooses", "watches")


def listed(pikv, what):
    return [line.split("\t")[0] for line in subprocess.run([pikv, "list", what], capture_output=True, text=True, check=True).stdout.splitlines()]


def inclusive(pikv, more, given, folder):
    text = "Once upon a time there was a little girl. " * (given.context // 42 + 1)
    command = [pikv, "generate", "--prompt", text[: given.context], "--max-new-tokens", given.new, "--page-tokens", given.page_tokens, "--threads", 1, "--store", "local",
               "--log-level", "error", "--pin-window", 16, *more]
    done = subprocess.run(["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/profile.%p", *map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    profile = max(folder.glob("profile.*"), key=lambda file: file.stat().st_size)   # pikv starts itself a second time
    table = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--tree=none", profile], capture_output=True, text=True, check=True).stdout
    costs = {}
    for line in table.splitlines():
        found = re.match(r"\s*([\d,]+) .*?(?:runtime::|:)((?:CacheManager|Engine)::\w+)\(", line)
        if found:
            costs[found[2]] = max(costs.get(found[2], 0), int(found[1].replace(",", "")))
    steps = costs.get("Engine::run")
    if not steps:
        raise SystemExit("the profile does not name Engine::run; build with symbols")
    return sum(costs.get(f"CacheManager::{name}", 0) for name in DECISIONS if name not in ("chooses",)), steps


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
