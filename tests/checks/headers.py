"""headers.py ROOT BUILD: compiles every header alone, with the flags that BUILD uses for the sources nearest to it.

A header that a source includes before all else was compiled alone when BUILD made that source's object; it is not compiled again.
Where the nearest sources belong to targets of different flags, one of them must do. Left out are .cuh files and the emulation's
cuda_runtime.h, which only .cu files read: they want the CUDA toolkit's headers.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import source_tree

TAKES_A_VALUE = ("-o", "-MT", "-MF")
TAKES_NONE = ("-c", "-MD")
FIRST_INCLUDE = re.compile(r'(?:\s|//[^\n]*\n)*#include "([^"\n]+)"')


def flags(command, source):
    """A compiler's command line without the source and what is said about outputs."""
    kept = []
    words = iter(shlex.split(command))
    for word in words:
        if word in TAKES_A_VALUE:
            next(words)
        elif word not in TAKES_NONE and word != source:
            kept.append(word)
    return kept


def sources_of(entry):
    """Those that an entry compiles: a unity file (CMake's UNITY_BUILD) includes several."""
    if entry["file"].endswith(".cpp"):
        return [entry["file"]]
    return re.findall(r'^#include "([^"\n]+[.]cpp)"', pathlib.Path(entry["file"]).read_text(), re.MULTILINE)


def nearest(header, commands):
    """The command lines, each once, of the sources that share the longest path with header."""
    def shared(source):
        return len(os.path.commonpath([source, header]))

    longest = max(map(shared, commands))
    return list(dict.fromkeys(command for source, command in commands.items() if shared(source) == longest))


def compiled_first(root, entry):
    """The header that an entry's source includes before all else, if its object is there and older than neither; else None."""
    source = pathlib.Path(entry["file"])
    words = shlex.split(entry["command"])
    target = pathlib.Path(entry["directory"], words[words.index("-o") + 1])
    first = FIRST_INCLUDE.match(source.read_text()) if target.exists() else None
    if first is None:
        return None
    header = next((path for path in (source.parent / first[1], root / first[1]) if path.exists()), None)
    if header is None or target.stat().st_mtime < max(source.stat().st_mtime, header.stat().st_mtime):
        return None
    return header.resolve()


def problem_of(root, header, commands):
    """What the compiler says of the header alone; None if it compiles."""
    for command, folder in nearest(str(root / header), commands):
        run = subprocess.run([*command, "-fsyntax-only", "-x", "c++", "-"], input=f'#include "{root / header}"\n', cwd=folder,
                             capture_output=True, text=True)
        if run.returncode == 0:
            return None
    return f"{header}:1: does not compile alone\n{run.stderr}"


def main(root, build):
    entries = [entry for entry in json.loads((build / "compile_commands.json").read_text()) if entry["file"].endswith((".cpp", "_cxx.cxx"))]
    commands = {source: (tuple(flags(entry["command"], entry["file"])), entry["directory"]) for entry in entries for source in sources_of(entry)}
    headers = [path for path in source_tree.sources(root) if path.suffix in (".hpp", ".h") and path.name != "cuda_runtime.h"]
    compiled = {compiled_first(root, entry) for entry in entries}
    left = [header for header in headers if root / header not in compiled]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [problem for problem in pool.map(lambda header: problem_of(root, header, commands), left) if problem]
    print(f"{len(headers) - len(left)} headers were compiled first in a source, {len(left)} now")
    source_tree.report(problems, len(headers), "headers")


main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]))
