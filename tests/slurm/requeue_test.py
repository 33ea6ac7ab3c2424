"""A saved job goes back into the queue though Slurm's controller does not answer at once; where it never does, the job says what to do.
Run: requeue_test.py"""
import os
import pathlib
import subprocess
import tempfile
import unittest

SETUP = pathlib.Path(__file__).resolve().parents[2] / "slurm/setup.sh"
# Does not answer the first $SILENT times; then says the job's state, and notes what is asked of it.
SCONTROL = """#!/bin/sh
echo >>calls
[ $(wc -l <calls) -gt $SILENT ] || { echo 'Unable to contact slurm controller' >&2; exit 1; }
case $1 in
  requeue) echo "$@" >requeued ;;
  *) echo "JobId=7 JobName=job JobState=$STATE Reason=None" ;;
esac
"""


class Requeue(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in (("scontrol", SCONTROL), ("sleep", "#!/bin/sh\n")):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def requeue(self, silent, state="RUNNING"):
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "job", "SILENT": str(silent), "STATE": state}
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", f"source {SETUP}; requeue"], cwd=self.folder, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return (self.folder / "requeued").exists(), done.stderr

    def test_a_controller_that_answers_late_is_asked_again(self):
        requeued, said = self.requeue(silent=3)
        self.assertTrue(requeued)
        self.assertIn("job: saved; the job goes back into the queue", said)

    def test_one_that_never_answers_leaves_a_word_for_the_user(self):
        requeued, said = self.requeue(silent=1000)
        self.assertFalse(requeued)
        self.assertIn("job: saved; Slurm does not answer; submit the job again with --resume", said)

    def test_a_cancelled_job_stays_cancelled(self):
        requeued, said = self.requeue(silent=0, state="CANCELLED")
        self.assertFalse(requeued)
        self.assertIn("the job is CANCELLED, so it does not go back into the queue", said)


if __name__ == "__main__":
    unittest.main()
