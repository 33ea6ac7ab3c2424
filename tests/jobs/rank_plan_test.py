"""Ranks that stop and begin to store pages while a job decodes: the tokens stay, and `pikv analyze --replan` makes the coordinator's plans again
from the trace, real or damaged.  Run: rank_plan_test.py build/pikv   (needs h5py)"""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

import h5py

import traces
from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
PLAN = [{"step": 12, "action": "drain", "rank": 1}, {"step": 30, "action": "join", "rank": 1}, {"step": 40, "action": "drain", "rank": 2}]
SETTINGS = ["--rank-plan", "plan.json", "--rebalance-steps", "16", "--report", "report.json", "--migration-bytes", "64KiB"]


class RankPlan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        (cls.folder / "plan.json").write_text(json.dumps(PLAN))
        cls.quiet = traces.make(PIKV, cls.folder, "quiet.h5", ranks=3)
        cls.tokens = cls.tokens_of_last_run()
        cls.trace = traces.make(PIKV, cls.folder, "moved.h5", *SETTINGS, ranks=3)
        cls.tokens_after_moves = cls.tokens_of_last_run()
        cls.report = json.loads((cls.folder / "report.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    @classmethod
    def tokens_of_last_run(cls):
        return [json.loads(line)["tokens"] for line in (cls.folder / "out.jsonl").read_text().splitlines()]

    def replan(self, trace):
        return run(PIKV, ["analyze", trace, "--replan"], cwd=self.folder)

    def refused(self, change, code):
        """The one sentence about a copy of the trace in which `change` was made, given with exit code `code`."""
        copy = self.folder / "copy.h5"
        shutil.copy(self.trace, copy)
        with h5py.File(copy, "r+") as trace:
            change(trace)
        done = self.replan(copy)
        self.assertEqual(done.code, code, done.stdout + done.stderr)
        self.assertEqual(len(done.errors()), 1, done.stderr)
        return done.errors()[0]

    def test_tokens_stay_and_pages_move(self):
        self.assertEqual(self.tokens_after_moves, self.tokens)
        moved = self.report["migration"]
        self.assertGreater(moved["pages_moved"], 50)
        self.assertGreater(moved["bytes"], 50 * 4096)

    def test_tokens_stay_under_faults_too(self):
        (self.folder / "faults.json").write_text(json.dumps({"seed": 3, "drop": 0.02, "flip": 0.02, "truncate": 0.02, "duplicate": 0.02, "reorder": 0.02}))
        for move in ("query", "page"):
            traces.make(PIKV, self.folder, "faults.h5", *SETTINGS, "--fault-plan", "faults.json", "--move", move, "--skew", "1", ranks=3)
            self.assertEqual(self.tokens_of_last_run(), self.tokens)
            report = json.loads((self.folder / "report.json").read_text())
            self.assertGreater(report["integrity"]["corrupt"], 10)
            self.assertGreater(report["migration"]["pages_moved"], 50)

    def test_who_stores_what(self):
        with h5py.File(self.trace) as trace:
            plans, loads = trace["plans"][:], trace["plan_loads"][:]
        changes = plans[plans["reason"] == 1]
        self.assertEqual(changes["step"].tolist(), [step["step"] for step in PLAN])
        self.assertEqual(changes["first_step"].tolist(), [step["step"] + 2 for step in PLAN])
        weights = [loads["weight"][loads["step"] == step].tolist() for step in changes["step"]]
        self.assertEqual(weights, [[1, 0, 1], [1, 1, 1], [1, 1, 0]])

    def test_plans_come_out_the_same(self):
        done = self.replan(self.trace)
        self.assertEqual((done.code, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertGreaterEqual(len(lines), 4)
        self.assertTrue(all(line.endswith(": the same") for line in lines), done.stdout)

    def test_a_changed_load_makes_another_plan(self):
        def change(trace):
            loads = trace["plan_loads"][:]
            plans = trace["plans"][:]
            last = plans["step"][plans["reason"] == 0][-1]
            loads["pages"][(loads["step"] == last) & (loads["rank"] == 0)] += 1000
            trace["plan_loads"][...] = loads
        self.assertIn("come out otherwise", self.refused(change, 3))

    def test_a_trace_without_plans(self):
        done = self.replan(self.quiet)
        self.assertEqual(done.code, 1)
        self.assertIn("has no plans", done.errors()[0])

    def test_rows_that_no_coordinator_writes(self):
        def rank_99(trace):
            loads = trace["plan_loads"][:]
            loads["rank"][0] = 99
            trace["plan_loads"][...] = loads

        def no_such_step(trace):
            loads = trace["plan_loads"][:]
            loads["step"][0] = 7
            trace["plan_loads"][...] = loads

        def no_loads(trace):
            del trace["plan_loads"]
        self.assertIn("loads of every rank", self.refused(rank_99, 1))
        self.assertIn("in which nothing was planned", self.refused(no_such_step, 1))
        self.assertIn("/plan_loads", self.refused(no_loads, 1))


if __name__ == "__main__":
    unittest.main()
