"""pikv replay from outside: its table, CSV, curve and report say the same; caches in plain Python hit as often; traces of real jobs; bad traces.
Run: replay_test.py build/pikv   (needs h5py and matplotlib)"""
import collections
import csv
import json
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
from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
PLOTS = pathlib.Path(__file__).resolve().parents[2] / "jobs/plots.py"
GENERATE = ["--requests", 600, "--prefixes", 20, "--rate", 2, "--seed", 5]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def lru_hits(requests, capacity):
    held, hits, prefix_hits = collections.OrderedDict(), 0, 0
    for request in requests:
        whole = True
        for page in request:
            hit = page in held
            hits += hit
            whole &= hit
            prefix_hits += whole
            held.pop(page, None)
            held[page] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return hits, prefix_hits


def belady_hits(requests, capacity):
    reads = [page for request in requests for page in request]
    when = collections.defaultdict(list)
    for moment in reversed(range(len(reads))):
        when[reads[moment]].append(moment)
    held, hits = set(), 0
    for page in reads:
        when[page].pop()
        hits += page in held
        if page not in held and len(held) == capacity:
            held.remove(max(held, key=lambda other: when[other][-1] if when[other] else len(reads)))
        held.add(page)
    return hits


class Replay(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def replay(self, *args, code=0):
        done = run(PIKV, ["replay", *args], cwd=self.folder)
        self.assertEqual(done.code, code, done.stderr)
        return done

    def made(self, *options):
        self.replay("--generate", "t.jsonl", *GENERATE, *options)
        requests = [json.loads(line) for line in (self.folder / "t.jsonl").read_text().splitlines()]
        self.assertEqual(len(requests), 600)
        return [request["hash_ids"] for request in requests]

    def test_lru_and_belady_hit_as_often_as_in_plain_python(self):
        requests = self.made()
        self.replay("t.jsonl", "--capacity", "10,100,500", "--csv", "t.csv")
        found = {(row["policy"], int(row["capacity"])): row for row in rows_of(self.folder / "t.csv")}
        self.assertEqual(len(found), 9)
        for capacity in (10, 100, 500):
            lru = found["lru", capacity]
            self.assertEqual((int(lru["hits"]), int(lru["prefix_hits"])), lru_hits(requests, capacity))
            self.assertEqual(int(found["belady", capacity]["hits"]), belady_hits(requests, capacity))
            self.assertGreaterEqual(int(found["prefix_lru", capacity]["hits"]), int(lru["hits"]))
        for row in found.values():
            self.assertEqual(int(row["reads"]), sum(map(len, requests)))
            self.assertEqual(int(row["reads"]), int(row["hits"]) + int(row["misses"]))
            self.assertAlmostEqual(float(row["hit_rate"]), int(row["hits"]) / int(row["reads"]))

    def test_the_curve_agrees_with_lru_at_every_capacity_that_was_replayed(self):
        self.made()
        self.replay("t.jsonl", "--capacity", ",".join(str(1 + 7 * i) for i in range(60)), "--csv", "t.csv", "--curve", "curve.csv")
        curve = {row["capacity"]: row for row in rows_of(self.folder / "curve.csv")}
        lru = [row for row in rows_of(self.folder / "t.csv") if row["policy"] == "lru"]
        self.assertEqual(len(lru), 60)
        for row in lru:
            self.assertEqual([row[name] for name in ("hits", "hit_rate", "prefix_hits")], [curve[row["capacity"]][name] for name in ("hits", "hit_rate", "prefix_hits")])

    def test_every_policy_of_the_help_is_in_the_table_the_csv_and_the_report(self):
        self.made()
        listed = re.findall(r"(?m)^  ([a-z0-9_:]+) {2,}\S", self.replay("--help").stdout.split("Policies:")[1])
        self.assertGreaterEqual(set(listed), {"lru", "prefix_lru", "s3fifo", "arc", "belady", "lru_plus", "scheduler:lru"})
        done = self.replay("t.jsonl", "--policy", ",".join(listed), "--capacity", "50,200", "--csv", "t.csv", "--report", "t.json")
        lines = done.stdout.splitlines()[3:]
        rows, report = rows_of(self.folder / "t.csv"), json.loads((self.folder / "t.json").read_text())
        self.assertEqual([row["policy"] for row in rows], [result["policy"] for result in report["results"]])
        self.assertEqual(collections.Counter(row["policy"] for row in rows), {name: 2 for name in listed})
        self.assertEqual([int(row["hits"]) for row in rows], [result["hits"] for result in report["results"]])
        self.assertEqual(len(lines), len(rows))
        for row, line in zip(rows, lines):
            self.assertRegex(line, rf" {re.escape(row['policy'])} +{row['reads']} +{row['hits']} +{row['misses']} +{100 * float(row['hit_rate']):.2f} %")
        self.assertEqual((report["trace"]["requests"], report["trace"]["sampled"]), (600, False))
        hits = {(row["policy"], row["capacity"]): row["hits"] for row in rows}
        self.assertEqual(hits["lru", "50"], hits["scheduler:lru", "50"])

    def test_the_same_seed_makes_the_same_file_and_the_same_table(self):
        self.made()
        first, table = (self.folder / "t.jsonl").read_bytes(), self.replay("t.jsonl").stdout
        self.made()
        self.assertEqual((self.folder / "t.jsonl").read_bytes(), first)
        self.assertEqual(self.replay("t.jsonl").stdout, table)

    def test_options_may_stand_in_the_environment(self):
        self.made()
        done = run(PIKV, ["replay", "t.jsonl"], cwd=self.folder, environment={"PIKV_CAPACITY": "33", "PIKV_POLICY": "arc"})
        self.assertRegex(done.stdout, r"(?m)^ +33  lru [^\n]+\n +arc ")

    def test_the_page_reads_of_a_real_job(self):
        trace = traces.make(PIKV, self.folder, "t.h5", "--in-process", "3")
        with h5py.File(trace) as file:
            kinds = h5py.check_enum_dtype(file["events"].dtype["event"])
            events = numpy.sort(file["events"][:], order=["step", "rank"], kind="stable")
        reads = [row for row in events if row["event"] in (kinds["hit"], kinds["miss"])]
        self.assertGreater(len(reads), 20)
        pages = [(row["stream_hi"], row["stream_lo"], row["layer"], row["block"]) for row in reads]
        requests = collections.defaultdict(list)
        for row, page in zip(reads, pages):
            requests[row["step"], row["rank"]].append(page)
        done = self.replay(trace, "--capacity", "4,16", "--csv", "t.csv", "--policy", "lru_plus,arc")
        self.assertIn(f"{len(requests)} requests, {len(pages)} page reads of {len(set(pages))} pages", done.stdout)
        self.assertIn("sample", done.stdout)
        for row in rows_of(self.folder / "t.csv"):
            if row["policy"] == "lru":
                self.assertEqual((int(row["hits"]), int(row["prefix_hits"])), lru_hits(requests.values(), int(row["capacity"])))

    def test_damaged_traces_are_told_in_one_sentence(self):
        whole = traces.make(PIKV, self.folder, "t.h5").read_bytes()
        (self.folder / "cut.h5").write_bytes(whole[:len(whole) // 2])
        (self.folder / "renamed").write_bytes(whole[:len(whole) // 2])
        (self.folder / "text.h5").write_text("{}\n")
        self.made()
        good = (self.folder / "t.jsonl").read_text()
        (self.folder / "bad.jsonl").write_text(good + "{\"timestamp\": 1}\n")
        for name, says in [("cut.h5", r"cut\.h5"), ("renamed", "renamed"), ("text.h5", r"text\.h5 is not an HDF5 file"), ("bad.jsonl", r"bad\.jsonl line 601 "),
                           ("none.jsonl", r"none\.jsonl"), ("none.h5", r"none\.h5"), (".", "folder")]:
            done = self.replay(name, "--csv", "out.csv", code=1)
            self.assertEqual((len(done.errors()), done.stdout), (1, ""), done.stderr)
            self.assertRegex(done.errors()[0], says)
            self.assertEqual(list(self.folder.glob("out.csv*")), [])

    def plots(self, *args):
        return subprocess.run([sys.executable, PLOTS, *args], capture_output=True, text=True, cwd=self.folder, check=False)

    def test_the_plot_shows_the_hit_rates(self):
        self.made()
        self.replay("t.jsonl", "--policy", "prefix_lru,arc", "--capacity", "10,100,1000", "--csv", "t.csv", "--curve", "curve.csv")
        for words in (["t.csv", "out"], ["t.csv", "out", "curve.csv"]):
            done = self.plots("replay", *words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            picture = pyplot.imread(self.folder / "out" / "hit_rate_over_capacity.png")
            self.assertEqual(picture.shape[:2], (675, 1200))
            self.assertGreater((numpy.ptp(picture[..., :3], axis=2) > 0.2).mean(), 0.004)
        (self.folder / "bad.csv").write_text("a,b\n1,2\n")
        for name in ("bad.csv", "none.csv"):
            done = self.plots("replay", name, "out")
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertRegex(done.stderr, rf"^plots\.py: error: {re.escape(name)} ")


if __name__ == "__main__":
    unittest.main()
