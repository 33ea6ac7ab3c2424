"""pikv calibrate from outside: real ranks find what one finds, and the file reads as docs/calibration.md says.  Run: calibrate_test.py build/pikv   (needs h5py)"""
import contextlib
import io
import pathlib
import re
import sys
import tempfile
import unittest

import h5py
import numpy

from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ["--tokens", 1280, "--window", 128, "--distill", 16]


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
        return found, dict(file.attrs)


class Calibrate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        cls.printed = {ranks: cls.calibrate(ranks) for ranks in (1, 3)}

    @classmethod
    def calibrate(cls, ranks):
        done = run(PIKV, ["calibrate", "--output", f"{ranks}.h5", *SMALL], cwd=cls.folder, ranks=ranks)
        assert done.code == 0, done.stderr
        return done.stdout

    def test_three_ranks_find_what_one_finds(self):
        one, about_one = datasets(self.folder / "1.h5")
        three, about_three = datasets(self.folder / "3.h5")
        self.assertEqual(one.keys(), three.keys())
        for name in ("fingerprint", "text", "tokens", "held_out_tokens", "head_dim"):
            self.assertEqual(about_one[name], about_three[name])
        for name, values in one.items():
            if name.startswith("moments") or name.startswith("held_out/svd"):
                numpy.testing.assert_allclose(values, three[name], atol=1e-4 * abs(values).max(), err_msg=name)

    def test_the_file_holds_what_the_docs_list_and_nothing_else(self):
        text = (ROOT / "docs/calibration.md").read_text()
        rows = re.findall(r"^\| (/[^|]*) \| f(\d+) \|", text, re.M)
        names = {"PART": ["keys", "values"], "FAMILY": ["lora", "lora_plus", "prune", "svd", "none"], "RANK": ["16"], "BITS": ["2", "2.5", "3", "3.5", "4"]}
        listed = {}
        for words, bits in rows:
            path = ""
            for word in re.sub(r", and int4", ", int4", words).split(", "):
                word = word.strip()
                if word in ("int4", "int3"):
                    more = [listed_path.replace("int8", word) for listed_path in list(listed) if "int8" in listed_path]
                else:
                    path = word if word.startswith("/") else path.rsplit("/", 1)[0] + "/" + word
                    more = [path]
                    for name, values in names.items():
                        more = [old.replace(name, value) for old in more for value in values]
                listed.update({each: f"float{bits}" for each in more})
        there, _ = datasets(self.folder / "1.h5")
        for name, values in there.items():
            self.assertEqual(listed.get("/" + name), str(values.dtype), name)
            self.assertTrue(numpy.isfinite(values).all(), name)
        self.assertEqual({name for name in listed if "none" not in name} - {"/" + name for name in there}, set())

    def test_the_example_of_the_docs_runs(self):
        example = re.search(r"```python\n(.*?)```", (ROOT / "docs/calibration.md").read_text(), re.S)[1]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(example.replace("c.h5", str(self.folder / "1.h5")), {})
        self.assertIn("orthonormal: True", printed.getvalue())

    def test_prints_the_errors_that_the_file_has(self):
        with h5py.File(self.folder / "1.h5") as file:
            lost, size = (numpy.array([file[f"{group}/{part}/squared"][:].sum(axis=(0, 1)) for part in ("keys", "values")]) for group in ("held_out/svd", "held_out_size"))
        row = next(line.split() for line in self.printed[1].splitlines() if line.split()[:2] == ["svd", "16"])
        expected = [lost[:, 1].sum() / size.sum(), lost[0, 1] / size[0, 0], lost[1, 1] / size[1, 0]]
        numpy.testing.assert_allclose([float(word) for word in row[2:5]], expected, rtol=6e-3)

    def test_leaves_no_part_behind(self):
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["1.h5", "3.h5"])


if __name__ == "__main__":
    unittest.main()
