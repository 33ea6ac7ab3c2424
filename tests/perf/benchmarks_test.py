"""Each benchmark of transfers and checksums runs in its smallest form, checks what it moves, and prints its rows.
Run: benchmarks_test.py perf build/perf   (needs ucx_perftest, Debian: ucx-utils)"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILT = pathlib.Path(sys.argv.pop(2))
SCRIPTS = pathlib.Path(sys.argv.pop(1))
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("UCX_")} | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def rows(*command):
    """What it prints, in words, without its comments."""
    done = subprocess.run([*map(str, command)], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]


class Benchmarks(unittest.TestCase):
    def test_page_bench_beside_ucx_perftest_over_shared_memory_and_tcp(self):
        small = ("--repeats", 1, "--kib", 4, 64, "--volume-mib", 4, "--pool-mib", 16)
        printed = rows(sys.executable, SCRIPTS / "page_bench.py", BUILT / "page_bench", *small)
        self.assertEqual([row[1] for row in printed if row[0] == "ucx"], ["4", "64"] * 4)   # bandwidth and latency, shm and tcp
        self.assertEqual([row[0] for row in printed if row[0].startswith("UCX_TLS")], ["UCX_TLS=shm,self,", "UCX_TLS=tcp,self,"])

    def test_exchange_bench_over_every_transport(self):
        printed = rows("mpirun", "--oversubscribe", "-n", 2, BUILT / "exchange_bench", "--bytes", 0, 1000, "--rounds", 2, "--blocks", 2)
        self.assertEqual([row[:3] for row in printed[1:]], [["2", "mpi", "0"], ["2", "ucx", "0"], ["2", "mpi", "1000"], ["2", "ucx", "1000"]])

    def test_hash_bench_warm_and_cold(self):
        printed = rows(BUILT / "hash_bench", "--kib", 4, 64, "--repeats", 3, "--pool-mib", 16)
        self.assertEqual([row[:2] for row in printed[-4:]], [["4", "warm"], ["4", "cold"], ["64", "warm"], ["64", "cold"]])

    def test_kvpress_bench_pairs_what_both_sides_lost_and_says_what_it_could_not_compare(self):
        part = {"context_ids": list(range(20, 60)), "question_ids": [7], "answer_ids": [8, 9]}
        tasks = [{"kind": kind} | part for kind in ("text", "text", "single", "single")]
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
            for method, loss in (("None-1.0", 1), ("tova-0.5", 100), ("streaming-0.5", 0)):   # ours lie between
                pathlib.Path(folder, f"kvpress-{method}.json").write_text(json.dumps([[loss, False]] * 4))
            printed = rows(sys.executable, SCRIPTS / "kvpress_bench.py", BUILT.parent / "pikv", SCRIPTS.parent / "data/tiny-moe", "--folder", folder,
                           "--methods", "tova", "streaming", "lru", "nonsense", "--keep", 0.5, "--pages", 1, 16)
        ours = [row for row in printed if row[:2] == ["ours,", "p"]]
        self.assertEqual([row[-1] for row in ours[:4]], ["ok", "ok", "WORSE", "WORSE"])
        self.assertEqual([row[0] for row in printed].count("kvpress"), 2)
        self.assertIn(["kvpress:", "no", "such", "method"], printed)
        self.assertEqual(len(ours[4]), 8)   # lru: alone
        self.assertIn("not compared", " ".join(ours[6]))

    @unittest.skipIf(shutil.which("nvidia-smi") and "GPU" in subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout, "there is a GPU")
    def test_gpu_sh_says_that_there_is_no_gpu_before_it_builds(self):
        done = subprocess.run(["bash", SCRIPTS / "gpu.sh"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"^gpu\.sh: error: no GPU was found: .*\n$")


if __name__ == "__main__":
    unittest.main()
