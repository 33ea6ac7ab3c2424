"""Runs the executable alone or under mpirun, the way a user does, and tells what came back."""
import os
import pathlib
import subprocess
import tempfile
import time
from dataclasses import dataclass

# Each rank writes its exit code down: mpirun passes on only one of them. $1 is where; RANK_n holds arguments for rank n alone.
EACH_RANK = """
codes=$1; shift
rank=${OMPI_COMM_WORLD_RANK:-0}
eval "more=\\${RANK_$rank:-}"
"$@" $more; code=$?
echo $code >"$codes/$rank"
exit $code
"""
DEADLINE_S = 30


@dataclass
class Run:
    code: int                # what the shell sees
    codes: dict[int, int]    # of each rank that lived to its end
    stdout: str
    stderr: str
    seconds: float

    def errors(self):
        return [line for line in self.stderr.splitlines() if line.startswith("pikv: error: ")]


def run(pikv, args, ranks=1, cwd=".", environment=None, stdin="", stdout=None):
    """ranks=1 starts it alone, without mpirun. `environment` adds variables; those of the caller that begin with PIKV_ are left out."""
    launcher = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIKV_")}
    roots = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as codes:
        start = time.monotonic()
        done = subprocess.run(
            [*launcher, "sh", "-c", EACH_RANK, "sh", codes, str(pikv), *map(str, args)],
            cwd=cwd, env=kept | roots | (environment or {}), input=stdin.encode(), stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=4 * DEADLINE_S, check=False)
        seconds = time.monotonic() - start
        per_rank = {int(path.name): int(path.read_text()) for path in pathlib.Path(codes).iterdir() if path.read_text().strip()}
    text = (done.stdout or b"").decode(errors="replace")
    return Run(done.returncode, per_rank, text, done.stderr.decode(errors="replace"), seconds)
