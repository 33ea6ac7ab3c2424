"""checks_can_fail.py COMPILER: each check finds what it is for in a small tree made for the purpose, and passes the tree without it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
COMPILER = sys.argv.pop(1)


class CheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def passes(self, check, *arguments):
        code, said = self.run_check(check, *arguments)
        self.assertEqual(code, 0, said)

    def fails(self, check, saying, *arguments):
        code, said = self.run_check(check, *arguments)
        self.assertEqual(code, 1, said)
        self.assertIn(saying, said)

    def run_check(self, check, *arguments):
        run = subprocess.run([sys.executable, "-B", HERE / f"{check}.py", self.root, *arguments], capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr


class Includes(CheckTest):
    def test_passes_includes_that_point_down_or_sideways(self):
        self.write("shards/a.hpp", '#include <vector>\n#include "kernels/b.hpp"\n#include "comm/c.hpp"\n#include "shards/d.hpp"\n#include "fmt/core.h"\n')
        self.write("tests/shards/a_test.cpp", '#include "runtime/e.hpp"\n#include "helper.hpp"\n')
        self.write("tests/shards/helper.hpp", "")
        self.passes("includes")

    def test_finds_every_upward_include(self):
        order = {"kernels": ["comm", "shards", "runtime", "jobs", "tests", "perf"], "comm": ["kernels", "shards", "runtime", "jobs"],
                 "shards": ["runtime", "jobs", "tests", "perf"], "runtime": ["jobs", "tests", "perf"], "jobs": ["tests", "perf"]}
        for folder, above in order.items():
            for upward in above:
                with self.subTest(folder=folder, upward=upward):
                    self.write(f"{folder}/deep/a.cpp", f'\n#include "{upward}/x.hpp"\n')
                    self.fails("includes", f"{folder}/deep/a.cpp:2: {folder}/ must not include {upward}/x.hpp")
                    self.write(f"{folder}/deep/a.cpp", "")

    def test_finds_it_in_angle_brackets_in_cuda_files_and_by_relative_path(self):
        self.write("shards/a.hpp", "#include <runtime/x.hpp>\n")
        self.fails("includes", "shards/a.hpp:1")
        self.write("shards/a.hpp", "")
        self.write("kernels/cuda/b.cu", '  #  include "shards/page.hpp"\n')
        self.fails("includes", "kernels/cuda/b.cu:1")
        self.write("kernels/cuda/b.cu", "")
        self.write("runtime/x.hpp", "")
        self.write("shards/homes/c.cpp", '#include "../../runtime/x.hpp"\n')
        self.fails("includes", "shards/homes/c.cpp:1")

    def test_an_empty_tree_fails(self):
        self.fails("includes", "found no sources")


class MpiOnlyInComm(CheckTest):
    def test_passes_mpi_in_comm_and_in_prose(self):
        self.write("comm/mpi_world.cpp", "#include <mpi.h>\nint f() { return MPI_Barrier(MPI_COMM_WORLD); }\n")
        self.write("jobs/a.cpp", '// MPI_Init comes first\n/* MPI_Comm\n MPI_Win */ char const* s = "MPI_Init", *t = "OMPI_X"; int OMPI_MCA = 1;\n')
        self.passes("mpi_only_in_comm")

    def test_finds_calls_types_and_the_header(self):
        for text, saying in (("#include <mpi.h>\n", ":1: includes mpi.h"), ("// x\nMPI_Comm c;\n", ":2: uses MPI_Comm"),
                             ("auto a = 'x'; /* \n */ PMPI_Barrier(c);\n", ":2: uses PMPI_Barrier"),
                             ("int n = 1'000; f(MPI_COMM_WORLD, '\\n');\n", ":1: uses MPI_COMM_WORLD")):
            for path in ("shards/a.hpp", "runtime/a.cpp", "tests/a.cpp", "perf/a.cpp", "kernels/cuda/a.cu"):
                with self.subTest(text=text, path=path):
                    self.write(path, text)
                    self.fails("mpi_only_in_comm", path + saying)
                    self.write(path, "")


class Headers(CheckTest):
    def setUp(self):
        super().setUp()
        flags = {"kernels/a.cpp": "-DKERNELS", "kernels/b.cu": "-no-such-flag",
                 "runtime/a.cpp": "-std=c++20 -Wall -Werror", "runtime/b.cpp": "-std=c++20 -Wall -Werror -DB"}
        commands = [{"directory": str(self.root), "file": str(self.root / source),
                     "command": f"{COMPILER} {flag} -I{self.root} -MD -MT a -MF a -o {source}.o -c {self.root / source}"} for source, flag in flags.items()]
        self.write("build/compile_commands.json", json.dumps(commands))

    def test_passes_headers_that_compile_alone_with_the_flags_of_their_folder(self):
        self.write("runtime/good.hpp", "#pragma once\n#include <vector>\ninline std::vector<int> f() { return {}; }\n")
        self.write("kernels/good.hpp", "#ifndef KERNELS\n#error the flags of another folder\n#endif\n")
        self.write("runtime/deep/only_b.hpp", "#ifndef B\n#error not the target that uses it\n#endif\n")
        self.write("kernels/device.cuh", "only nvcc reads this\n")
        self.passes("headers", self.root / "build")

    def test_finds_a_header_that_leans_on_another(self):
        self.write("runtime/bad.hpp", "#pragma once\ninline std::vector<int> f() { return {}; }\n")
        self.fails("headers", "runtime/bad.hpp:1: does not compile alone", self.root / "build")

    def test_leaves_out_only_what_an_object_shows(self):
        bad = "inline std::vector<int> f() { return {}; }\n"
        self.write("runtime/bad.hpp", bad)
        for source, shown in ((f'// {bad}\n#include "runtime/bad.hpp"\n', True), ('#include "bad.hpp"\n', True),
                              ('#include <vector>\n#include "bad.hpp"\n', False), ('#define X\n#include "bad.hpp"\n', False)):
            with self.subTest(source=source):
                self.write("runtime/a.cpp", source)
                self.write("runtime/a.cpp.o", "")
                if shown:
                    self.passes("headers", self.root / "build")
                else:
                    self.fails("headers", "runtime/bad.hpp:1", self.root / "build")
        for newer in ("runtime/bad.hpp", "runtime/a.cpp"):
            with self.subTest(newer=newer):
                self.write("runtime/a.cpp", '#include "bad.hpp"\n')
                self.write("runtime/a.cpp.o", "")
                self.passes("headers", self.root / "build")
                later = (self.root / "runtime/a.cpp.o").stat().st_mtime + 1
                os.utime(self.root / newer, (later, later))
                self.fails("headers", "runtime/bad.hpp:1", self.root / "build")
                os.utime(self.root / newer)

    def test_finds_a_header_that_only_warns(self):
        self.write("runtime/bad.hpp", "#pragma once\ninline int f() { int unused; return 1; }\n")
        self.fails("headers", "unused", self.root / "build")


class Scripts(CheckTest):
    def test_passes_good_scripts_and_other_files(self):
        self.write("jobs/a.sh", '#!/usr/bin/env bash\necho "$1"\n')
        self.write("tests/a.py", "print(1)\n")
        self.write("data/a.txt", "echo $1 (\n")
        self.passes("scripts")

    def test_finds_what_shellcheck_finds_also_without_a_suffix(self):
        for path in ("slurm/a.sh", ".ci/run"):
            with self.subTest(path=path):
                self.write(path, "#!/bin/bash\nrm $1/x\n")
                self.fails("scripts", "SC2086")
                (self.root / path).unlink()

    def test_finds_python_that_does_not_compile(self):
        self.write("tests/a.py", "x = 1\ndef f(:\n")
        self.fails("scripts", "a.py:2")


unittest.main()
