"""A host whose cable is pulled, and a rank that is killed, while decoding, end the job: non-zero, soon after the deadline, with the rank and its host
named, no process on any host and no file under a final name left.  Run: lost_host_test.py CLUSTER PIKV"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from cluster import Cluster, processes_of, skip_unless_possible, transports, wait_until

DEADLINE_S = 5
SLURM_S = 25   # it notices a lost host after 10 s, and gives processes 5 s to end
CUT_OFF_S = 15   # MPI_Abort on a host that is cut off waits for Slurm to answer; pikv gives it 3 s


class LostHost(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        lines = [json.dumps({"prompt": "Once upon a time", "max_new_tokens": 8000})] * 6
        (self.folder / "prompts.jsonl").write_text("\n".join(lines))

    def tearDown(self):
        CLUSTER.said("login", "ip", "link", "set", "node2", "up")
        CLUSTER.said("login", "scontrol", "reconfigure")   # asks every host at once whether it lives
        wait_until(CLUSTER.idle, 60, "idle cluster")

    def rank(self, number):
        for process in processes_of(self.folder):
            if f"SLURM_PROCID={number}".encode() in pathlib.Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                return process
        self.fail(f"no rank {number}")

    def start(self, transport, log, outputs):
        with log.open("w") as file:
            job = CLUSTER.start("login", "srun", "-N2", "-n4", PIKV, "generate", "--prompts", self.folder / "prompts.jsonl", "--deadline", f"{DEADLINE_S}s",
                                "--transport", transport, "--output", outputs[0], "--report", outputs[1], stdout=subprocess.DEVNULL, stderr=file)
        wait_until(lambda: "KV memory" in log.read_text() or job.poll() is not None, 30, "rank that begins")   # said when set-up is nearly over
        time.sleep(2)   # into the steps
        return job

    def lose(self, transport, loss, sentence):
        log = self.folder / f"{transport}.log"
        outputs = [self.folder / f"{transport}.jsonl", self.folder / f"{transport}.json"]
        job = self.start(transport, log, outputs)
        if job.poll() is not None and "failed during shared memory initialization" in log.read_text():   # Open MPI's own start was seen to race under load
            wait_until(CLUSTER.idle, 60, "idle cluster")
            job = self.start(transport, log, outputs)
        self.assertIsNone(job.poll(), f"over before the loss: {log.read_text()}")
        loss()
        begin = time.monotonic()
        code = job.wait(timeout=120)
        self.assertLess(time.monotonic() - begin, DEADLINE_S + SLURM_S)
        self.assertNotEqual(code, 0)
        self.assertRegex(log.read_text(), sentence)
        wait_until(lambda: not processes_of(self.folder), CUT_OFF_S, f"end of {processes_of(self.folder)}")
        self.assertEqual([path for path in outputs if path.exists()], [])

    def test_a_pulled_cable(self):
        for transport in transports(PIKV):
            with self.subTest(transport):
                self.lose(transport, lambda: CLUSTER.said("login", "ip", "link", "set", "node2", "down"), r"(?m)^pikv: error: rank [01]: .*rank [23] on node2")
                self.tearDown()

    def test_a_killed_rank(self):
        ours = r"(?m)^pikv: error: rank [012]: .*rank 3 on node2"
        # Over MPI the others learn of it at their deadline; Slurm, which ends the step for it, may be first.
        sentences = {"mpi": f"{ours}|^srun: error: node2: task 3: Killed"}
        for transport in transports(PIKV):
            with self.subTest(transport):
                self.lose(transport, lambda: os.kill(self.rank(3), signal.SIGKILL), sentences.get(transport, ours))
                self.tearDown()


if __name__ == "__main__":
    skip_unless_possible()
    PIKV = sys.argv.pop()
    CLUSTER = Cluster(sys.argv.pop())
    unittest.main()
