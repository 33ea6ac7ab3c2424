"""includes.py ROOT: refuses an #include that points upward in the order of folders."""
import os
import pathlib
import sys

import source_tree

MAY_INCLUDE = {
    "kernels": {"kernels"},
    "comm": {"comm"},
    "shards": {"shards", "kernels", "comm"},
    "runtime": {"runtime", "shards", "kernels", "comm"},
    "jobs": {"jobs", "runtime", "shards", "kernels", "comm"},
    "tests": {"tests", "perf", "jobs", "runtime", "shards", "kernels", "comm"},
    "perf": {"tests", "perf", "jobs", "runtime", "shards", "kernels", "comm"},
}


def folder_of(root, path, name):
    """Top folder of what `path` includes as `name`; None for what is not ours."""
    beside = pathlib.Path(os.path.normpath(path.parent / name))
    target = beside if (root / beside).is_file() else pathlib.Path(os.path.normpath(name))
    return target.parts[0] if target.parts[0] in MAY_INCLUDE and len(target.parts) > 1 else None


def main(root):
    problems = []
    paths = [path for path in source_tree.sources(root) if path.parts[0] in MAY_INCLUDE]
    for path in paths:
        allowed = MAY_INCLUDE[path.parts[0]]
        for line, name in source_tree.includes((root / path).read_text()):
            folder = folder_of(root, path, name)
            if folder and folder not in allowed:
                problems.append(f"{path}:{line}: {path.parts[0]}/ must not include {name}; it may include {', '.join(sorted(allowed))}")
    source_tree.report(problems, len(paths), "sources")


main(pathlib.Path(sys.argv[1]))
