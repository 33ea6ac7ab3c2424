"""A job that is asked to stop saves itself and ends with code 75 on every rank; another run goes on from there, elsewhere, and the output holds
every request whole.  Run: stop_test.py PIKV (with the python that has h5py)"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py

import pikv_runs

PIKV = pathlib.Path(sys.argv.pop()).resolve()
NEW_TOKENS = 2000
LONG = "".join(json.dumps({"prompt": "Once upon a time", "max_new_tokens": 8000}) + "\n" for _ in range(24))   # minutes of work on one rank


def tokens_in(path):
    return {row["id"]: (row["tokens"], row["text"], row["finish"]) for row in map(json.loads, path.read_text().splitlines())}


def rank_processes(folder):
    """By rank: processes of pikv whose checkpoint lies in this folder."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = dict(entry.split(b"=", 1) for entry in (process / "environ").read_bytes().split(b"\0") if b"=" in entry)
        except OSError:
            continue
        if words[0].decode() == str(PIKV) and str(folder / "saved").encode() in words:
            found[int(environment.get(b"OMPI_COMM_WORLD_RANK", b"0"))] = int(process.name)
    return found


class Stop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.saved, self.output = self.folder / "saved", self.folder / "output.jsonl"

    def generate(self, *args, ranks=1, **how):
        return pikv_runs.run(PIKV, ["generate", "--log-level", "warning", *args], ranks=ranks, cwd=self.folder, **how)

    def start(self, *args, ranks):
        """In the background, until it has saved itself once."""
        code = self.folder / "codes"
        code.mkdir(exist_ok=True)
        launcher = ["mpirun", "--oversubscribe", "-n", str(ranks)]
        roots = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        job = subprocess.Popen(
            [*launcher, "sh", "-c", pikv_runs.EACH_RANK, "sh", str(code), str(PIKV), "generate", *map(str, args)],
            env={name: value for name, value in os.environ.items() if not name.startswith("PIKV_")} | roots, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while not any(self.saved.glob("step-*.h5")):
            self.assertIsNone(job.poll(), "it ended before it had saved itself")
            self.assertLess(time.monotonic(), end, "it did not save itself")
            time.sleep(0.05)
        return job, code

    def check_all_ended_with_75(self, job, codes):
        _, errors = job.communicate(timeout=90)
        said = [path.read_text().strip() for path in codes.iterdir()]   # mpirun may end a rank's shell before it has written
        self.assertEqual((job.returncode, {int(code) for code in said if code}), (75, {75}), errors)
        self.assertFalse(self.output.exists(), "an output of a job that has not ended")
        self.assertEqual(list(self.folder.rglob("*.part")), [])
        return errors

    def whole(self):
        done = self.generate("--max-new-tokens", NEW_TOKENS, "--output", "whole.jsonl")
        self.assertEqual(done.code, 0, done.stderr)
        return tokens_in(self.folder / "whole.jsonl")

    def test_a_signal_to_any_rank(self):
        whole = self.whole()
        for which, name, ranks in ((0, signal.SIGTERM, 3), (2, signal.SIGUSR1, 3), (1, signal.SIGTERM, 2)):
            with self.subTest(rank=which, signal=name.name):
                for old in (*self.saved.glob("*"), *(self.folder / "codes").glob("*"), *self.folder.glob("output.jsonl")):
                    old.unlink()
                job, codes = self.start("--max-new-tokens", NEW_TOKENS, "--checkpoint", self.saved, "--checkpoint-every", 30, "--output", self.output,
                                        "--trace", self.folder / "first.h5", ranks=ranks)
                os.kill(rank_processes(self.folder)[which], name)
                errors = self.check_all_ended_with_75(job, codes)
                self.assertIn(f"stopped ({name.name} on rank {which}) after a complete checkpoint", errors)
                with h5py.File(self.folder / "first.h5") as trace:
                    self.assertEqual(trace.attrs["ended"], f"stopped: {name.name} on rank {which}")
                done = self.generate("--resume", self.saved, "--trace", "second.h5", ranks=4 - ranks)
                self.assertEqual(done.code, 0, done.stderr)
                self.assertEqual(tokens_in(self.output), whole)
                told = [pikv_runs.run(PIKV, ["analyze", name], cwd=self.folder) for name in ("first.h5", "second.h5")]
                self.assertEqual([each.code for each in told], [0, 0], told[1].stderr)
                self.assertIn(f"stopped: {name.name} on rank {which}", told[0].stdout)
                self.assertIn("saved/step-", told[1].stdout)
                with h5py.File(self.folder / "second.h5") as trace, h5py.File(self.folder / "first.h5") as before:
                    self.assertIn("saved/step-", trace.attrs["resumed_from"])
                    self.assertEqual(trace.attrs["ended"], "finished")
                    now, then = (steps[steps["rank"] == 0] for steps in (trace["steps"][:], before["steps"][:]))
                    self.assertGreater(now["step"].min(), then["step"].max())
                    self.assertGreater(now["begin_s"].min(), then["end_s"].max())   # one clock

    def test_its_time_limit(self):
        (self.folder / "long.jsonl").write_text(LONG)
        done = self.generate("--prompts", "long.jsonl", "--checkpoint", self.saved, "--checkpoint-every", 0, "--time-limit", "3s", "--time-margin", "1s")
        self.assertEqual((done.code, done.stdout), (75, ""), done.stderr)
        self.assertIn("stopped (time limit) after a complete checkpoint; go on with --resume", done.stderr)
        self.assertLess(done.seconds, 20)
        with h5py.File(next(self.saved.glob("step-*.h5"))) as checkpoint:
            self.assertEqual(checkpoint.attrs["reason"], "time limit")
            self.assertEqual(len(checkpoint["requests"]), LONG.count("\n"))

    def test_what_cannot_be_is_said_before_work_starts(self):
        done = self.generate("--max-new-tokens", 60, "--checkpoint", self.saved, "--checkpoint-every", 25)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(len(list(self.saved.iterdir())), 2)
        (self.folder / "file").write_text("")
        (self.folder / "empty").mkdir()
        cases = (
            (2, "holds checkpoints of another job", "--checkpoint", self.saved),
            (2, "is no folder and cannot be made", "--checkpoint", self.folder / "file"),
            (2, "--temperature=0.5 would change the result", "--resume", self.saved, "--temperature", "0.5"),
            (2, "--prompt=other would change the result", "--resume", self.saved, "--prompt", "other"),
            (2, "--page-tokens=64 would change the result", "--resume", self.saved, "--page-tokens", 64),
            (2, "--logits=x.h5 has no effect with --checkpoint or --resume", "--resume", self.saved, "--logits", "x.h5"),
            (2, "--time-limit=90s has no effect where nothing is saved", "--time-limit", "90s"),
            (2, "--checkpoint-every=5 has no effect where nothing is saved", "--checkpoint-every", 5),
            (1, "empty holds no complete checkpoint", "--resume", "empty"),
            (1, "nowhere does not exist", "--resume", "nowhere"),
        )
        for ranks in (1, 3):
            for code, sentence, *args in cases:
                with self.subTest(ranks=ranks, args=args):
                    done = self.generate(*args, ranks=ranks)
                    self.assertEqual(set(done.codes.values()), {code}, done.stderr)
                    self.assertEqual(len(done.errors()), 1, done.stderr)
                    self.assertIn(sentence, done.errors()[0])
        self.assertEqual(len(list(self.saved.iterdir())), 2)

    def test_without_a_checkpoint_folder_a_signal_ends_it_as_ever(self):
        (self.folder / "long.jsonl").write_text(LONG)
        job = subprocess.Popen([PIKV, "generate", "--prompts", self.folder / "long.jsonl"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        job.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(timeout=30), -signal.SIGTERM)


unittest.main()
