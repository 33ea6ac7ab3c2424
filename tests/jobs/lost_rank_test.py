#!/usr/bin/env python3
"""A rank that stands still (SIGSTOP) or is killed ends the job: non-zero, within the deadline, one sentence that names it, no process and no
file under a final name left behind. Usage: lost_rank_test.py PIKV"""
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE = 3
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


def ranks_of(folder):
    """{rank: process} of the job whose output lies in `folder`."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            values = dict(word.split(b"=", 1) for word in (process / "environ").read_bytes().split(b"\0") if b"=" in word)
        except OSError:
            continue
        if str(folder).encode() in words and b"OMPI_COMM_WORLD_RANK" in values:
            found[int(values[b"OMPI_COMM_WORLD_RANK"])] = int(process.name)
    return found


def transports(pikv):
    names = subprocess.run([pikv, "list", "transports"], check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in (line.split("\t")[0] for line in names) if name != "auto"]


def lose_a_rank(pikv, transport, how, folder):
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": "Once upon a time", "max_new_tokens": 8000}) + "\n" for _ in range(6)))
    output, trace, log = folder / "output.jsonl", folder / "trace.h5", folder / "log"
    # A rank that stands still inside a collective call of HDF5 cannot be named: no trace where the name is asked for.
    with_trace = ["--trace", str(trace)] if how == signal.SIGKILL else []
    with log.open("w") as errors:
        job = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "3", pikv, "generate", "--transport", transport, "--prompts",
                                str(prompts), "--deadline", f"{DEADLINE}s", "--output", str(output), *with_trace], stdout=subprocess.DEVNULL, stderr=errors, env=ENVIRONMENT)
    while job.poll() is None and "KV memory" not in log.read_text():   # said when set-up is nearly over
        time.sleep(0.05)
    time.sleep(3)   # into the steps
    os.kill(ranks_of(folder)[2], how)
    begin = time.monotonic()
    job.wait(timeout=120)
    seconds = time.monotonic() - begin
    errors = log.read_text()
    sentences = [line for line in errors.splitlines() if line.startswith("pikv: error: ")]
    time.sleep(0.5)
    problems = []
    if job.returncode == 0:
        problems.append("the job ended with 0")
    if how == signal.SIGSTOP and (len(sentences) != 1 or "rank 2" not in sentences[0]):
        problems.append(f"not one sentence that names rank 2: {sentences}")
    if seconds > 10 * DEADLINE:
        problems.append(f"it took {seconds:.0f} s")
    if output.exists() or trace.exists():
        problems.append("a file stands under its final name")
    left = ranks_of(folder)
    if left:
        problems.append(f"processes are left: {left}")
        for process in left.values():
            os.kill(process, signal.SIGKILL)
    return problems


def main():
    failed = False
    for transport, how in itertools.product(transports(sys.argv[1]), (signal.SIGSTOP, signal.SIGKILL)):
        with tempfile.TemporaryDirectory() as folder:
            for problem in lose_a_rank(sys.argv[1], transport, how, pathlib.Path(folder)):
                print(f"{transport}, {how.name}: {problem}")
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
