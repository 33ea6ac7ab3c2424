"""scripts.py ROOT: every shell script passes shellcheck, every Python script compiles."""
import pathlib
import re
import shutil
import subprocess
import sys

import source_tree


def language(path):
    """sh or python, by name or first line; None for anything else."""
    if path.suffix in (".sh", ".py"):
        return "sh" if path.suffix == ".sh" else "python"
    with path.open("rb") as file:
        first = file.readline(100)
    if not first.startswith(b"#!"):
        return None
    return "python" if b"python" in first else "sh" if re.search(rb"\b(ba|da)?sh\b", first) else None


def shell_problem(path):
    run = subprocess.run(["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", "--format=gcc", str(path)], capture_output=True, text=True)
    return run.stdout + run.stderr if run.returncode else None


def python_problem(path):
    try:
        compile(path.read_text(), str(path), "exec")
    except SyntaxError as error:
        return f"{path}:{error.lineno}: {error.msg}"
    return None


def main(root):
    if not shutil.which("shellcheck"):
        sys.exit("shellcheck is not installed, and the shell scripts are checked with it; apt-get install shellcheck")
    scripts = {root / path: language(root / path) for path in source_tree.files(root)}
    problems = [shell_problem(path) for path, of in scripts.items() if of == "sh"]
    problems += [python_problem(path) for path, of in scripts.items() if of == "python"]
    source_tree.report([problem for problem in problems if problem], len(problems), "scripts")


main(pathlib.Path(sys.argv[1]))
