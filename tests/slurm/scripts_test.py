"""The batch scripts, submitted: a report per line of a sweep, errors in the job's log, codes passed on, modules loaded.
Run: scripts_test.py CLUSTER PIKV"""
import json
import pathlib
import sys
import tempfile
import unittest

from cluster import REPOSITORY, Cluster, processes_of, skip_unless_possible, wait_until

PROMPT = ("--prompt", "Once upon a time", "--max-new-tokens", "8")


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def submit(self, script, *arguments, before=(), **environment):
        return CLUSTER.submit(*before, REPOSITORY / "slurm" / script, *arguments, cwd=self.folder, environment={"PIKV": PIKV} | environment)

    def text(self, name):
        return (self.folder / name).read_text()

    def test_a_sweep_gives_a_report_per_line_and_the_bad_line_alone_fails(self):
        (self.folder / "settings").write_text("--page-tokens 16\n--page-tokens 17\n\n")
        job = self.submit("sweep.sh", "settings", *PROMPT, before=["--array=1-4"])
        self.assertEqual(CLUSTER.finish(job), [0, 2, 0, 2])
        said = {path.name for path in self.folder.glob("pikv-sweep-*.json")}
        self.assertEqual(said, {f"pikv-sweep-{job}-{line}.json" for line in (1, 3)})
        self.assertIn("pikv: error: --page-tokens=17", self.text(f"pikv-sweep-{job}-2.log"))
        self.assertIn("settings has no line 4; submit with --array=1-3", self.text(f"pikv-sweep-{job}-4.log"))
        sealed = [json.loads(self.text(f"pikv-sweep-{job}-{line}.json"))["kv"]["pages_sealed"] for line in (1, 3)]
        self.assertGreater(sealed[0], sealed[1])   # pages of 16 tokens against 32

    def test_an_error_stands_in_the_log_and_the_code_is_passed_on(self):
        job = self.submit("generate.sh", "--no-such-option")
        self.assertEqual(CLUSTER.finish(job), [2])
        self.assertIn("pikv: error: --no-such-option", self.text(f"pikv-generate-{job}.log"))
        self.assertEqual([path.name for path in self.folder.iterdir()], [f"pikv-generate-{job}.log"])

    def test_modules_are_loaded(self):
        record = self.folder / "modules"
        job = self.submit("generate.sh", *PROMPT, MODULES="gcc openmpi/4.1", **{"BASH_FUNC_module%%": f'() {{ echo "$@" >>{record}; }}'})
        self.assertEqual(CLUSTER.finish(job), [0], self.text(f"pikv-generate-{job}.log"))
        self.assertEqual(record.read_text(), "load gcc openmpi/4.1\n")

    def test_without_modules_or_executable_one_sentence_says_so(self):
        jobs = [self.submit("generate.sh", MODULES="gcc"), self.submit("generate.sh", PIKV="/no/such/pikv")]
        self.assertEqual([CLUSTER.finish(job) for job in jobs], [[2], [2]])
        self.assertIn("no module command; unset it", self.text(f"pikv-generate-{jobs[0]}.log"))
        self.assertIn("/no/such/pikv is no executable that node1 sees; set PIKV", self.text(f"pikv-generate-{jobs[1]}.log"))

    def test_a_signal_before_the_limit_ends_the_ranks_and_says_so(self):
        (self.folder / "prompts").write_text("Once upon a time\n" * 6)
        (self.folder / "settings").write_text("--page-tokens 16\n")   # a sweep does not save itself, so it ends
        job = self.submit("sweep.sh", "settings", "--prompts", self.folder / "prompts", "--max-new-tokens", "8000", before=["--array=1-1"])
        log = self.folder / f"pikv-sweep-{job}-1.log"
        wait_until(lambda: log.exists() and "KV memory" in log.read_text(), 60, "rank that begins")
        CLUSTER.said("login", "scancel", "--batch", "--signal=TERM", f"{job}_1")
        self.assertNotEqual(CLUSTER.finish(job), [0])
        self.assertIn("pikv-sweep: the time limit is near, or the job is cancelled: ending the ranks", log.read_text())
        self.assertEqual(processes_of(self.folder), {})
        self.assertEqual(list(self.folder.glob("*.jsonl")), [])


if __name__ == "__main__":
    skip_unless_possible()
    PIKV = sys.argv.pop()
    CLUSTER = Cluster(sys.argv.pop())
    unittest.main()
