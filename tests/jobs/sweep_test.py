"""pikv sweep from outside: it says what pikv evaluate says of each setting, goes on where it was killed, and refuses bad grids; its plots.
Run: sweep_test.py build/pikv   (needs h5py and matplotlib)"""
import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy
from matplotlib import pyplot

from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
PLOTS = pathlib.Path(__file__).resolve().parents[2] / "jobs/plots.py"
HELD_OUT = pathlib.Path(__file__).resolve().parents[2] / "data/held_out.txt"
TEXT = ["--window", 384, "--windows", 2, "--kv-experts", 16]
GRID = {"routers": ["none", "topk"], "schedulers": ["none", "h2o", "quest"], "keep": [0.25, 0.5], "page_tokens": [16], "experts": [4]}
SETTINGS = ["router", "scheduler", "codec", "home", "keep", "page_tokens", "experts", "read_pages"]


def flat(figures):
    return {f"{name}_{inner}": number for name, value in figures.items() if isinstance(value, dict) for inner, number in value.items() if inner != "by"} | {
        name: value for name, value in figures.items() if not isinstance(value, (dict, list))}


class Sweep(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def grid(self, grid, name="grid.json"):
        (self.folder / name).write_text(grid if isinstance(grid, str) else json.dumps(grid))

    def sweep(self, *args, code=0, ranks=1, output="s.h5"):
        done = run(PIKV, ["sweep", "--grid", "grid.json", "--output", output, *args], cwd=self.folder, ranks=ranks)
        self.assertEqual(done.code, code, done.stderr)
        return done

    def refused(self, saying, *args, code=2, **more):
        done = self.sweep(*args, code=code, **more)
        self.assertEqual((len(done.errors()), done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.errors()[0], saying)

    def points(self, name="s.h5"):
        with h5py.File(self.folder / name) as file:
            return file["points"][:]

    def evaluated(self, *args):
        done = run(PIKV, ["evaluate", *args, "--report", "e.json"], cwd=self.folder)
        self.assertEqual(done.code, 0, done.stderr)
        return json.loads((self.folder / "e.json").read_text())["fidelity"]

    def check_against_evaluate(self, point, almost, *more):
        options = [*TEXT, *more, "--page-tokens", point["page_tokens"]]
        if point["scheduler"] != b"none":
            options += ["--scheduler", point["scheduler"].decode(), "--keep", point["keep"]]
        if point["router"] != b"none":
            options += ["--attention", "routed", "--router", point["router"].decode(), "--experts", point["experts"]]
        figures = self.evaluated(*options)
        for name, figure in flat(figures).items():
            if name in ("needle_exact", "needle_policy", "needle_half_interval") and not more:
                self.assertTrue(numpy.isnan(point[name]))
            elif almost:
                self.assertTrue(numpy.isclose(point[name], figure, rtol=1e-3, atol=2e-6), f"{options} {name}: {point[name]} {figure}")
            else:
                self.assertEqual(point[name], figure, f"{options} {name}")
        return figures

    def test_every_setting_has_the_figures_of_evaluate(self):
        self.grid(GRID)
        done = self.sweep(*TEXT, "--csv", "s.csv")
        points = self.points()
        self.assertEqual([(row["router"], row["scheduler"], row["keep"], row["experts"]) for row in points],
                         [(b"none", b"none", 1, 0), (b"none", b"h2o", .25, 0), (b"none", b"h2o", .5, 0), (b"none", b"quest", .25, 0), (b"none", b"quest", .5, 0),
                          (b"topk", b"none", 1, 4), (b"topk", b"h2o", .25, 4), (b"topk", b"h2o", .5, 4)])
        self.assertTrue((points["done"] == 1).all())
        self.assertEqual(list(points["baseline"]), [0, 1, 1, 0, 0, 0, 0, 0])
        for place in (0, 1, 3, 5, 6):
            self.check_against_evaluate(points[place], almost=True)   # of other pages than the 32 tokens that exact attention has here
        self.assertEqual(len(re.findall("left out", done.stderr)), 1)
        self.assertRegex(done.stderr, "left out, 2 of the grid's combinations: --scheduler quest chooses what is read, and so does --attention routed")

        with open(self.folder / "s.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row, point in zip(rows, points, strict=True):
            self.assertEqual(list(row), [name for name in point.dtype.names if name != "done"])
            for name, text in row.items():
                value = point[name]
                self.assertEqual(text, value.decode() if name in SETTINGS[:4] else "all" if name in ("experts", "read_pages") and value == 0 else "" if numpy.isnan(value) else text)
                if name not in SETTINGS and text:
                    self.assertEqual(float(text), value)

        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split()[:5], ["router", "scheduler", "home", "keep", "experts"])   # the same page size everywhere: no column
        order = sorted(range(len(points)), key=lambda place: points[place]["kl"])
        self.assertEqual([line.split()[:2] for line in lines[1:]], [[points[place][name].decode() for name in SETTINGS[:2]] for place in order])
        self.assertEqual([line.endswith("  baseline") for line in lines[1:]], [bool(points[place]["baseline"]) for place in order])

    def test_with_the_same_pages_the_figures_are_the_same_numbers(self):
        self.grid({"schedulers": ["snapkv"], "keep": [0.3], "page_tokens": [32]})
        self.sweep("--window", 384, "--windows", 2, "--kv-experts", 16, "--needles", 6, "--needle-length", 200)
        figures = self.check_against_evaluate(self.points()[0], False, "--needles", 6, "--needle-length", 200)
        with h5py.File(self.folder / "s.h5") as file:
            needles, tasks = file["needles"][:], file["tasks"][:]
        self.assertEqual([{"kind": row["kind"].decode()} | {name: row[name] for name in ("depth", "count", "exact", "policy")} for row in needles], figures["needle"]["by"])
        self.assertEqual([(row["point"], row["task"]) for row in tasks], [(0, place) for place in range(8)])
        self.assertEqual([{"kind": row["kind"].decode()} | {name: row[name] for name in ("nll", "nll_exact", "right", "right_exact")} for row in tasks], figures["tasks"])

    def test_two_ranks_find_what_one_finds(self):
        self.grid({"routers": ["none", "topk"], "schedulers": ["tova"], "keep": [0.5], "experts": [4], "page_tokens": [4]})
        short = ["--window", 96, "--windows", 2, "--kv-experts", 16, "--pin-window", 8]
        self.sweep(*short)
        self.sweep(*short, ranks=2, output="two.h5")
        for one, two in zip(self.points(), self.points("two.h5"), strict=True):
            self.assertEqual(one["bytes_read_ratio"], two["bytes_read_ratio"])
            self.assertLess(one["bytes_read_ratio"], .8)
            self.assertTrue(numpy.isclose(one["kl"], two["kl"], rtol=.02), (one["kl"], two["kl"]))

    def test_text_may_come_as_token_ids(self):
        text = HELD_OUT.read_bytes()[:1500]
        (self.folder / "t.txt").write_bytes(text)
        (self.folder / "t.jsonl").write_text("".join(json.dumps({"prompt_ids": list(part)}) + "\n" for part in (text[:700], text[700:])))
        self.assertEqual(self.evaluated(*TEXT, "--text", "t.txt"), self.evaluated(*TEXT, "--text", "t.jsonl"))
        self.grid({"schedulers": ["none"]})
        self.refused("holds token ids", "--text", "t.jsonl", "--needles", 3)
        (self.folder / "bad.jsonl").write_text('{"prompt_ids": [1]}\n{"prompt_ids": [256]}\n')
        self.refused(r"line 2 of --text=bad\.jsonl", "--text", "bad.jsonl")

    def kill_after(self, settings, args):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIKV_")}
        with subprocess.Popen([PIKV, "sweep", "--grid", "grid.json", "--output", "s.h5", *map(str, args)], cwd=self.folder, env=kept, stderr=subprocess.PIPE, text=True) as job:
            for line in job.stderr:
                if f"pikv: {settings} of " in line:
                    break
            job.send_signal(signal.SIGKILL)

    def test_one_that_was_killed_goes_on_where_it_was(self):
        self.grid(GRID)
        self.sweep(*TEXT, output="whole.h5")
        self.kill_after(3, TEXT)
        self.assertFalse((self.folder / "s.h5").exists())
        before = int(self.points("s.h5.part")["done"].sum())
        self.assertIn(before, range(3, 8))
        self.refused("part holds a sweep with other options", *TEXT[:4], "--kv-experts", 8)
        again = self.sweep(*TEXT)
        self.assertIn(f"8 settings, {before} of them measured before", again.stderr)
        self.assertEqual(len(re.findall(r"(?m)^pikv: \d of 8: ", again.stderr)), 8 - before)
        self.assertEqual(self.points().tobytes(), self.points("whole.h5").tobytes())
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["grid.json", "s.h5", "whole.h5"])
        third = self.sweep(*TEXT, "--csv", "s.csv")
        self.assertIn("8 of them measured before", third.stderr)
        self.assertEqual(third.stdout, again.stdout)
        self.assertEqual(len((self.folder / "s.csv").read_text().splitlines()), 9)

    def test_another_sweep_is_not_continued(self):
        self.grid({"schedulers": ["h2o"], "keep": [0.5]})
        self.sweep(*TEXT)
        whole = (self.folder / "s.h5").read_bytes()
        self.refused(r"s\.h5 holds a sweep with other options \(.*pin-window=64.*pin-window=32.*\); give another --output", *TEXT, "--pin-window", 32)
        self.refused("holds a sweep with other options", *TEXT, "--kv-budget", "64MiB")
        self.refused(r"s\.h5 holds a sweep of other text or tasks; ", *TEXT[:2], "--windows", 3, *TEXT[4:])
        self.grid({"schedulers": ["h2o"], "keep": [0.25]})
        self.refused(r"s\.h5 holds a sweep of another grid; ", *TEXT)
        self.assertEqual((self.folder / "s.h5").read_bytes(), whole)
        for name, damaged in (("cut.h5", whole[:len(whole) // 2]), ("text.h5", b"router\n"), ("empty.h5", b"")):
            (self.folder / name).write_bytes(damaged)
            self.refused(rf"{name} cannot be read as a sweep \(.+\); give another --output", *TEXT, code=1, output=name)

    def test_bad_grids_are_told_in_one_sentence(self):
        for grid, saying in [
            ("{", r"grid\.json"),
            ("[]", "grid.json is not a JSON object"),
            ({"router": ["topk"]}, 'unknown key "router".*did you mean routers'),
            ({"schedulers": "h2o"}, '"schedulers" in grid.json is not a list'),
            ({"schedulers": []}, '"schedulers" in grid.json is not a list'),
            ({"schedulers": ["h3o"]}, '"schedulers": "h3o" in grid.json is not a choice.*h2o'),
            ({"routers": ["topk", "exact"], "experts": [1]}, '"routers": "exact" in grid.json is not a choice'),
            ({"codecs": ["zip"]}, '"codecs": "zip" in grid.json'),
            ({"keep": [0.5, 2]}, '"keep": 2 in grid.json'),
            ({"keep": [None]}, '"keep" in grid.json holds null'),
            ({"page_tokens": [24]}, '"page_tokens": 24 in grid.json is not a power of two'),
            ({"experts": [0]}, '"experts": 0 in grid.json'),
            ({"routers": ["topk"]}, 'no setting that can be measured: .*"experts"'),
            ({"routers": ["topk"], "experts": [4], "schedulers": ["quest"], "keep": [0.5]}, "no setting that can be measured: --scheduler quest chooses"),
        ]:
            with self.subTest(grid):
                self.grid(grid)
                self.refused(saying, *TEXT)
                self.assertEqual([path.name for path in self.folder.iterdir()], ["grid.json"])

    def test_bad_options_are_told_in_one_sentence(self):
        self.grid({"schedulers": ["none"]})
        self.refused("--redundancy=0.5 has no effect on any setting of grid.json", "--redundancy", 0.5)
        self.refused("--csv=s.h5 is the same file as --output", "--csv", "s.h5")
        self.refused("--csv=grid.json is the same file as --grid", "--csv", "grid.json")
        self.refused("--csv=none/s.csv", "--csv", "none/s.csv")
        self.refused("--output=none/s.h5", output="none/s.h5")
        self.refused("--keep", "--keep", 0.5)
        for args, saying in [(["--grid", "grid.json"], "add --output"), (["--output", "s.h5"], "add --grid"), (["--grid", "none.json", "--output", "s.h5"], "none.json could not be read")]:
            done = run(PIKV, ["sweep", *args], cwd=self.folder)
            self.assertEqual((done.code, len(done.errors())), (2, 1), done.stderr)
            self.assertIn(saying, done.errors()[0])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["grid.json"])

    def plots(self, *args):
        return subprocess.run([sys.executable, PLOTS, *args], capture_output=True, text=True, cwd=self.folder, check=False)

    def test_the_plots_show_the_front(self):
        self.grid(GRID | {"schedulers": ["none", "h2o", "streaming", "tova"]})
        self.sweep(*TEXT, "--needles", 3, "--needle-length", 200, "--csv", "s.csv")
        done = self.plots("sweep", "s.csv", "out")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = [f"{what}_over_bytes_{bytes}.png" for what in ("loss", "needles") for bytes in ("read", "kept")]
        self.assertEqual(sorted(path.name for path in (self.folder / "out").iterdir()), sorted(names))
        for name in names:
            picture = pyplot.imread(self.folder / "out" / name)
            self.assertEqual(picture.shape[:2], (675, 1200))
            self.assertGreater((numpy.ptp(picture[..., :3], axis=2) > 0.2).mean(), 0.0005, f"{name} shows no baseline")
        (self.folder / "bad.csv").write_text("a,b\n1,2\n")
        for name in ("bad.csv", "none.csv"):
            done = self.plots("sweep", name, "out")
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertRegex(done.stderr, rf"^plots\.py: error: {re.escape(name)} cannot be read as a sweep ")


if __name__ == "__main__":
    unittest.main()
