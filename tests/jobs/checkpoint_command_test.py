"""`pikv checkpoint` and --resume on checkpoints of real jobs, whole and damaged.  Run: checkpoint_command_test.py build/pikv   (needs h5py, h5dump)"""
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy

import bad_models
from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "data/tiny-moe"
DOC = ROOT / "docs/checkpoint.md"
PROMPTS = "".join(json.dumps({"id": f"r,{i}", "prompt": "Once upon a time " * (1 + 3 * i % 7), "max_new_tokens": 12 + 4 * i}) + "\n" for i in range(7))
SETTINGS = ["--prompts", "in.jsonl", "--page-tokens", "8", "--batch", "2", "--checkpoint-every", "8", "--log-level", "error"]


class Saved(unittest.TestCase):
    """Two checkpoints each of a job on 3 ranks and of the same on one; `self.folder` is the test's own."""

    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.jobs = pathlib.Path(cls.holder.name)
        (cls.jobs / "in.jsonl").write_text(PROMPTS)
        for name, ranks in (("three", 3), ("one", 1)):
            done = run(PIKV, ["generate", *SETTINGS, "--checkpoint", name, "--output", f"{name}.jsonl"], ranks, cls.jobs)
            assert done.code == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        (self.folder / "in.jsonl").write_text(PROMPTS)
        for name in ("three", "one"):
            shutil.copytree(self.jobs / name, self.folder / name)

    def checkpoints(self, name):
        return sorted((self.folder / name).glob("step-*.h5"))

    def done(self, *args, ranks=1):
        done = run(PIKV, ["checkpoint", *args], ranks, self.folder)
        self.assertEqual((done.code, done.stderr), (0, ""))
        return done.stdout

    def refused(self, code, *args):
        """The one sentence."""
        done = run(PIKV, args, cwd=self.folder)
        self.assertEqual(done.code, code, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(len(done.errors()), 1, done.stderr)
        return done.errors()[0]


class Commands(Saved):
    def test_list_has_a_line_per_checkpoint_and_names_what_was_not_finished(self):
        (self.folder / "one/step-000000000099.h5.part").write_bytes(b"")
        lines = self.done("list", "three", "one").splitlines()
        self.assertEqual(len(lines), 1 + 2 + 2 + 1)
        for line, path in zip(lines[1:3], reversed(self.checkpoints("three"))):
            with h5py.File(path) as saved:
                phases = saved["requests"]["phase"].tolist()
                expected = [str(saved.attrs["step"]), saved.attrs["saved"], "3", *(str(phases.count(phase)) for phase in (b"done", b"running", b"waiting")),
                            str(len(saved["pages"])), str(path.stat().st_size), "interval", f"three/{path.name}"]
            self.assertEqual(line.split(), expected)
        self.assertRegex(lines[-1], r"incomplete +one/step-000000000099\.h5\.part$")

    def test_list_goes_on_after_one_that_cannot_be_read(self):
        self.checkpoints("one")[1].write_bytes(b"nothing")
        done = run(PIKV, ["checkpoint", "list", "one"], cwd=self.folder)
        self.assertEqual(done.code, 1)
        self.assertEqual([("cannot be read" in line) for line in done.stdout.splitlines()], [False, True, False])
        self.assertIn("is not an HDF5 file", done.errors()[0])

    def test_verify_says_what_was_checked(self):
        for name in ("three", "one"):
            path = self.checkpoints(name)[-1]
            with h5py.File(path) as saved:
                running = saved["requests"][:]
                running = running[running["phase"] == b"running"]
                said = self.done("verify", name)
                self.assertIn(f"{len(saved['pages'])} rows of pages", said)
                self.assertIn(f"{saved['page_payloads'].size} payload bytes", said)
                self.assertIn(f"brings back {running['length'].sum()} of the {running['length'].sum()} tokens", said)
        self.assertEqual(self.done("verify", "three", ranks=3), self.done("verify", "three"))

    def test_show_has_every_request_and_rank(self):
        text = self.done("show", "three")
        for i in range(7):
            self.assertRegex(text, rf"(?m)^ +{i} (waiting|running|done) .* r,{i}$")
        with h5py.File(self.checkpoints("three")[-1]) as saved:
            for rank, pages in zip(*numpy.unique(saved["pages"]["rank"], return_counts=True)):
                self.assertRegex(text, rf"(?m)^ +{rank} +{pages} ")
        self.assertRegex(text, r"(?m)^  page-tokens +8$")

    def test_diff_finds_a_checkpoint_equal_to_itself(self):
        newest = self.checkpoints("three")[-1]
        self.assertRegex(self.done("diff", "three", newest), r"^equal: 7 requests and \d+ pages\n$")

    def test_diff_names_requests_and_pages_of_another_step(self):
        done = run(PIKV, ["checkpoint", "diff", *self.checkpoints("three")], cwd=self.folder)
        self.assertEqual(done.code, 3, done.stderr)
        self.assertRegex(done.stdout, r"request \d: (tokens differ|phase)")
        self.assertRegex(done.stdout, r"page of stream [0-9a-f]{32}, layer \d, block \d+: (only in the|other bytes)")
        self.assertRegex(done.errors()[0], r"are not the same: \d+ requests?, \d+ pages differ; ")

    def test_where_pages_lay_is_no_difference(self):
        """On 3 ranks a page lies elsewhere than on one, and the job is at another place: equal keys hold equal bytes."""
        done = run(PIKV, ["checkpoint", "diff", "three", "one"], cwd=self.folder)
        self.assertEqual(done.code, 3)
        (equal,) = re.findall(r"and (\d+) pages are equal", done.errors()[0])
        self.assertGreaterEqual(int(equal), 0)
        self.assertNotIn("model", done.stdout)
        self.assertIn("no difference for the result: option checkpoint: three / one", done.stdout)

    def test_another_readers_read_it(self):
        newest = self.checkpoints("three")[-1]
        dumped = subprocess.run(["h5dump", "-H", str(newest)], capture_output=True, text=True, check=True).stdout
        for part in ("requests", "tokens", "text", "pages", "page_headers", "page_payloads", "options", "model"):
            self.assertIn(f'"{part}"', dumped)
        (example,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S)
        said = subprocess.run([sys.executable, "-c", example, str(newest)], capture_output=True, text=True, check=True).stdout
        self.assertRegex(said, r"(?s)on 3 ranks, because of interval\nr,0 .*keys of the first block, layer 0: \(2, 8, 64\).* pages: .*by rank")

    def test_the_document_names_every_field(self):
        doc = DOC.read_text()
        with h5py.File(self.checkpoints("three")[-1]) as saved:
            for name in [*saved.attrs, *saved["requests"].dtype.names, *saved["pages"].dtype.names]:
                self.assertIn(f"`{name}`", doc)

    def test_arguments_that_are_wrong(self):
        for args, says in [((), "list, verify, diff, show"), (("verfy", "one"), "list, verify, diff, show"), (("verify",), "pikv checkpoint verify PATH"),
                           (("diff", "one"), "diff A B"), (("diff", "one", "one", "one"), "diff A B"), (("list", "--all"), "--all is not an option")]:
            with self.subTest(args=args):
                self.assertIn(says, self.refused(2, "checkpoint", *args))
        (self.folder / "empty").mkdir()
        for args, says in [(("verify", "nowhere"), "nowhere does not exist"), (("list", "empty"), "no complete checkpoint"), (("show", "in.jsonl"), "is not an HDF5 file")]:
            with self.subTest(args=args):
                self.assertIn(says, self.refused(1, "checkpoint", *args))


class Damage(Saved):
    def resume(self, path):
        return run(PIKV, ["generate", "--resume", path, "--output", "resumed.jsonl", "--log-level", "error"], cwd=self.folder)

    def assert_refused_everywhere(self, path, what):
        """verify refuses it with 1 or 3, --resume with 1, in one sentence each, and nothing comes out."""
        done = run(PIKV, ["checkpoint", "verify", path], cwd=self.folder)
        self.assertIn(done.code, (1, 3), what)
        self.assertEqual((len(done.errors()), done.stderr.count("\n"), done.stdout), (1, 1, ""), f"{what}: {done.stderr}")
        self.assertIn(path.name, done.errors()[0])
        done = self.resume(path)
        self.assertEqual(done.code, 1, f"{what}: {done.stderr}")
        self.assertEqual((len(done.errors()), done.stderr.count("\n"), done.stdout), (1, 1, ""), f"{what}: {done.stderr}")
        self.assertFalse((self.folder / "resumed.jsonl").exists(), what)

    def test_one_cut_short_anywhere(self):
        newest = self.checkpoints("one")[-1]
        whole = newest.read_bytes()
        for place in range(16):
            length = (len(whole) - 1) * place // 15
            newest.write_bytes(whole[:length])
            self.assert_refused_everywhere(newest, f"cut to {length} of {len(whole)}")

    def test_the_older_checkpoint_is_still_usable(self):
        older, newest = self.checkpoints("one")
        with h5py.File(newest, "r+") as saved:
            saved["page_payloads"][0] ^= 1
        self.assert_refused_everywhere(newest, "a page changed")
        self.assertIn("resume from an older checkpoint", self.resume("one").errors()[0])
        done = self.resume(older)
        self.assertEqual(done.code, 0, done.stderr)
        tokens = [[json.loads(line)["tokens"] for line in (folder / name).read_text().splitlines()]
                  for folder, name in ((self.jobs, "one.jsonl"), (self.folder, "resumed.jsonl"))]
        self.assertEqual(tokens[0], tokens[1])

    def test_everything_in_it_that_changes(self):
        newest = self.checkpoints("three")[-1]
        whole = newest.read_bytes()

        def field(table, name):
            def change(saved):
                rows = saved[table][:]
                rows[name][1:2] += 1
                saved[table][:] = rows
            return change

        def flip(dataset):
            def change(saved):
                saved[dataset][(saved[dataset].shape[0] // 2,) + (7,) * (saved[dataset].ndim - 1)] ^= 4
            return change

        changes = {f"{table}.{name}": field(table, name) for table, names in (("requests", ("length", "generated", "stream_lo", "first_token_at", "max_new_tokens")),
                                                                             ("pages", ("block", "layer", "tokens", "stream_hi"))) for name in names}
        changes |= {dataset: flip(dataset) for dataset in ("tokens", "text", "page_headers", "page_payloads")}
        changes |= {f"without {name}": lambda saved, name=name: saved.pop(name) for name in ("options", "requests", "pages", "page_payloads")}
        changes["format"] = lambda saved: saved.attrs.__setitem__("format", numpy.int64(9))
        changes["kind"] = lambda saved: saved.attrs.__setitem__("kind", "trace")
        changes["an option"] = lambda saved: saved["options"].attrs.__setitem__("page-tokens", "16")
        for what, change in changes.items():
            newest.write_bytes(whole)
            with h5py.File(newest, "r+") as saved:
                change(saved)
            self.assert_refused_everywhere(newest, what)

    def test_bits_inverted_anywhere_are_seen_or_change_nothing(self):
        newest = self.checkpoints("one")[-1]
        whole = newest.read_bytes()
        places = random.Random(5)
        refused = 0
        for _ in range(24):
            damaged = bytearray(whole)
            damaged[places.randrange(8192) if places.random() < 0.5 else places.randrange(len(whole))] ^= 1 << places.randrange(8)
            newest.write_bytes(damaged)
            if run(PIKV, ["checkpoint", "verify", newest], cwd=self.folder).code == 0:
                (self.folder / "whole.h5").write_bytes(whole)
                self.assertIn("equal: ", self.done("diff", newest, "whole.h5"))
            else:
                refused += 1
                self.assert_refused_everywhere(newest, "bits inverted")
        self.assertGreater(refused, 8)

    def test_a_trace_is_no_checkpoint(self):
        done = run(PIKV, ["generate", "--prompt", "Once", "--max-new-tokens", "2", "--trace", "run.h5", "--log-level", "error"], cwd=self.folder)
        self.assertEqual(done.code, 0, done.stderr)
        self.assert_refused_everywhere(self.folder / "run.h5", "a trace")

    def test_on_3_ranks_a_damaged_one_is_one_sentence_too(self):
        newest = self.checkpoints("three")[-1]
        with h5py.File(newest, "r+") as saved:
            saved["page_payloads"][-1] ^= 1
        done = run(PIKV, ["generate", "--resume", "three", "--output", "resumed.jsonl", "--log-level", "error"], 3, self.folder)
        self.assertEqual((done.code, len(done.errors())), (1, 1), done.stderr)
        self.assertIn("is damaged (bad payload); nothing was restored", done.errors()[0])


class AnotherModel(Saved):
    def refused_with(self, make, says):
        make(MODEL, self.folder / "model")
        sentence = self.refused(2, "generate", "--resume", "one", "--model", "model", "--log-level", "error")
        self.assertRegex(sentence, says)
        shutil.rmtree(self.folder / "model")

    def test_no_room_for_one_or_for_a_trace_is_one_sentence_of_all_ranks(self):
        command = [PIKV, "generate", *SETTINGS, "--in-process", "3", "--checkpoint", "new", "--output", "new.jsonl"]
        for options, part in (([], "new/step-.*"), (["--trace", "trace.h5"], "trace")):
            done = run("sh", ["-c", 'ulimit -f 100; exec "$@"', "sh", *command, *options], cwd=self.folder)
            self.assertEqual(done.code, 1, done.stderr)
            self.assertRegex(done.stderr, rf"^pikv: error: could not make room for .* of {part}\.h5\.part .*\n$")
        self.assertEqual([*self.folder.glob("new/*.h5"), *self.folder.glob("new.jsonl")], [])

    def test_a_field_of_its_configuration_is_named(self):
        self.refused_with(bad_models.with_config(rope_theta=5000.0), "is of another model: rope_theta is 100000 there and 5000 here")
        self.refused_with(bad_models.with_config(max_position_embeddings=4096), "is of another model: max_positions is 8192 there and 4096 here")

    def test_other_weights_are_told(self):
        def change(weights):
            begin = weights.header["model.layers.0.self_attn.k_proj.weight"]["data_offsets"][0]
            weights.data[begin] ^= 1
        self.refused_with(bad_models.with_weights(change), "same shape with other weights, or of another calibration .fingerprint")

    def test_an_option_that_decides_is_named(self):
        self.assertIn("--page-tokens=16 would change the result", self.refused(2, "generate", "--resume", "one", "--page-tokens", "16"))


del Saved   # a base, no test


if __name__ == "__main__":
    unittest.main()
