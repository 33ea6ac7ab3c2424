#!/usr/bin/env python3
"""Question: how many more instructions does a step take with --trace? (At most 1 % more is what the project asks for.)

Run: python3 perf/trace_cost.py build/pikv [--ranks 1 2] [--batch 8] [--steps 256] [--first 64] [--counter perf|callgrind] [--trace-events N]
pikv generate decodes the embedded model, greedily, `batch` sequences a rank, one thread a rank, once with a trace (page events included) and once
without. Instructions are counted, not timed: by `perf stat` (user space) where the machine has the counter, else by valgrind's callgrind, under which
pikv uses AVX2 at most. Each is counted for runs of `first` and of `first + steps` steps, and what is compared is the difference over `steps`, so start,
prompt, and making and closing the file are left out; `steps` is a multiple of 64, so every batch of rows that those steps fill is written in them.
Several ranks are ranks inside one process, where no rank spins while it waits.
"""
import argparse
import json
import pathlib
import re
import subprocess
import tempfile

BATCH_STEPS = 64


def perf_counts():
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and re.match(r"\d+,", done.stderr) is not None


def instructions(counter, command, folder):
    tool = {"perf": ["perf", "stat", "-x,", "-e", "instructions:u"],
            "callgrind": ["valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null"]}[counter]
    done = subprocess.run([*tool, *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    found = re.search(r"(?m)^(\d+),,instructions" if counter == "perf" else r"Collected : (\d+)", done.stderr)
    return int(found[1])


def per_step(given, ranks, counter, folder, more):
    counts = []
    for steps in (given.first, given.first + given.steps):
        prompts = folder / "in.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": f"Story number {i}: once upon a time", "max_new_tokens": steps}) + "\n" for i in range(given.batch * ranks)))
        command = [given.pikv, "generate", "--prompts", "in.jsonl", "--output", "out.jsonl", "--batch", given.batch, "--threads", 1, "--log-level", "error", *more]
        command += ["--in-process", ranks] if ranks > 1 else []
        counts.append(instructions(counter, [str(word) for word in command], folder))
    return (counts[1] - counts[0]) / given.steps


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pikv", type=pathlib.Path)
    options.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--first", type=int, default=BATCH_STEPS)
    options.add_argument("--steps", type=int, default=4 * BATCH_STEPS)
    options.add_argument("--counter", choices=["perf", "callgrind"])
    options.add_argument("--trace-events", type=int)
    given = options.parse_args()
    if given.steps <= 0 or given.steps % BATCH_STEPS:
        options.error(f"--steps {given.steps} is no multiple of {BATCH_STEPS}")
    given.pikv = given.pikv.resolve()
    counter = given.counter or ("perf" if perf_counts() else "callgrind")
    tracing = ["--trace", "run.h5"] + (["--trace-events", given.trace_events] if given.trace_events is not None else [])
    print(f"# counted by {counter}, {given.steps} steps of {given.batch} sequences a rank")
    print(f"{'ranks':>5}{'instructions a step':>22}{'with a trace':>16}{'ratio':>9}", flush=True)
    for ranks in given.ranks:
        with tempfile.TemporaryDirectory() as holder:
            without, traced = (per_step(given, ranks, counter, pathlib.Path(holder), more) for more in ([], tracing))
        print(f"{ranks:>5}{without:>22,.0f}{traced:>16,.0f}{traced / without:>9.4f}", flush=True)


if __name__ == "__main__":
    main()
