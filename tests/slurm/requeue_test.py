"""Jobs whose Slurm controller does not answer at once: a saved one goes back into the queue all the same, a script finds the folder it came from;
where it never answers, the job says what to do.  Run: requeue_test.py"""
import os
import pathlib
import shlex
import signal
import subprocess
import tempfile
import unittest

from cluster import wait_until

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "slurm"
# Of show and requeue each: does not answer the first $SILENT_... times. The job's state is $STATE, then PENDING once it is requeued; $UNHEARD is
# yes where that is done but not answered.
SCONTROL = """#!/bin/sh
[ "$1" != --oneliner ] || shift
echo >>"asked-$1"
eval "silent=\\$SILENT_$1"
answers=yes
[ $(wc -l <"asked-$1") -gt $silent ] || answers=
if [ "$1" = requeue ] && [ -n "$answers$UNHEARD" ]; then touch requeued; fi
[ -n "$answers" ] || { echo 'Unable to contact slurm controller' >&2; exit 1; }
[ "$1" = show ] || exit 0
[ ! -e requeued ] || STATE=PENDING
printf 'JobId=7 JobName=job JobState=%s Reason=None\\n   Command=%s --some-option\\n' "$STATE" "$COMMAND"
"""
NEVER = 1000


class SlowSlurm(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in (("scontrol", SCONTROL), ("sleep", "#!/bin/sh\n"), ("srun", "#!/bin/sh\ntouch started\n")):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def environment(self, show=0, requeue=0, unheard="", state="RUNNING", script="", **more):
        return more | {"PATH": f"{self.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "job", "SLURM_ARRAY_JOB_ID": "7",
                       "SILENT_show": str(show), "SILENT_requeue": str(requeue), "UNHEARD": unheard, "STATE": state, "COMMAND": script}

    def run_with(self, *command, **how):
        return subprocess.run(["bash", *command], cwd=self.folder, env=self.environment(**how), capture_output=True, text=True)


class Requeue(SlowSlurm):
    def requeue(self, **slurm):
        """Whether it was done, and what the job said."""
        done = self.run_with("-euo", "pipefail", "-c", f"source {shlex.quote(str(SCRIPTS / 'setup.sh'))}; requeue", **slurm)
        self.assertEqual(done.returncode, 0, done.stderr)
        return (self.folder / "requeued").exists(), done.stderr

    def goes_back(self, **slurm):
        requeued, said = self.requeue(**slurm)
        self.assertTrue(requeued)
        self.assertIn("job: saved; the job goes back into the queue", said)
        self.assertNotIn("submit", said)

    def test_a_controller_that_tells_the_state_late_is_asked_again(self):
        self.goes_back(show=3)

    def test_one_that_answers_late_to_the_requeue_is_asked_again(self):
        self.goes_back(requeue=3)

    def test_one_that_never_answers_leaves_a_word_for_the_user(self):
        requeued, said = self.requeue(show=NEVER)
        self.assertFalse(requeued)
        self.assertIn("job: saved; Slurm does not answer; submit the job again with --resume", said)

    def test_one_that_refuses_for_good_leaves_a_word_too(self):
        requeued, said = self.requeue(requeue=NEVER)
        self.assertFalse(requeued)
        self.assertIn("job: Slurm does not requeue it; submit it again with --resume", said)

    def test_a_requeue_whose_answer_alone_is_lost_is_none_to_warn_of(self):
        self.goes_back(requeue=NEVER, unheard="yes")

    def test_a_cancelled_job_stays_cancelled(self):
        for state in ("CANCELLED", "COMPLETING"):
            requeued, said = self.requeue(state=state)
            self.assertFalse(requeued)
            self.assertIn(f"the job is {state}, so it does not go back into the queue", said)


class Start(SlowSlurm):
    def start(self, name, **slurm):
        (self.folder / "settings").write_text("--page-tokens 16\n")
        script = SCRIPTS / name
        done = self.run_with(script, "settings", script=script, PIKV="true", SLURM_ARRAY_TASK_ID="1", **slurm)
        return (self.folder / "started").exists(), done

    def starts_late(self, name):
        started, done = self.start(name, show=3)
        self.assertEqual((started, done.returncode), (True, 0), done.stderr)

    def ends_with_a_sentence(self, name):
        started, done = self.start(name, show=NEVER)
        self.assertEqual((started, done.returncode), (False, 1), done.stderr)
        self.assertIn(f"{name}: error: Slurm does not say where this script is; submit the job again", done.stderr)

    def test_generate_asks_again_where_it_came_from(self):
        self.starts_late("generate.sh")

    def test_sweep_asks_again_where_it_came_from(self):
        self.starts_late("sweep.sh")

    def test_where_nobody_tells_they_end_with_a_sentence(self):
        self.ends_with_a_sentence("generate.sh")
        self.ends_with_a_sentence("sweep.sh")


class Signal(SlowSlurm):
    def test_the_script_does_not_wait_for_a_scancel_that_is_slow(self):
        for name, text in (("srun", "while [ ! -e saved ]; do /bin/sleep 0.05; done\nexit 75\n"), ("scancel", "exec /bin/sleep 60\n")):
            (self.folder / name).write_text(f"#!/bin/sh\ntouch {name}-began\n{text}")
            (self.folder / name).chmod(0o755)
        script = SCRIPTS / "generate.sh"
        with open(self.folder / "log", "w") as log:
            job = subprocess.Popen(["bash", script], cwd=self.folder, env=self.environment(script=script, PIKV="true"), stdout=log, stderr=log, start_new_session=True)
            self.addCleanup(os.killpg, job.pid, signal.SIGKILL)   # the slow scancel
        wait_until((self.folder / "srun-began").exists, 20, "srun")
        job.send_signal(signal.SIGUSR1)
        wait_until((self.folder / "scancel-began").exists, 20, "scancel")
        (self.folder / "saved").touch()
        self.assertEqual(job.wait(timeout=20), 75, (self.folder / "log").read_text())
        self.assertTrue((self.folder / "requeued").exists())


if __name__ == "__main__":
    unittest.main()
