"""cluster_down.py FOLDER: takes the shared hosts down; nothing of them may be left."""
import pathlib
import subprocess
import sys

from cluster import COMMAND, processes_of, skip_unless_possible

folder = pathlib.Path(sys.argv[1])
skip_unless_possible()
subprocess.run([COMMAND, "down", "--dir", folder], check=True)
left = {number: words for number, words in processes_of(folder).items() if "cluster_down.py" not in " ".join(words)}
if folder.exists() or left:
    sys.exit(f"left behind: {folder if folder.exists() else ''} {left}")
