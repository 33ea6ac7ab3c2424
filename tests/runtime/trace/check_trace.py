"""check_trace.py WRITER KIND RANKS STEPS FILE [--kill | --full-disk | --example DOC] -- LAUNCHER...

Runs `LAUNCHER... WRITER KIND RANKS STEPS FILE` and reads the trace with h5py: every field of every row is computed again here, from
the list of names in docs/trace.md's order. --kill: the writer is killed after its last batch, and FILE.part is read. --full-disk: no
file may pass 2 MiB, so the writer ends with 1 and there is no FILE. --example: also
runs the python block of DOC on the trace.
"""
import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys

import h5py
import numpy

STAGES = "attention ffn routing codec scheduling communication other".split()
PURPOSES = "push fetch query partial dispatch combine control".split()
NUMBERED = (
    [f"stage_{stage}_s" for stage in STAGES]
    + ["rows_decode", "rows_prefill", "sequences"]
    + [f"{purpose}_bytes" for purpose in PURPOSES]
    + [f"{purpose}_messages" for purpose in PURPOSES]
    + [f"to_{where}_bytes" for where in ("rank", "node", "remote")]
    + "exchanges pages_sealed pages_pushed pages_acknowledged pages_fetched pages_read replica_hits tier_reads".split()
    + "checked scrubbed corrupt stale lost timeout refetched rewinds events_dropped".split()
    + [f"memory_{part}_bytes" for part in "payload header summaries slack replicas free".split()]
    + ["tier_host_bytes", "tier_file_bytes", "pages_home", "pages_owned", "tokens_resident"]
)

EVENTS = "seal place push index acknowledge fetch hit miss stale evict migrate corrupt rewind release restore demote promote recode".split()


def mix(x):
    """splitmix64, as methods.md 0.2 has it."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def check_run(trace, ranks):
    assert trace.attrs["format"] == 4 and trace.attrs["ranks"] == ranks and trace.attrs["hosts"] == 1
    assert trace.attrs["version"] == "0.1.0" and trace.attrs["started"] == "2025-01-31T12:00:00Z"
    assert trace.attrs["command_line"] == "pikv generate --prompt " + "y" * 100_000
    assert trace["libraries"].attrs["hdf5"] == "1.10"
    assert trace["options"].attrs["page-tokens"] == 16 and trace["options"].attrs["given"] == "page-tokens trace"
    assert trace["model"].attrs["layers"] == 3 and trace["model"].attrs["parameters"] == 12345
    rows = trace["ranks"][:]
    assert rows["rank"].tolist() == list(range(ranks)) and rows["kv_capacity_bytes"].tolist() == [4096 * (r + 1) for r in range(ranks)]
    assert all(len(name) > 0 for name in rows["host_name"])


def check_requests(trace, ranks):
    rows = trace["requests"][:]
    homes = [0] if ranks == 1 else list(range(1, ranks))
    assert rows["home"].tolist() == homes and rows["index"].tolist() == [100 + home for home in homes]
    for row, home in zip(rows, homes):
        assert row["id"].decode() == ("größe-%d" % home + "x" * 80).encode()[:64].decode()
        assert row["finish"] == b"stop" and row["generated"] == 3 and row["prompt_tokens"] == 7 and row["rewinds"] == 2
        assert (row["stream_hi"], row["stream_lo"]) == (mix(100 + home), mix(2**64 - 1 - (100 + home)))
        assert (row["arrival_s"], row["first_token_s"], row["end_s"]) == (1.5, 2.5, 4)


def check_steps(trace, ranks, steps):
    rows = numpy.sort(trace["steps"][:], order=["rank", "step"])
    assert len(rows) == ranks * steps, f"{len(rows)} rows of steps"
    assert (rows["rank"] == numpy.repeat(numpy.arange(ranks), steps)).all()
    assert (rows["step"] == numpy.tile(numpy.arange(steps), ranks)).all()
    assert (rows["begin_s"] == 0.5 * rows["step"]).all() and (rows["end_s"] == rows["begin_s"] + 0.25).all()
    assert set(rows.dtype.names) == {"step", "rank", "begin_s", "end_s", *NUMBERED}
    for place, name in enumerate(NUMBERED):
        assert (rows[name] == 1000 * rows["rank"] + rows["step"] + place).all(), name


def check_pages(trace, ranks, steps):
    rows = trace["pages_by_owner"][:]
    assert len(rows) == steps // 64 * ranks * ranks
    assert (rows["step"] % 64 == 63).all() and (rows["pages"] == 10 * rows["owner"] + rows["home"]).all()


def check_faults(trace, ranks, steps):
    rows = trace["faults"][:]
    assert rows.dtype.names == ("step", "rank", "drop", "delay", "duplicate", "reorder", "flip", "truncate", "stall")
    assert sorted(set(rows["rank"])) == list(range(ranks)) and len(rows) == steps // 64 * ranks
    assert (rows["drop"] == 2).all() and (rows["stall"] == rows["step"]).all() and (rows["flip"] == 0).all()


def check_events(trace, ranks, steps):
    table = trace["events"]
    names = {number: name for name, number in h5py.check_enum_dtype(table.dtype["event"]).items()}
    assert [names[i] for i in range(len(names))] == EVENTS
    rows = numpy.sort(table[:], order=["rank", "step"])
    assert (rows["rank"] == numpy.repeat(numpy.arange(ranks), steps)).all() and (rows["step"] == numpy.tile(numpy.arange(steps), ranks)).all()
    assert (rows["event"] == rows["step"] % len(EVENTS)).all() and (rows["stream_lo"] == rows["rank"]).all()
    assert (rows["stream_hi"] == numpy.uint64(2**64 - 1) - rows["step"].astype("u8")).all()
    assert (rows["layer"] == 2).all() and (rows["block"] == rows["step"] // 2).all() and (rows["peer"] == rows["rank"] - 1).all()
    assert (rows["slot"] == -1).all() and (rows["generation"] == 7).all() and (rows["bytes"] == 4096).all()


def run_example(doc, file):
    (code,) = re.findall(r"```python\n(.*?)```", pathlib.Path(doc).read_text(), re.S)
    said = subprocess.run([sys.executable, "-c", code, file], check=True, capture_output=True, text=True).stdout
    print(said)
    assert "median time to first token 1.0 s" in said and "pushed" in said


def write_and_kill(command):
    with subprocess.Popen(command + ["wait"], stdout=subprocess.PIPE, text=True, start_new_session=True) as writer:
        assert writer.stdout.readline() == "written\n"
        os.killpg(writer.pid, signal.SIGKILL)


def write_to_full_disk(command):
    writer = subprocess.run(command + ["full"], capture_output=True, text=True)
    print(writer.stderr)
    assert writer.returncode == 1 and re.search(r"(?m)^could not", writer.stderr), writer.returncode


def main():
    split = sys.argv.index("--")
    options = argparse.ArgumentParser()
    for name in ("writer", "kind", "ranks", "steps", "file"):
        options.add_argument(name)
    options.add_argument("--kill", action="store_true")
    options.add_argument("--full-disk", action="store_true")
    options.add_argument("--example")
    given = options.parse_args(sys.argv[1:split])
    ranks, steps = int(given.ranks), int(given.steps)
    part = given.file + ".part"
    for old in (given.file, part):
        pathlib.Path(old).unlink(missing_ok=True)

    command = sys.argv[split + 1 :] + [given.writer, given.kind, given.ranks, given.steps, given.file]
    if given.full_disk:
        write_to_full_disk(command)
        assert not os.path.exists(given.file)
        return
    if given.kill:
        write_and_kill(command)
        assert not os.path.exists(given.file)
    else:
        subprocess.run(command, check=True)
        assert not os.path.exists(part)
    with h5py.File(part if given.kill else given.file, "r") as trace:
        check_run(trace, ranks)
        check_requests(trace, ranks)
        check_steps(trace, ranks, steps)
        check_pages(trace, ranks, steps)
        check_faults(trace, ranks, steps)
        check_events(trace, ranks, steps)
    if given.example:
        run_example(given.example, given.file)


main()
