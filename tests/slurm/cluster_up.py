"""cluster_up.py FOLDER: brings up the two hosts that the other tests share; 77 where that is not possible."""
import pathlib
import subprocess
import sys

from cluster import COMMAND, skip_unless_possible

folder = pathlib.Path(sys.argv[1])
skip_unless_possible()
if folder.exists():   # of tests that were cut off
    subprocess.run([COMMAND, "down", "--dir", folder], check=True)
sys.exit(subprocess.run([COMMAND, "up", "2", "--dir", folder], check=False).returncode)
