"""What prints and computes nothing says the same on 1 and 3 ranks, once; so does the choice of a transport.  Run: said_once_test.py build/pikv"""
import pathlib
import sys
import unittest

from pikv_runs import run

PIKV = pathlib.Path(sys.argv.pop(1)).resolve()
MODEL = pathlib.Path(__file__).resolve().parents[2] / "data/tiny-moe"


class SaidOnce(unittest.TestCase):
    def said(self, *args):
        alone = run(PIKV, args)
        together = run(PIKV, args, ranks=3)
        self.assertEqual((alone.code, together.code), (0, 0), alone.stderr + together.stderr)
        self.assertEqual(together.codes, {0: 0, 1: 0, 2: 0})
        self.assertEqual(together.stdout, alone.stdout)
        self.assertEqual(alone.stderr, "")
        return alone.stdout

    def test_help_names_the_sub_commands(self):
        self.assertEqual(self.said(), self.said("--help"))
        for name in ("evaluate", "generate", "list", "model", "replay", "sweep"):
            self.assertIn(f"  {name} ", self.said("--help"))

    def test_help_of_generate_tells_defaults_and_units(self):
        text = self.said("generate", "--help")
        self.assertRegex(text, r"--page-tokens N .*default: 32")
        self.assertIn("KiB, MiB, GiB, kB, MB or GB", text)

    def test_version_names_the_libraries(self):
        text = self.said("--version")
        for name in ("pikv", "commit", "compiler", "MPI", "UCX", "HDF5", "CUDA", "NCCL", "transports", "SIMD"):
            self.assertRegex(text, rf"(?m)^{name} +\S")

    def test_lists_are_names_and_sentences(self):
        for kind, name in (("schedulers", "none"), ("codecs", "none"), ("homes", "mod"), ("transports", "mpi"), ("routers", "topk")):
            lines = dict(line.split("\t") for line in self.said("list", kind).splitlines())
            self.assertTrue(lines[name])

    def test_what_auto_takes_as_transport_is_said_with_its_reason(self):
        for options, words in (([], r"\(auto: (ucx, since it is built in|mpi, since UCX is not built in)\)"), (["--transport", "mpi"], "MPI")):
            done = run(PIKV, ["generate", "--prompt", "Once", "--max-new-tokens", "1", *options], ranks=3)
            said = [line for line in done.stderr.splitlines() if line.startswith("pikv: transport: ")]
            self.assertEqual((done.code, len(said)), (0, 1), done.stderr)
            self.assertRegex(said[0], words)
            self.assertEqual("auto" in said[0], not options)

    def test_one_rank_says_nothing_of_pages_over_nccl(self):
        done = run(PIKV, ["generate", "--prompt", "Once", "--max-new-tokens", "1", "--nccl", "pages"])
        self.assertEqual(done.code, 0, done.stderr)
        self.assertNotIn("NCCL", done.stderr)

    def test_the_embedded_model_runs_here(self):
        text = self.said("model", MODEL)
        self.assertRegex(text, r"architecture +MixtralForCausalLM\n")
        self.assertRegex(text, r"KV bytes per token +2048 \(bf16\)")
        self.assertRegex(text, r"runs here +yes\n")


if __name__ == "__main__":
    unittest.main()
