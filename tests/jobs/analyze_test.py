"""`pikv analyze` on traces of real jobs: its figures are computed again here with numpy, its files are read with other readers than ours,
damaged traces are refused in one sentence.  Run: analyze_test.py build/pikv   (needs h5py, matplotlib)"""
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy

import perfetto_reader
import traces
from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs/trace_notebook.py"
STAGES = "attention ffn routing codec scheduling communication other".split()
PURPOSES = "push fetch query partial dispatch combine control".split()
RESIDENT = [f"memory_{part}_bytes" for part in "payload header summaries slack replicas".split()]
KINDS = "seal place push index acknowledge fetch hit miss stale evict migrate corrupt rewind release restore demote promote recode".split()


class Analyze(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        cls.traces = {
            "mpi": traces.make(PIKV, cls.folder, "mpi.h5", ranks=3),
            "inprocess": traces.make(PIKV, cls.folder, "inprocess.h5", "--in-process", "4"),
            "alone": traces.make(PIKV, cls.folder, "alone.h5"),
            "killed": traces.make_killed(PIKV, cls.folder, "killed.h5"),
        }

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def analyze(self, *args, ranks=1):
        done = run(PIKV, ["analyze", *args], ranks, self.folder)
        self.assertEqual((done.code, done.stderr), (0, ""))
        return done.stdout

    def json_of(self, name):
        self.analyze(self.traces[name], "--json", "out.json")
        return json.loads((self.folder / "out.json").read_text())

    def refused(self, code, *args):
        """The one sentence."""
        done = run(PIKV, ["analyze", *args], cwd=self.folder)
        self.assertEqual(done.code, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(len(done.errors()), 1, done.stderr)
        return done.errors()[0]


class Figures(Analyze):
    def test_sums_by_rank_are_numpys(self):
        for name in self.traces:
            with self.subTest(name), h5py.File(self.traces[name]) as trace:
                steps, found = trace["steps"][:], self.json_of(name)
                self.assertEqual(len(found["ranks"]), trace.attrs["ranks"])
                for rank in range(trace.attrs["ranks"]):
                    mine = steps[steps["rank"] == rank]
                    for stage in STAGES:
                        self.assertAlmostEqual(found["stages"][rank][f"{stage}_s"], mine[f"stage_{stage}_s"].sum())
                    for column in [f"{p}_bytes" for p in PURPOSES] + [f"{p}_messages" for p in PURPOSES] + ["to_rank_bytes", "to_node_bytes", "to_remote_bytes"]:
                        self.assertEqual(found["traffic"][rank][column], mine[column].sum())
                    for column in ("pages_read", "checked", "corrupt", "rewinds", "rows_decode", "rows_prefill"):
                        self.assertEqual(found["ranks"][rank][column], mine[column].sum())
                    self.assertEqual(found["ranks"][rank]["memory_peak_bytes"], sum(mine[part] for part in RESIDENT).max())

    def test_loads_vary_as_numpy_says(self):
        for name in ("mpi", "inprocess"):
            with self.subTest(name), h5py.File(self.traces[name]) as trace:
                steps, found = trace["steps"][:], self.json_of(name)["job"]
                loads = {"expert": lambda rows: rows["pages_read"].sum(), "memory": lambda rows: sum(rows[part] for part in RESIDENT).mean(),
                         "communication": lambda rows: rows["to_node_bytes"].sum() + rows["to_remote_bytes"].sum()}
                for load, of in loads.items():
                    values = numpy.array([of(steps[steps["rank"] == rank]) for rank in range(trace.attrs["ranks"])], float)
                    self.assertAlmostEqual(found[f"{load}_variation"], values.std() / values.mean())
                    self.assertAlmostEqual(found[f"{load}_max_over_mean"], values.max() / values.mean())

    def test_on_one_rank_nothing_varies(self):
        found = self.json_of("alone")["job"]
        self.assertIsNone(found["memory_variation"])
        self.assertEqual(found["waiting_share"], 0)

    def test_waiting_is_for_the_busiest_rank_of_each_step(self):
        with h5py.File(self.traces["mpi"]) as trace:
            steps = numpy.sort(trace["steps"][:], order=["step", "rank"])
        busy = sum(steps[f"stage_{stage}_s"] for stage in STAGES if stage != "communication").reshape(-1, 3)
        everything = sum(steps[f"stage_{stage}_s"].sum() for stage in STAGES)
        found = self.json_of("mpi")
        self.assertAlmostEqual(found["job"]["waiting_share"], (busy.max(axis=1, keepdims=True) - busy).sum() / everything)
        self.assertEqual([rank["steps_slowest"] for rank in found["ranks"]], [(busy.argmax(axis=1) == rank).sum() for rank in range(3)])

    def test_over_time_covers_every_step_once(self):
        for name in self.traces:
            with self.subTest(name), h5py.File(self.traces[name]) as trace:
                steps, rows = trace["steps"][:], self.json_of(name)["over_time"]
                self.assertEqual(sum(row["pages_read"] for row in rows), steps["pages_read"].sum())
                for row in rows:
                    last = steps[steps["step"] == row["last_step"]]
                    self.assertEqual(row["memory_payload_bytes"], last["memory_payload_bytes"].sum())
                    self.assertEqual(row["tokens_resident"], last["tokens_resident"].sum())

    def test_latency_is_that_of_the_requests(self):
        with h5py.File(self.traces["mpi"]) as trace:
            rows = trace["requests"][:]
        waits = numpy.sort(rows["first_token_s"] - rows["arrival_s"])
        job = self.json_of("mpi")["job"]
        self.assertEqual(job["ttft_s_p50"], waits[int(numpy.ceil(0.5 * len(waits))) - 1])
        self.assertEqual(job["generated"], rows["generated"].sum())


class Report(Analyze):
    def test_is_a_page_with_every_part(self):
        for name in self.traces:
            with self.subTest(name):
                text = self.analyze(self.traces[name])
                for part in ("trace", "command", "model", "work", "time", "loads", "cache", "traffic", "KV memory", "integrity", "events", "change"):
                    self.assertRegex(text, rf"(?m)^{part} ")
                self.assertLessEqual(text.count("\n"), 70)
                self.assertLessEqual(max(map(len, text.splitlines())), 200)

    def test_says_whether_the_job_ended_and_what_its_clock_is(self):
        self.assertIn("did not end, as far as it was flushed", self.analyze(self.traces["killed"]))
        self.assertNotIn("did not end", self.analyze(self.traces["mpi"]))
        self.assertIn("the clock is virtual", self.analyze(self.traces["inprocess"]))

    def test_is_the_same_on_one_rank_and_three_and_wherever_the_options_stand(self):
        text = self.analyze(self.traces["mpi"])
        self.assertEqual(self.analyze(self.traces["mpi"], ranks=3), text)
        self.assertEqual(self.analyze("--json", "a.json", self.traces["mpi"], "--csv=a"), text)

    def test_the_notebook_of_the_documentation_runs(self):
        shutil.copy(self.traces["mpi"], self.folder / "run.h5")
        done = subprocess.run([sys.executable, NOTEBOOK], cwd=self.folder, env=os.environ | {"MPLBACKEND": "Agg"}, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"(?s)9 requests.*rank 2 \{'attention': .*waited [\d.]+ s behind 2 others.*dropped: 0\nseal +\[\d+ +\d+ +\d+\].*"
                         r"--explain [0-9a-f]{32}:\d+:\d+\n.*from seal to acknowledgement: median 3")

    def test_csv_files_hold_the_tables_of_the_json(self):
        found = self.json_of("mpi")
        self.analyze(self.traces["mpi"], "--csv", "tables")
        files = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in (self.folder / "tables").iterdir()}
        self.assertEqual(set(files), set(found))
        for name, rows in files.items():
            if name == "job":
                self.assertEqual([row["name"] for row in rows], list(found["job"]))
                continue
            self.assertEqual(len(rows), len(found[name]))
            for row, expected in zip(rows, found[name]):
                for column, value in expected.items():
                    text = row[column]
                    self.assertEqual(text if isinstance(value, str) else json.loads(text or "null"), value, f"{name}.{column}")
        self.assertEqual(files["requests"][0]["id"], "r,0")


class Perfetto(Analyze):
    def packets(self, name):
        self.analyze(self.traces[name], "--perfetto", "out.pftrace")
        return perfetto_reader.packets((self.folder / "out.pftrace").read_bytes())

    def test_follows_the_published_format(self):
        for name in self.traces:
            with self.subTest(name):
                packets = self.packets(name)
                self.assertEqual(packets[0]["sequence_flags"], [1])
                tracks, open_slices, last = {}, {}, {}
                for packet in packets:
                    self.assertEqual(packet["trusted_packet_sequence_id"], [1])
                    for descriptor in packet.get("track_descriptor", []):
                        self.assertNotIn(descriptor["uuid"][0], tracks)
                        self.assertTrue(descriptor.get("parent_uuid", [0])[0] in tracks or "process" in descriptor)
                        tracks[descriptor["uuid"][0]] = descriptor
                    for event in packet.get("track_event", []):
                        track, at = event["track_uuid"][0], packet["timestamp"][0]
                        self.assertGreaterEqual(at, last.get(track, 0))
                        last[track] = at
                        if event["type"] == [perfetto_reader.COUNTER]:
                            self.assertIn("counter", tracks[track])
                            self.assertIn("counter_value", event)
                            continue
                        self.assertNotIn("counter", tracks[track])
                        if event["type"] == [perfetto_reader.INSTANT]:
                            self.assertEqual(tracks[track]["name"], ["page events"])
                            continue
                        open_slices[track] = open_slices.get(track, 0) + (1 if event["type"] == [perfetto_reader.SLICE_BEGIN] else -1)
                        self.assertIn(open_slices[track], (0, 1, 2))
                self.assertEqual(set(open_slices.values()), {0})

    def test_has_a_process_per_rank_a_slice_per_step_and_the_counters(self):
        packets = self.packets("mpi")
        descriptors = [d for packet in packets for d in packet.get("track_descriptor", [])]
        self.assertEqual([d["process"][0]["pid"] for d in descriptors if "process" in d], [[1], [2], [3]])
        with h5py.File(self.traces["mpi"]) as trace:
            steps = trace["steps"][:]
        names = [event["name"][0] for packet in packets for event in packet.get("track_event", []) if "name" in event]
        self.assertEqual(sum(name.startswith("step ") for name in names), len(steps))
        self.assertEqual(names.count("attention"), (steps["stage_attention_s"] > 0).sum())
        (memory,) = [d["uuid"][0] for d in descriptors if d.get("name") == ["KV memory"] and d["parent_uuid"] == [d2["uuid"][0] for d2 in descriptors if "process" in d2][1:2]]
        counted = [event["counter_value"][0] for packet in packets for event in packet.get("track_event", []) if event["track_uuid"] == [memory]]
        mine = numpy.sort(steps[steps["rank"] == 1], order="step")
        self.assertEqual(counted, sum(mine[part] for part in RESIDENT).tolist())

    def test_has_an_instant_per_page_event_within_its_step(self):
        packets = self.packets("mpi")
        ranks = {d["uuid"][0]: d["process"][0]["pid"][0] - 1 for packet in packets for d in packet.get("track_descriptor", []) if "process" in d}
        tracks = {d["uuid"][0]: ranks[d["parent_uuid"][0]] for packet in packets for d in packet.get("track_descriptor", []) if d.get("name") == ["page events"]}
        found = {rank: [] for rank in ranks.values()}
        for packet in packets:
            for event in packet.get("track_event", []):
                if event["type"] == [perfetto_reader.INSTANT]:
                    about = {note["name"][0]: note for note in event["debug_annotations"]}
                    found[tracks[event["track_uuid"][0]]].append((packet["timestamp"][0] * 1e-9, event["name"][0], about["page"]["string_value"][0]))
        with h5py.File(self.traces["mpi"]) as trace:
            steps, events = trace["steps"][:], trace["events"][:]
        for rank, instants in found.items():
            mine = events[events["rank"] == rank]
            self.assertEqual([(kind, page) for _, kind, page in instants],
                             [(KINDS[e["event"]], f"{e['stream_hi']:016x}{e['stream_lo']:016x}:{e['layer']}:{e['block']}") for e in mine])
            rows = steps[steps["rank"] == rank]
            for (at, _, _), event in zip(instants, mine):
                (row,) = rows[rows["step"] == event["step"]]
                self.assertTrue(row["begin_s"] - 1e-8 <= at <= row["end_s"] + 1e-8)

    def test_perfettos_own_definition_reads_it(self):
        try:
            from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace
        except ImportError as missing:
            self.skipTest(f"{missing}; pip install perfetto to check against Perfetto's own protobuf definition")
        for name in self.traces:
            packets = self.packets(name)
            trace = Trace()
            data = (self.folder / "out.pftrace").read_bytes()
            trace.ParseFromString(data)
            self.assertEqual(len(trace.packet), len(packets))
            trace.DiscardUnknownFields()
            self.assertEqual(trace.ByteSize(), len(data), "some fields are unknown to Perfetto")


class Events(Analyze):
    COUNTED = {"seal": "pages_sealed", "push": "pages_pushed", "acknowledge": "pages_acknowledged", "fetch": "pages_fetched", "miss": "lost",
               "stale": "stale", "corrupt": "corrupt", "rewind": "rewinds"}

    def test_are_as_many_in_each_step_as_the_step_counts(self):
        for name in self.traces:
            with self.subTest(name), h5py.File(self.traces[name]) as trace:
                steps, events = numpy.sort(trace["steps"][:], order=["step", "rank"]), trace["events"][:]
                kinds = h5py.check_enum_dtype(events.dtype["event"])
                self.assertEqual(list(kinds), KINDS)
                self.assertEqual(steps["events_dropped"].sum(), 0)
                shape = steps["step"].max() + 1, trace.attrs["ranks"]
                for kind, column in self.COUNTED.items():
                    found = numpy.zeros(shape, int)
                    mine = events[events["event"] == kinds[kind]]
                    numpy.add.at(found, (mine["step"], mine["rank"]), 1)
                    self.assertTrue((found.ravel() == steps[column]).all(), kind)
                found = self.json_of(name)["events"]
                self.assertEqual([[row[kind] for kind in KINDS] for row in found],
                                 [[((events["rank"] == rank) & (events["event"] == number)).sum() for number in range(len(KINDS))] for rank in range(shape[1])])

    def test_without_them_the_report_says_so(self):
        name = traces.make(PIKV, self.folder, "silent.h5", "--trace-events", "0")
        self.assertIn("\nevents      none: --trace-events 0\n", self.analyze(name))
        self.assertIn("has no event of block 0", self.refused(1, name, "--explain", f"{'0' * 32}:0:0"))

    def test_that_found_no_room_are_told(self):
        name = traces.make(PIKV, self.folder, "few.h5", "--trace-events", "20", ranks=2)
        with h5py.File(name) as trace:
            dropped = trace["steps"]["events_dropped"].sum()
            batches = trace["steps"]["step"].max() // 64 + 1
            self.assertLessEqual(len(trace["events"]), 2 * 20 * batches)
        self.assertGreater(dropped, 0)
        self.assertIn(f"\n  {dropped} more found no room; a larger --trace-events keeps them\n", self.analyze(name))

    def test_a_pages_whole_life_is_told_in_order(self):
        with h5py.File(self.traces["mpi"]) as trace:
            steps, events, requests = trace["steps"][:], trace["events"][:], trace["requests"][:]
        kinds = {number: name for name, number in h5py.check_enum_dtype(events.dtype["event"]).items()}
        away = events[events["event"] == KINDS.index("acknowledge")][0]
        stream = events[(events["stream_hi"] == away["stream_hi"]) & (events["stream_lo"] == away["stream_lo"])]
        mine = stream[((stream["layer"] == away["layer"]) & (stream["block"] == away["block"])) | ((stream["layer"] == -1) & (stream["block"] <= away["block"]))]
        mine = mine[numpy.lexsort((mine["rank"], mine["step"]))]
        text = self.analyze(self.traces["mpi"], "--explain", f"{away['stream_hi']:016x}{away['stream_lo']:016x}:{away['layer']}:{away['block']}")
        (request,) = requests[(requests["stream_hi"] == away["stream_hi"]) & (requests["stream_lo"] == away["stream_lo"])]
        self.assertIn(f"request     {request['id'].decode()}, of {request['prompt_tokens']} and {request['generated']} tokens, decoded by rank {request['home']}\n", text)
        rows = [line.split() for line in text.splitlines()[-len(mine):]]
        self.assertEqual([(int(row[0]), int(row[2]), row[3]) for row in rows], [(event["step"], event["rank"], kinds[event["event"]]) for event in mine])
        for row, event in zip(rows, mine):
            self.assertEqual(row[4:8], ["-" if event[of] == none else str(event[of]) for of, none in (("peer", -1), ("slot", -1), ("generation", 0), ("bytes", 0))])
            began = steps["begin_s"][(steps["step"] == event["step"]) & (steps["rank"] == event["rank"])][0]
            self.assertAlmostEqual(float(row[1]), began, places=5)
        order = [row[3] for row in rows if row[3] != "hit"]
        self.assertEqual([order[0], order[1], order[2], order[3], order[-1]], ["seal", "place", "push", "index", "release"])

    def test_the_page_that_the_report_names_can_be_explained(self):
        for name in self.traces:
            (page,) = re.findall(r"--explain (\S+)", self.analyze(self.traces[name]))
            self.assertIn("seal", self.analyze(self.traces[name], "--explain", page))

    def test_a_page_that_is_not_there_is_told(self):
        self.assertIn("has no event of block 50", self.refused(1, self.traces["mpi"], "--explain", "80000000000000010000000000000007:3:50"))
        self.assertIn("does not name a page", self.refused(2, self.traces["mpi"], "--explain", "7:3:5"))


class Endings(Analyze):
    def test_how_a_job_ended_and_what_it_went_on_from_stand_at_the_top(self):
        copy = self.folder / "stopped.h5"
        shutil.copy(self.traces["mpi"], copy)
        with h5py.File(copy, "r+") as trace:
            trace.attrs["ended"] = "stopped: SIGUSR1 on rank 3"
            trace.attrs["resumed_from"] = "ckpt/step-192.h5, step 192"
        lines = self.analyze(copy, "--json", "out.json").splitlines()
        self.assertEqual(lines[1:3], ["ended       stopped: SIGUSR1 on rank 3", "resumed     from ckpt/step-192.h5, step 192"])
        job = json.loads((self.folder / "out.json").read_text())["job"]
        self.assertEqual((job["ended"], job["resumed_from"]), ("stopped: SIGUSR1 on rank 3", "ckpt/step-192.h5, step 192"))


class OlderFormat(Analyze):
    def test_format_2_is_read_but_has_no_events(self):
        """The same trace as the writer of format 2 would have left it."""
        old = self.folder / "old.h5"
        shutil.copy(self.traces["mpi"], old)
        with h5py.File(old, "r+") as trace:
            trace.attrs["format"] = numpy.int64(2)
            del trace["events"]
            for table, left_out in (("steps", {"lost", "events_dropped"}), ("requests", {"stream_hi", "stream_lo"})):
                rows = trace[table][:]
                kept = [name for name in rows.dtype.names if name not in left_out]
                fields = {name: trace[table].dtype[name] for name in kept}   # packed again, text as it was
                packed = numpy.zeros(len(rows), numpy.dtype(list(fields.items())))
                for name in kept:
                    packed[name] = rows[name]
                del trace[table]
                trace[table] = packed
        text = self.analyze(old, "--json", "old.json", "--perfetto", "old.pftrace", "--csv", "old")
        now = [line for line in self.analyze(self.traces["mpi"]).splitlines() if not line.startswith(("events", "  the page", "trace"))]
        self.assertEqual([line for line in text.splitlines() if not line.startswith("trace")], [line for i, line in enumerate(now) if line or now[i - 1]])
        self.assertEqual(json.loads((self.folder / "old.json").read_text())["events"], [])
        self.assertIn("has no page events", self.refused(1, old, "--explain", f"{'0' * 32}:0:0"))


class Refused(Analyze):
    def test_options_that_are_wrong(self):
        trace = self.traces["alone"]
        for args, says in [((), "pikv analyze TRACE"), ((trace, "more.h5"), "stands alone"), ((trace, "--jsn", "a"), "did you mean --json"),
                           ((trace, "--json"), "--json needs a value"), ((trace, "--json", "no/folder/a"), "--json"), ((trace, "--json", trace), "would overwrite the trace"),
                           ((trace, "--perfetto", trace), "would overwrite the trace"), ((trace, "--csv", trace), "cannot be made a folder"),
                           ((trace, "--json", "a", "--perfetto", "a"), "one file")]:
            with self.subTest(args=args):
                self.assertIn(says, self.refused(2, *args))

    def test_what_is_no_trace(self):
        (self.folder / "empty.h5").write_bytes(b"")
        (self.folder / "text.h5").write_text("step,rank\n")
        with h5py.File(self.folder / "other.h5", "w") as other:
            other["x"] = 1
        for name, says in [("none.h5", "does not exist"), (".", "is a folder"), ("empty.h5", "is empty"), ("text.h5", "is not an HDF5 file"),
                           ("other.h5", "does not say its format"), ("killed.h5", r"killed.h5.part does")]:
            with self.subTest(name):
                self.assertIn(says, self.refused(1, name))

    def test_a_trace_of_another_version_or_without_a_group(self):
        copy = self.folder / "copy.h5"
        for group in ("options", "model", "libraries", "ranks", "requests", "steps", "pages_by_owner", "faults", "events"):
            shutil.copy(self.traces["mpi"], copy)
            with h5py.File(copy, "r+") as trace:
                del trace[group]
            self.assertIn(f"has no /{group}", self.refused(1, copy))
        shutil.copy(self.traces["mpi"], copy)
        with h5py.File(copy, "r+") as trace:
            trace.attrs["format"] = numpy.int64(99)
        self.assertIn("format is 99", self.refused(1, copy))

    def test_a_trace_cut_short_anywhere(self):
        for name in ("mpi", "killed"):
            whole = self.traces[name].read_bytes()
            with h5py.File(self.traces[name]) as trace:   # a killed job may have written beyond what it had flushed
                flushed = min(len(whole), trace.id.get_filesize())
            for place in range(40):
                cut = self.folder / "cut.h5"
                cut.write_bytes(whole[:(flushed - 1) * place // 39])
                self.assertIn("cut.h5", self.refused(1, cut))


del Analyze   # a base, no test


if __name__ == "__main__":
    unittest.main()
