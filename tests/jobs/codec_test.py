"""Codecs from the command line: calibrate, generate, evaluate and sweep with what was calibrated; a calibration of another model is refused.

    codec_test.py PIKV
"""
import csv
import json
import pathlib
import sys
import tempfile
import unittest

from pikv_runs import run

PIKV = sys.argv[1]
ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = ROOT / "data" / "held_out.txt"


class Codecs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.home = pathlib.Path(cls.folder.name)
        cls.calibration = str(cls.home / "tiny.h5")
        done = run(PIKV, ["calibrate", "--text", str(TEXT), "--tokens", "4096", "--output", cls.calibration])
        assert done.code == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def report_of(self, *args, ranks=1):
        path = self.home / "report.json"
        prompt = TEXT.read_text()[:1200]
        done = run(PIKV, ["generate", "--prompt", prompt, "--max-new-tokens", "16", "--report", str(path), "--output", str(self.home / "out.jsonl"), *args], ranks=ranks)
        self.assertEqual(done.code, 0, done.stderr)
        return json.loads(path.read_text())

    def test_bytes_that_are_saved_are_not_allocated(self):
        plain = self.report_of()
        self.assertEqual(plain["codec"], {"name": "none", "stated_ratio": 1})
        for codec, ratio in (("int8", 0.6), ("int4", 0.36), ("int3", 0.3), ("int4/rotate+int3", 0.33), ("mixed:3.5/rotate+mixed:3.5", 0.29), ("svd:48+int8", 0.5), ("int4/svd:32+int8", 0.4)):
            args = ["--calibration", self.calibration] if "svd" in codec or "mixed" in codec else []
            report = self.report_of("--codec", codec, *args, ranks=2)
            self.assertEqual(report["codec"]["name"], codec)
            self.assertLess(report["codec"]["stated_ratio"], ratio)
            self.assertLess(report["kv"]["payload"], 0.9 * plain["kv"]["payload"])
            parts = sum(report["kv"][part] for part in ("payload", "header", "summaries", "slack", "replicas"))
            self.assertEqual(report["kv"]["bytes_resident"], parts)
            self.assertGreater(report["stages_s"]["codec"], 0)

    def test_pages_cool_and_say_so(self):
        warm = self.report_of("--codec", "int8", "--page-tokens", "8")
        apart = self.report_of("--codec", "int8", "--cold-codec", "int4", "--cold-after", "64", "--page-tokens", "8", ranks=2)
        joined = self.report_of("--codec", "int8>int4@64", "--page-tokens", "8")
        for report in (apart, joined):
            codec = report["codec"]
            self.assertEqual((codec["name"], codec["cold"]["name"], codec["cold"]["after"]), ("int8", "int4", 64))
            self.assertLess(codec["cold"]["stated_ratio"], 0.8 * codec["stated_ratio"])
            self.assertGreater(codec["cold"]["pages_recoded"], 10)
            self.assertLess(report["kv"]["payload"], 0.95 * warm["kv"]["payload"])
        self.assertEqual(apart["codec"]["cold"]["pages_recoded"], joined["codec"]["cold"]["pages_recoded"])

    def test_auto_loses_less_with_more_room(self):
        losses = []
        for budget in ("3MiB", "8MiB"):
            path = self.home / "evaluated.json"
            done = run(PIKV, ["evaluate", "--text", str(TEXT), "--window", "1024", "--windows", "1", "--batch", "1", "--codec", "auto", "--kv-budget", budget, "--calibration", self.calibration, "--report", str(path)])
            self.assertEqual(done.code, 0, done.stderr)
            losses.append(json.loads(path.read_text())["fidelity"]["output_error"]["mean"])
        self.assertGreater(losses[0], losses[1])

    def test_a_sweep_has_codecs_with_and_without_a_calibration(self):
        grid = self.home / "grid.json"
        grid.write_text(json.dumps({"codecs": ["none", "int8", "int8>int4@64", "lora_plus:48", "chunk_select:0.5+int4/svd:48+int4"], "schedulers": ["none", "h2o"], "keep": [0.5]}))
        table = self.home / "sweep.csv"
        done = run(PIKV, ["sweep", "--grid", str(grid), "--text", str(TEXT), "--window", "256", "--windows", "1", "--pin-window", "16", "--calibration", self.calibration,
                          "--output", str(self.home / "sweep.h5"), "--csv", str(table)])
        self.assertEqual(done.code, 0, done.stderr)
        rows = {(row["codec"], row["scheduler"]): row for row in csv.DictReader(table.read_text().splitlines())}
        self.assertEqual(len(rows), 9)   # a selection of tokens and a scheduler exclude each other
        self.assertLess(float(rows["int8", "none"]["kl"]), 1e-3)
        self.assertLess(float(rows["int8>int4@64", "none"]["bytes_kept_ratio"]), float(rows["int8", "none"]["bytes_kept_ratio"]))
        self.assertLess(float(rows["int8", "h2o"]["bytes_kept_ratio"]), float(rows["none", "h2o"]["bytes_kept_ratio"]))

    def test_another_models_calibration_is_refused_and_the_difference_named(self):
        done = run(PIKV, ["generate", "--model", str(ROOT / "tests" / "data" / "odd-llama"), "--prompts", "-", "--codec", "svd", "--calibration", self.calibration], stdin='{"prompt_ids": [1, 2]}\n')
        self.assertEqual(done.code, 2, done.stderr)
        self.assertRegex(done.stderr, r"(?m)^pikv: error: --calibration=.*another model: it is a MixtralForCausalLM, this is a LlamaForCausalLM")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
