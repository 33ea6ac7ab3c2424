"""What slurm/bind-rank.sh gives a rank, on machines made of files."""
import os
import pathlib
import subprocess
import tempfile
import unittest

BIND = pathlib.Path(__file__).resolve().parents[2] / "slurm/bind-rank.sh"
SHOW = 'echo "${CUDA_VISIBLE_DEVICES-none} ${UCX_NET_DEVICES-none}"'


class BindRank(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.sysfs = pathlib.Path(folder.name)

    def cores(self, nodes):
        """Puts this process's first and last core on these two NUMA nodes."""
        mine = sorted(os.sched_getaffinity(0))
        for cpu, node in ((mine[-1], nodes[1]), (mine[0], nodes[0])):
            (self.sysfs / f"devices/system/cpu/cpu{cpu}/node{node}").mkdir(parents=True)
            if len(mine) == 1:
                break

    def card(self, name, node, state="4: ACTIVE"):
        (self.sysfs / f"class/infiniband/{name}/ports/1").mkdir(parents=True)
        (self.sysfs / f"class/infiniband/{name}/ports/1/state").write_text(state + "\n")
        (self.sysfs / f"class/infiniband/{name}/device").mkdir()
        (self.sysfs / f"class/infiniband/{name}/device/numa_node").write_text(f"{node}\n")

    def given(self, turn, **environment):
        kept = {name: value for name, value in os.environ.items() if name not in ("CUDA_VISIBLE_DEVICES", "UCX_NET_DEVICES")}
        return subprocess.run([BIND, "sh", "-c", SHOW], env=kept | {"SYSFS": str(self.sysfs), "SLURM_LOCALID": str(turn)} | environment,
                              capture_output=True, text=True, check=True).stdout.strip()

    def test_nothing_is_set_without_gpus_and_cards(self):
        self.assertEqual(self.given(0), "none none")

    def test_ranks_take_turns_at_the_gpus_they_all_see(self):
        self.assertEqual([self.given(turn, CUDA_VISIBLE_DEVICES="4,5,7") for turn in range(4)], ["4 none", "5 none", "7 none", "4 none"])

    def test_a_gpu_that_slurm_gave_to_this_rank_alone_stays(self):
        self.assertEqual(self.given(3, CUDA_VISIBLE_DEVICES="2"), "2 none")

    def test_ranks_take_turns_at_the_active_cards_of_their_numa_node(self):
        self.cores((0, 0))
        self.card("mlx5_0", 0)
        self.card("mlx5_1", 1)
        self.card("mlx5_2", 0, "1: DOWN")
        self.card("mlx5_3", 0)
        self.assertEqual([self.given(turn) for turn in range(3)], ["none mlx5_0:1", "none mlx5_3:1", "none mlx5_0:1"])

    def test_cards_of_one_numa_node_are_left_to_ucx(self):
        self.cores((0, 0))
        self.card("mlx5_0", 0)
        self.card("mlx5_1", 0)
        self.assertEqual(self.given(0), "none none")

    @unittest.skipIf(len(os.sched_getaffinity(0)) == 1, "one core lies on one NUMA node")
    def test_a_rank_without_a_numa_node_of_its_own_leaves_the_card_to_ucx(self):
        self.cores((0, 1))
        self.card("mlx5_0", 0)
        self.card("mlx5_1", 1)
        self.assertEqual(self.given(0), "none none")

    def test_what_the_user_set_stays(self):
        self.cores((0, 0))
        self.card("mlx5_0", 0)
        self.card("mlx5_1", 1)
        self.assertEqual(self.given(0, UCX_NET_DEVICES="eth0"), "none eth0")

    def test_the_code_is_passed_on(self):
        done = subprocess.run([BIND, "sh", "-c", 'exit "$1"', "sh", "75"], env=os.environ | {"SLURM_LOCALID": "0"}, check=False)
        self.assertEqual(done.returncode, 75)


if __name__ == "__main__":
    unittest.main()
