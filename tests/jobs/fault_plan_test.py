"""`pikv generate --fault-plan` on real ranks, over each transport of this build: puts and gets that go wrong change no token and are
counted; a message that goes wrong ends the job with one sentence.  Run: fault_plan_test.py build/pikv   (needs h5py)"""
import json
import pathlib
import sys
import tempfile
import unittest

import h5py

from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
RANKS = 3
DEADLINE_S = 4
KINDS = ["drop", "delay", "duplicate", "reorder", "flip", "truncate", "stall"]
STORM = {"drop": 0.02, "flip": 0.02, "truncate": 0.02, "delay": 0.03, "duplicate": 0.03, "reorder": 0.03, "stall": 0.003, "delay_us": 200, "stall_ms": 2}
PROMPTS = "".join(json.dumps({"prompt": "Once upon a time " * (4 + 5 * i), "max_new_tokens": 40}) + "\n" for i in range(6))


def transports():
    return [line.split("\t")[0] for line in run(PIKV, ["list", "transports"]).stdout.splitlines() if not line.startswith("auto\t")]


class FaultPlan(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        (self.folder / "in.jsonl").write_text(PROMPTS)

    def generate(self, plan, *options, ranks=RANKS):
        for old in ("out.jsonl", "report.json", "trace.h5"):
            (self.folder / old).unlink(missing_ok=True)
        (self.folder / "plan.json").write_text(json.dumps(plan))
        with_plan = ["--fault-plan", "plan.json"] if plan else []
        return run(PIKV, ["generate", "--prompts", "in.jsonl", "--page-tokens", "8", "--prefill-chunk", "32", "--kv-dtype", "f32", "--deadline",
                          f"{DEADLINE_S}s", "--output", "out.jsonl", "--report", "report.json", "--trace", "trace.h5", *with_plan, *options],
                   ranks, self.folder)

    def tokens(self):
        return [json.loads(line)["tokens"] for line in (self.folder / "out.jsonl").read_text().splitlines()]

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def check_counted(self):
        report = self.report()
        self.assertEqual(list(report["faults"]), KINDS)
        self.assertTrue(all(report["faults"][kind] > 0 for kind in KINDS), report["faults"])
        for count in ("corrupt", "scrubbed"):
            self.assertGreater(report["integrity"][count], 0)
        self.assertGreaterEqual(report["integrity"]["checked"], report["integrity"]["corrupt"] + report["integrity"]["scrubbed"])
        with h5py.File(self.folder / "trace.h5", "r") as trace:
            rows, steps = trace["faults"][:], trace["steps"][:]
        self.assertEqual({kind: int(rows[kind].sum()) for kind in KINDS}, report["faults"])
        for count in ("checked", "scrubbed", "corrupt", "stale", "timeout", "refetched", "rewinds"):
            self.assertEqual(int(steps[count].sum()), report["integrity"][count])

    def test_puts_and_gets_that_go_wrong_change_no_token_and_are_counted(self):
        for transport in transports():
            for move in ("query", "page"):
                with self.subTest(transport=transport, move=move):
                    ways = ["--transport", transport, "--move", move]
                    right = self.generate(None, *ways)
                    self.assertEqual(right.code, 0, right.stderr)
                    self.assertNotIn("faults", self.report())
                    self.assertEqual(self.report()["integrity"]["corrupt"], 0)
                    tokens = self.tokens()
                    wrong = self.generate(STORM, *ways)
                    self.assertEqual(wrong.code, 0, wrong.stderr)
                    self.assertEqual(self.tokens(), tokens)
                    self.check_counted()

    def test_a_message_that_goes_wrong_ends_the_job_with_one_sentence(self):
        for transport in transports():
            for kind, says in (("drop", "did not answer within"), ("flip", "arrived damaged"), ("truncate", "arrived damaged")):
                with self.subTest(transport=transport, kind=kind):
                    done = self.generate({kind: 0.02, "on": ["message"], "steps": [3, 1000]}, "--transport", transport)
                    self.assertEqual(len(done.errors()), 1, done.stderr)
                    self.assertIn(says, done.errors()[0])
                    self.assertEqual(done.code, 1, done.stderr)
                    self.assertLess(done.seconds, 10 * DEADLINE_S)
                    self.assertFalse((self.folder / "out.jsonl").exists() or (self.folder / "trace.h5").exists())

    def test_a_seed_replays_in_process(self):
        def faults(seed):
            done = self.generate({**STORM, "seed": seed}, "--in-process", str(RANKS), ranks=1)
            self.assertEqual(done.code, 0, done.stderr)
            return self.report()["faults"], self.tokens()
        first = faults(7)
        self.assertEqual(faults(7), first)
        other = faults(8)
        self.assertNotEqual(other[0], first[0])
        self.assertEqual(other[1], first[1])


if __name__ == "__main__":
    unittest.main()
