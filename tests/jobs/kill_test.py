"""kill -9 at random moments of a job that saves itself: whatever moment it was, the last complete checkpoint loads, and in the end the
tokens are those of the uninterrupted job. `kill_test.py PIKV [KILLS] [SEED]`; half of the jobs save at every step, so that many a kill
falls into a checkpoint."""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

PIKV = pathlib.Path(sys.argv[1]).resolve()
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 6
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
NEW_TOKENS = 160
DEADLINE_S = 120
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PIKV_")} | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def command(ranks, *args):
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, str(PIKV), "generate", "--log-level", "warning", *map(str, args)]


def tokens_of(output):
    return {row["id"]: (row["tokens"], row["finish"]) for row in map(json.loads, output.read_text().splitlines())}


def processes_of(job):
    """The ranks, which mpirun started, or the one that has no mpirun."""
    children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children")
    found = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    return found or [job.pid]


def run_until_killed(arguments, moment, chance):
    """True if it was killed, False if it had ended before."""
    job = subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = job.communicate(timeout=moment)
        if job.returncode != 0:
            sys.exit(f"the job ended with {job.returncode} without being killed: {errors}")
        return False
    except subprocess.TimeoutExpired:
        ranks = processes_of(job)
        for pid in ranks if chance.random() < 0.3 else [chance.choice(ranks)]:
            os.kill(pid, signal.SIGKILL)
        job.communicate(timeout=DEADLINE_S)
        return True


def survive(folder, whole, ordinary_s, kills, chance):
    """One job, killed again and again until it comes to its end; how often it was killed, and went on from a checkpoint."""
    saved, output = folder / "saved", folder / "output.jsonl"
    every = chance.choice([1, 7])
    killed = resumed = 0
    while True:
        ranks = chance.choice([1, 1, 2, 3])
        from_checkpoint = any(saved.glob("step-*.h5"))
        origin = ["--resume", saved] if from_checkpoint else ["--max-new-tokens", NEW_TOKENS, "--checkpoint", saved, "--output", output]
        arguments = command(ranks, *origin, "--checkpoint-every", every)
        resumed += from_checkpoint
        if killed < kills and run_until_killed(arguments, chance.uniform(0.2, 1.5) * ordinary_s, chance):
            killed += 1
            if not output.exists():   # else it was done, and only had to end
                continue
        elif killed >= kills:
            subprocess.run(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True, timeout=4 * DEADLINE_S)
        if tokens_of(output) != whole:
            sys.exit(f"other tokens after {killed} kills (seed {SEED})")
        return killed, resumed


def main():
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        start = time.monotonic()
        subprocess.run(command(1, "--max-new-tokens", NEW_TOKENS, "--output", folder / "whole.jsonl"), env=ENVIRONMENT, check=True, timeout=DEADLINE_S)
        ordinary_s = time.monotonic() - start
        whole = tokens_of(folder / "whole.jsonl")
        killed = resumed = jobs = 0
        while killed < KILLS:
            jobs += 1
            here = folder / str(jobs)
            here.mkdir()
            more_killed, more_resumed = survive(here, whole, ordinary_s, min(10, KILLS - killed), chance)
            killed += more_killed
            resumed += more_resumed
        print(f"{killed} kills in {jobs} jobs, {resumed} starts from a checkpoint: always the tokens of the uninterrupted job")
        if resumed == 0:
            sys.exit("no start was from a checkpoint; nothing was tested")


main()
