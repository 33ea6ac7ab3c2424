"""A virtual cluster as the tests use it: commands and jobs on it, and what is left of them."""
import os
import pathlib
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
COMMAND = REPOSITORY / "slurm/virtual-cluster"
# Hosts that share a kernel look like one machine to UCX. Debian switches off the one component with which Open MPI has windows over TCP.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PIKV", "SLURM", "SBATCH"))} | {
    "UCX_TLS": "tcp,self", "OMPI_MCA_osc": "^ucx", "OMP_NUM_THREADS": "1"}

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}


def skip_unless_possible():
    check = subprocess.run([COMMAND, "check"], capture_output=True, text=True, check=False)
    if check.returncode == 77:
        print("skipped:", check.stderr.strip())
        sys.exit(77)


def transports(pikv):
    said = subprocess.run([pikv, "list", "transports"], capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in said.splitlines() if not line.startswith("auto\t")]


def processes_of(word):
    """{process: its words} of every process, on any host, with `word` in its command line."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if int(process.name) != os.getpid() and any(str(word) in each for each in words):
            found[int(process.name)] = words
    return found


def wait_until(true, seconds, what):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {seconds} s")
        time.sleep(0.1)


class Cluster:
    def __init__(self, folder):
        self.folder = folder

    def start(self, host, *command, cwd=".", environment=None, **streams):
        return subprocess.Popen([COMMAND, "run", "--dir", self.folder, host, *map(str, command)], cwd=cwd, env=ENVIRONMENT | (environment or {}),
                                text=True, **streams)

    def run(self, host, *command, cwd=".", environment=None, timeout=120):
        job = self.start(host, *command, cwd=cwd, environment=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, errors = job.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, job.returncode, out, errors)

    def said(self, host, *command, **how):
        done = self.run(host, *command, **how)
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def submit(self, *arguments, cwd, environment=None):
        """The job's id."""
        return self.said("login", "sbatch", "--parsable", *arguments, cwd=cwd, environment=environment)

    def finish(self, job, seconds=90):
        """Waits for a job, or all of an array; [exit code of each], by task."""
        tasks, answer = [], None

        def all_ended():   # no answer, as from a controller that has much to do, is no end
            nonlocal answer
            answer = self.run("login", "scontrol", "--oneliner", "show", "job", job)
            tasks[:] = [dict(word.split("=", 1) for word in record.split() if "=" in word) for record in answer.stdout.splitlines()]
            return answer.returncode == 0 and all(task["JobState"] in ENDED for task in tasks)

        try:
            wait_until(all_ended, seconds, f"end of job {job}")
        except TimeoutError as late:
            raise TimeoutError(f"{late}; scontrol says: {answer.stdout}{answer.stderr}") from None
        tasks.sort(key=lambda task: int(task.get("ArrayTaskId", 0)))
        return [int(task["ExitCode"].split(":")[0]) for task in tasks]

    def idle(self):
        return self.run("login", "sinfo", "--noheader", "--states=idle", "--format=%D").stdout.strip() == "2"

    def sent_bytes(self):
        """What has left node1 and node2 by their network cards so far."""
        return sum(int(self.said(host, "cat", "/sys/class/net/eth0/statistics/tx_bytes")) for host in ("node1", "node2"))
