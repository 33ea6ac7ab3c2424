"""mpi_only_in_comm.py ROOT: refuses MPI's header, types and calls outside comm/."""
import pathlib
import re
import sys

import source_tree


def main(root):
    problems = []
    paths = [path for path in source_tree.sources(root) if path.parts[0] != "comm"]
    for path in paths:
        text = (root / path).read_text()
        problems += [f"{path}:{line}: includes {name}; go through comm/" for line, name in source_tree.includes(text)
                     if pathlib.PurePath(name).name in ("mpi.h", "mpi-ext.h")]
        for line, code in enumerate(source_tree.without_comments_and_strings(text).splitlines(), 1):
            problems += [f"{path}:{line}: uses {name}; go through comm/" for name in re.findall(r"\bP?MPI_\w+", code)]
    source_tree.report(problems, len(paths), "sources")


main(pathlib.Path(sys.argv[1]))
