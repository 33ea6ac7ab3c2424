"""Traces of real jobs for the tests of what reads them."""
import json
import subprocess
import time

from pikv_runs import run

PROMPTS = "".join(json.dumps({"id": f"r,{i}", "prompt": "Once upon a time " * (2 + 7 * i % 23), "max_new_tokens": 30 + 5 * i}) + "\n" for i in range(9))
SETTINGS = ["--prompts", "in.jsonl", "--page-tokens", "8", "--output", "out.jsonl"]


def make(pikv, folder, name, *options, ranks=1):
    """Decodes PROMPTS in `folder` and gives the path of the trace."""
    (folder / "in.jsonl").write_text(PROMPTS)
    done = run(pikv, ["generate", *SETTINGS, "--trace", name, *options], ranks, folder)
    assert done.code == 0, done.stderr
    return folder / name


def make_killed(pikv, folder, name):
    """The NAME.part of a job that was killed after some batches of steps were flushed."""
    (folder / "long.jsonl").write_text("".join(json.dumps({"prompt": "Once ", "max_new_tokens": 4000}) + "\n" for _ in range(4)))
    part = folder / f"{name}.part"
    job = subprocess.Popen([str(pikv), "generate", "--prompts", "long.jsonl", "--output", "long.out", "--trace", name, "--log-level", "error"], cwd=folder)
    deadline = time.monotonic() + 60
    while job.poll() is None and time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 200_000):
        time.sleep(0.01)
    assert job.poll() is None, "the job ended before it could be killed"
    job.kill()
    job.wait()
    return part
