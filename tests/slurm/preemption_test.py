"""A job of generate.sh is preempted by a more urgent one, or comes near its time limit: it saves itself, goes back into the queue, goes on, and
its tokens are those of the uninterrupted job.  Run: preemption_test.py CLUSTER PIKV"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from cluster import ENVIRONMENT, REPOSITORY, Cluster, skip_unless_possible, wait_until

SAME = ("--max-new-tokens", "600", "--kv-dtype", "f32", "--page-tokens", "16")


def tokens(path):
    return [json.loads(line)["tokens"] for line in path.read_text().splitlines()]


class Preemption(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run([PIKV, "generate", *SAME, "--output", cls.folder / "one.jsonl"], env=ENVIRONMENT, capture_output=True, check=True)
        cls.of_one_rank = tokens(cls.folder / "one.jsonl")

    def submit(self, *options):
        job = CLUSTER.submit(*options, "--ntasks-per-node=2", REPOSITORY / "slurm/generate.sh", *SAME, "--checkpoint-every", "20", cwd=self.folder, environment={"PIKV": PIKV})
        log = self.folder / f"pikv-generate-{job}.log"
        wait_until(lambda: any(log.with_suffix(".checkpoints").glob("step-*.h5")), 60, "checkpoint")   # so it is half way
        return job, log

    def starts_again(self, job, log, *size):
        """Slurm lets a job that comes back wait for two minutes; here the time that its first start takes to end will do."""
        wait_until(lambda: "PENDING" in CLUSTER.run("login", "squeue", "--noheader", "--format=%T", "--jobs", job).stdout, 60, "job back in the queue")
        self.assertIn("goes back into the queue", log.read_text())
        CLUSTER.said("login", "scontrol", "update", f"JobId={job}", "StartTime=now+15", *size)
        wait_until(lambda: "pages, all verified" in log.read_text(), 90, "job that goes on")

    def ended(self, job, start):
        report = CLUSTER.said("login", PIKV, "analyze", self.folder / f"pikv-generate-{job}.{start}.h5")
        told = subprocess.run(["h5dump", "-a", "/ended", self.folder / f"pikv-generate-{job}.{start}.h5"], capture_output=True, text=True, check=True).stdout
        return report, told

    def check_end(self, job, log):
        self.assertEqual(CLUSTER.finish(job, 180), [0], log.read_text())
        self.assertEqual(tokens(log.with_suffix(".jsonl")), self.of_one_rank)
        self.assertIn("SIGTERM on rank", self.ended(job, 0)[1])
        self.assertIn("finished", self.ended(job, 1)[1])

    def test_a_preempted_job_goes_on_where_it_was_on_the_host_that_is_left(self):
        job, log = self.submit("--nodes=2")
        self.assertIn("4 ranks on 2 hosts", log.read_text())
        urgent = CLUSTER.submit("--partition=urgent", "--nodes=1", "--exclusive", "--output=/dev/null", "--wrap=sleep 600", cwd=self.folder)
        try:
            self.starts_again(job, log, "NumTasks=2", "NumNodes=1")
            self.assertIn("2 ranks on 1 host", log.read_text())
            self.check_end(job, log)
        finally:
            CLUSTER.said("login", "scancel", urgent)
        self.assertEqual(json.loads(log.with_suffix(".json").read_text())["ranks"], 2)

    def test_near_its_time_limit_it_goes_on_in_another_start(self):
        job, log = self.submit("--nodes=2")
        CLUSTER.said("login", "scancel", "--batch", "--signal=USR1", job)   # what --signal=B:USR1@120 does at that time
        self.starts_again(job, log)
        self.check_end(job, log)

    def test_a_cancelled_job_is_saved_and_stays_cancelled(self):
        job, log = self.submit("--nodes=2")
        CLUSTER.said("login", "scancel", job)
        CLUSTER.finish(job)
        self.assertIn("so it does not go back into the queue", log.read_text())
        newest = max(log.with_suffix(".checkpoints").glob("step-*.h5"))
        self.assertIn("SIGTERM on rank", CLUSTER.said("login", "h5dump", "-a", "/reason", newest))
        CLUSTER.said("login", PIKV, "checkpoint", "verify", newest)


if __name__ == "__main__":
    skip_unless_possible()
    PIKV = sys.argv.pop()
    CLUSTER = Cluster(sys.argv.pop())
    unittest.main()
