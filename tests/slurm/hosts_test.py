"""Four ranks on two hosts give one rank's tokens, by every transport, and the bytes cross the network.  Run: hosts_test.py CLUSTER PIKV"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from cluster import ENVIRONMENT, REPOSITORY, Cluster, skip_unless_possible, transports

SAME = ("--reproducible", "--kv-dtype", "f32", "--page-tokens", "16")


def tokens(path):
    return [json.loads(line)["tokens"] for line in path.read_text().splitlines()]


class TwoHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run([PIKV, "generate", *SAME, "--output", cls.folder / "one.jsonl"], env=ENVIRONMENT, capture_output=True, check=True)
        cls.of_one_rank = tokens(cls.folder / "one.jsonl")

    def check(self, output, report, sent):
        self.assertEqual(tokens(output), self.of_one_rank)
        told = json.loads(report.read_text())
        self.assertEqual((told["ranks"], told["hosts"]), (4, 2))
        self.assertGreater(told["kv"]["pages_remote"], 0)
        to_other_hosts = told["transfer"]["by_locality"]["remote"]
        self.assertGreater(to_other_hosts, 100_000)
        self.assertGreaterEqual(sent, to_other_hosts, "what was sent to other hosts did not pass their network cards")

    def test_srun(self):
        for transport in transports(PIKV):
            with self.subTest(transport):
                output, report = self.folder / f"{transport}.jsonl", self.folder / f"{transport}.json"
                before = CLUSTER.sent_bytes()
                CLUSTER.said("login", "srun", "-N2", "-n4", PIKV, "generate", *SAME, "--transport", transport, "--output", output, "--report", report)
                self.check(output, report, CLUSTER.sent_bytes() - before)

    def test_sbatch_generate(self):
        for transport in transports(PIKV):
            with self.subTest(transport):
                before = CLUSTER.sent_bytes()
                job = CLUSTER.submit(REPOSITORY / "slurm/generate.sh", *SAME, "--transport", transport, cwd=self.folder, environment={"PIKV": PIKV})
                log = self.folder / f"pikv-generate-{job}.log"
                self.assertEqual(CLUSTER.finish(job), [0], log.read_text())
                self.check(log.with_suffix(".jsonl"), log.with_suffix(".json"), CLUSTER.sent_bytes() - before)


if __name__ == "__main__":
    skip_unless_possible()
    PIKV = sys.argv.pop()
    CLUSTER = Cluster(sys.argv.pop())
    unittest.main()
