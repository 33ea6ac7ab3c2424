"""slurm/virtual-cluster itself: what its hosts are, that it refuses in one sentence, and that nothing is left however it ends."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from cluster import COMMAND, Cluster, processes_of, skip_unless_possible, wait_until


def outside():
    """What of this machine a cluster might change."""
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split(":")[1] for line in links.splitlines()], pathlib.Path("/proc/self/mounts").read_text()


class VirtualCluster(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tools = pathlib.Path(folder.name)
        self.folder = self.tools / "cluster"
        self.before = outside()
        self.addCleanup(subprocess.run, [COMMAND, "down", "--dir", self.folder], capture_output=True, check=False)

    def command(self, *words, prefix=(), **environment):
        return subprocess.run([*prefix, COMMAND, *words, "--dir", self.folder], env=os.environ | environment, capture_output=True, text=True, check=False)

    def slurmd(self, script):
        """The variable with which this script stands in for slurmd."""
        (self.tools / "slurmd").write_text("#!/bin/sh\n" + script)
        (self.tools / "slurmd").chmod(0o755)
        return {"PATH": f"{self.tools}:{os.environ['PATH']}"}

    def check_nothing_is_left(self):
        self.assertFalse(self.folder.exists())
        self.assertEqual(processes_of(self.folder), {})
        self.assertEqual(outside(), self.before)

    def check_one_sentence(self, done, code, words):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, rf"\Avirtual-cluster: error: .*{words}.*\n\Z")

    def test_hosts_have_names_memory_and_network_of_their_own_and_down_leaves_nothing(self):
        self.assertEqual(self.command("up", "2").returncode, 0)
        self.assertEqual(outside(), self.before)
        cluster = Cluster(self.folder)
        for host in ("login", "node1", "node2"):
            self.assertEqual(cluster.said(host, "hostname"), host)
        cluster.said("node1", "touch", "/dev/shm/mine", "/var/tmp/mine")
        self.assertEqual(cluster.said("node2", "ls", "/dev/shm", "/var/tmp"), "/dev/shm:\n\n/var/tmp:")
        self.assertEqual(cluster.said("node1", "ls", "/sys/class/net"), "eth0\nlo")
        port_of_slurmd = ("bash", "-c", "exec 3<>/dev/tcp/node1/6818")
        self.assertEqual(cluster.run("node2", *port_of_slurmd).returncode, 0)
        cluster.said("login", "ip", "link", "set", "node2", "down")
        self.assertNotEqual(cluster.run("node2", "timeout", "2", *port_of_slurmd).returncode, 0)
        self.assertEqual(cluster.said("node1", "pwd", cwd=self.tools), str(self.tools))
        self.assertEqual(cluster.run("node1", "sh", "-c", 'exit "$1"', "a word", "7").returncode, 7)
        self.check_one_sentence(cluster.run("node3", "true"), 1, "no host is named node3")
        self.check_one_sentence(self.command("up", "1"), 1, "if a cluster is up there, take it down first")
        self.assertEqual(cluster.said("login", "hostname"), "login")   # the refusal did not take it down
        self.assertEqual(self.command("down").returncode, 0)
        self.check_nothing_is_left()

    def test_a_daemon_that_fails_takes_the_cluster_down_and_is_quoted(self):
        failing = self.slurmd('[ "$(hostname)" = node1 ] && exec /usr/sbin/slurmd "$@"; echo "slurmd: nothing works" >&2; exit 1\n')
        self.check_one_sentence(self.command("up", "2", **failing), 1, "did not come up and is taken down; .*slurmd: nothing works")
        self.check_nothing_is_left()

    def test_an_interrupted_start_takes_the_cluster_down(self):
        waiting = self.slurmd("sleep 1000\n")
        for how in (signal.SIGTERM, signal.SIGINT):
            up = subprocess.Popen([COMMAND, "up", "2", "--dir", self.folder], env=os.environ | waiting, stderr=subprocess.PIPE, text=True)
            wait_until((self.folder / "processes/node2").exists, 20, "second host")
            time.sleep(0.3)
            up.send_signal(how)
            errors = up.communicate(timeout=20)[1]
            self.check_one_sentence(subprocess.CompletedProcess([], up.returncode, "", errors), 1, "interrupted; the cluster is taken down")
            self.check_nothing_is_left()

    def test_without_root_or_rights_it_says_so_with_code_77(self):
        self.check_one_sentence(self.command("up", "2", prefix=["setpriv", "--reuid=65534", "--clear-groups"]), 77, "need root")
        no_rights = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        self.check_one_sentence(self.command("up", "2", prefix=no_rights), 77, "may not make namespaces")
        self.check_nothing_is_left()

    def test_bad_usage_is_one_sentence_with_code_2(self):
        for words in ((), ("up",), ("up", "0"), ("up", "two"), ("up", "1", "2"), ("up", "2", "--dir"), ("fly",)):
            with self.subTest(words):
                self.check_one_sentence(self.command(*words), 2, "usage: virtual-cluster up N")
        self.check_one_sentence(self.command("status"), 1, "no cluster is up")
        self.check_one_sentence(self.command("down"), 1, "no cluster is in")


if __name__ == "__main__":
    skip_unless_possible()
    unittest.main()
