"""jobs/fetch_model.py and what it is made of, without the network: on a small model, and where PyPI is not reached.
Run: fetch_model_test.py build/pikv   (needs h5py and numpy)"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import types
import unittest

import h5py
import numpy

import pikv_runs
import real_model

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
sys.dont_write_bytecode = True
sys.path.append(str(real_model.REPOSITORY / "jobs"))
sys.modules.setdefault("gguf", types.ModuleType("gguf"))   # which reads the file, and is not needed for what is tested of gguf_source

import bf16  # noqa: E402
import fetch_model  # noqa: E402
import gguf_source  # noqa: E402
import upcycle  # noqa: E402

ODD_LLAMA = real_model.REPOSITORY / "tests/data/odd-llama"


def read_safetensors(path):
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8:8 + length])
    types_of = {"F32": "<f4", "I32": "<i4", "BF16": "<u2"}
    return {name: numpy.frombuffer(whole, types_of[entry["dtype"]], int(numpy.prod(entry["shape"])), 8 + length + entry["data_offsets"][0]).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


class Parts(unittest.TestCase):
    def test_bf16_is_rounded_to_nearest_and_ties_to_even(self):
        one = 0x3F800000
        bits = numpy.array([one, one + 0x7FFF, one + 0x8000, one + 0x8001, one + 0x18000, 0x80000000], "<u4")
        self.assertEqual(bf16.narrowed(bits.view("<f4")).tolist(), [0x3F80, 0x3F80, 0x3F80, 0x3F81, 0x3F82, 0x8000])
        every = numpy.arange(0, 0x7F80, dtype="<u2")
        self.assertTrue((bf16.narrowed(bf16.widened(every)) == every).all())

    def test_half_split_rows_score_with_half_split_rope_as_the_others_did_with_pairs_side_by_side(self):
        random = numpy.random.default_rng(1)
        heads, d, width = 3, 8, 5
        rows, x = random.normal(size=(heads * d, width)), random.normal(size=(2, width))
        angle = numpy.arange(1, 3)[:, None] * 10.0 ** -numpy.arange(d // 2)
        turn = numpy.exp(1j * angle)[:, None, :]   # [position][1][pair]

        def pairs(y, split):
            y = y.reshape(2, heads, d)
            return (y[..., :d // 2] + 1j * y[..., d // 2:] if split else y[..., ::2] + 1j * y[..., 1::2]) * turn

        side_by_side, split = pairs(x @ rows.T, False), pairs(x @ gguf_source.half_split(rows, heads).T, True)
        scores = [(of[0] * of[1].conj()).sum(-1).real for of in (side_by_side, split)]
        numpy.testing.assert_allclose(scores[0], scores[1], rtol=1e-12)

    def test_centroids_are_nearest_to_their_own_rows(self):
        random = numpy.random.default_rng(2)
        middles = upcycle.unit(random.normal(size=(4, 16)))
        rows = numpy.repeat(middles, 50, axis=0) * random.uniform(1, 5, (200, 1)) + 0.02 * random.normal(size=(200, 16))
        nearest = (rows @ upcycle.centroids(rows, 4, seed=0).T).argmax(axis=1).reshape(4, 50)
        self.assertTrue((nearest == nearest[:, :1]).all())
        self.assertEqual(len(set(nearest[:, 0].tolist())), 4)


class Upcycle(unittest.TestCase):
    """On odd-llama, rounded to bf16."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.config = json.loads((ODD_LLAMA / "config.json").read_text()) | {"head_dim": 8, "rope_theta": 2000.0, "dtype": "bfloat16"}
        self.weights = {name: bf16.narrowed(values) for name, values in read_safetensors(ODD_LLAMA / "model.safetensors").items()}
        self.reference = read_safetensors(ODD_LLAMA / "reference.safetensors")

    def write(self, name, config, weights):
        folder = self.folder / name
        folder.mkdir()
        fetch_model.write_json(folder / "config.json", config)
        fetch_model.write_safetensors(folder / "model.safetensors", weights)
        return folder

    def logits(self, model):
        (self.folder / "p.jsonl").write_text(json.dumps({"prompt_ids": self.reference["ids"].tolist(), "max_new_tokens": 8}) + "\n")
        done = pikv_runs.run(PIKV, ["generate", "--model", model, "--kv-dtype", "f32", "--prompts", self.folder / "p.jsonl", "--logits", self.folder / "l.h5"])
        self.assertEqual(done.code, 0, done.stderr)
        with h5py.File(self.folder / "l.h5") as file:
            return file["request/0/logits"][:]

    def test_the_forward_pass_that_makes_the_gate_is_that_of_transformers(self):
        *_, (_, states) = upcycle.layers_of(self.config, self.weights, self.reference["ids"])
        normed = upcycle.rms_norm(states, bf16.widened(self.weights["model.norm.weight"]), self.config["rms_norm_eps"])
        logits, right = normed @ bf16.widened(self.weights["lm_head.weight"]).T, self.reference["logits"]
        self.assertLess(numpy.abs(logits - right).max(), 0.02 * numpy.abs(right).max())   # bf16 weights against fp32 ones

    def test_the_mixtral_is_the_same_function_and_uses_its_experts(self):
        dense = self.write("dense", self.config, self.weights)
        config, weights = upcycle.as_mixtral(self.config, self.weights, 3, self.reference["ids"])
        mixtral = self.write("mixtral", config, weights)
        right = self.logits(dense)
        numpy.testing.assert_allclose(self.logits(mixtral), right, atol=1e-5 * numpy.abs(right).max())
        for layer, (seen, _) in enumerate(upcycle.layers_of(self.config, self.weights, self.reference["ids"])):
            gate = bf16.widened(weights[f"model.layers.{layer}.block_sparse_moe.gate.weight"])
            self.assertEqual(len(set((seen @ gate.T).argmax(axis=1).tolist())), 3)
        told = pikv_runs.run(PIKV, ["model", mixtral]).stdout
        self.assertRegex(told, r"experts +3\n")
        self.assertRegex(told, r"stored experts +1 a layer")


class Script(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def fetch(self, *arguments):
        """With Python's own packages alone and an index that nobody serves."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
        return subprocess.run([sys.executable, real_model.REPOSITORY / "jobs/fetch_model.py", *arguments], capture_output=True, text=True, cwd=self.folder,
                              env=environment, check=False)

    def test_without_network_it_says_what_to_install_and_leaves_nothing(self):
        done = self.fetch("made", "--cache", "cache")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertRegex(done.stderr, r"^fetch_model\.py: error: pip could not get .* \(.+\); check the network, or .* install ")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["cache"])
        self.assertEqual(list((self.folder / "cache").iterdir()), [])

    def test_what_is_there_stays(self):
        (self.folder / "made").mkdir()
        done = self.fetch("made")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "made is there already\n", ""))

    def test_refuses_a_number_of_experts_that_makes_no_mixture(self):
        for number in ("1", "0", "-3", "300"):
            done = self.fetch("made", "--upcycle", number)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rf"^fetch_model\.py: error: --upcycle {number} is not a number of experts from 2 to 256")


if __name__ == "__main__":
    unittest.main()
