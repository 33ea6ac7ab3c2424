"""jobs/plots.py on traces of real jobs: every picture is there, of 1200 x 675 pixels and not blank; damaged traces are refused in one
sentence.  Run: plots_test.py build/pikv   (needs h5py and matplotlib)"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy
from matplotlib import pyplot

import traces

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
PLOTS = pathlib.Path(__file__).resolve().parents[2] / "jobs/plots.py"
ALL = {"time_by_stage", "time_over_steps", "stragglers", "load_variation", "memory", "memory_by_rank", "traffic_by_purpose", "traffic_by_locality",
       "pages_by_owner", "page_reads", "page_events", "latency", "integrity"}


class Plots(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def plots(self, *args):
        return subprocess.run([sys.executable, PLOTS, *args], capture_output=True, text=True, cwd=self.folder, check=False)

    def check(self, trace, not_drawn):
        out = self.folder / "new" / "folder"
        done = self.plots(trace, out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(set(re.findall(r"(?m)^(\w+)\.png: not drawn, \w", done.stdout)), not_drawn)
        pictures = {path.stem: path for path in out.iterdir()}
        self.assertEqual(set(pictures), ALL - not_drawn)
        for name, path in pictures.items():
            picture = pyplot.imread(path)
            self.assertEqual(picture.shape[:2], (675, 1200), name)
            coloured = numpy.ptp(picture[..., :3], axis=2) > 0.2   # what is neither white, black nor grey: the data
            self.assertGreater(coloured.mean(), 0.004, f"{name} shows no data")

    def test_of_ranks_under_mpi(self):
        self.check(traces.make(PIKV, self.folder, "t.h5", ranks=3), set())

    def test_of_one_rank(self):
        self.check(traces.make(PIKV, self.folder, "t.h5"), {"stragglers", "load_variation", "pages_by_owner", "traffic_by_purpose"})

    def test_of_many_ranks_in_one_process(self):
        self.check(traces.make(PIKV, self.folder, "t.h5", "--in-process", "16"), {"latency"})

    def test_of_a_job_that_was_killed(self):
        self.check(traces.make_killed(PIKV, self.folder, "t.h5"), {"stragglers", "load_variation", "pages_by_owner", "traffic_by_purpose", "latency"})

    def test_what_is_no_trace_is_told_in_one_sentence(self):
        whole = traces.make(PIKV, self.folder, "t.h5").read_bytes()
        (self.folder / "cut.h5").write_bytes(whole[:len(whole) // 2])
        (self.folder / "empty.h5").write_bytes(b"")
        (self.folder / "text.h5").write_text("step,rank\n")
        (self.folder / "lacking.h5").write_bytes(whole)
        with h5py.File(self.folder / "lacking.h5", "r+") as trace:
            del trace["steps"]
        for name in ("cut.h5", "empty.h5", "text.h5", "lacking.h5", "none.h5", "."):
            done = self.plots(name, "out")
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertRegex(done.stderr, rf"^plots\.py: error: {re.escape(name)} cannot be read as a trace \(.+\); give a file")
            self.assertFalse((self.folder / "out").exists())
        self.assertIn("plots.py TRACE OUTDIR", self.plots("t.h5").stderr)


if __name__ == "__main__":
    unittest.main()
