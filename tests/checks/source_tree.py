"""Which files of a source tree are ours, and how a check reports."""
import os
import pathlib
import re
import sys

FOLDERS = ("kernels", "comm", "shards", "runtime", "jobs", "slurm", "tests", "perf", "cmake", "data", ".ci")
SOURCES = (".hpp", ".cpp", ".h", ".cuh", ".cu")

_NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\[^'\n]+|[^'\\\n])'""", re.DOTALL)


def files(root):
    """Paths of all our files, relative to root, sorted."""
    found = []
    for folder in FOLDERS:
        for parent, folders, names in os.walk(root / folder):
            folders[:] = [name for name in folders if name != "__pycache__"]
            found += [(pathlib.Path(parent) / name).relative_to(root) for name in names]
    return sorted(found)


def sources(root):
    return [path for path in files(root) if path.suffix in SOURCES]


def includes(text):
    """(line number, name) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line):
            yield number, match[1]


def without_comments_and_strings(text):
    """The same lines, with what is not code blanked."""
    return _NOT_CODE.sub(lambda match: "\n" * match[0].count("\n") or " ", text)


def report(problems, checked, what):
    """Ends the check: 1 if there are problems, or nothing to check, which would pass whatever is wrong."""
    for problem in problems:
        print(problem)
    if checked == 0:
        sys.exit(f"found no {what} to check; is the first argument the root of the source tree?")
    print(f"{checked} {what} checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)
