"""mutations.py ROOT BUILD COMPILER TEST_OBJECTS LIBRARIES: faults in kernels that the conformance cases must catch.

Each row of MUTATIONS changes one line of a copy of kernels/cuda/NAME.cu. The copy is compiled as the emulation compiles NAME.cu and linked before the
library that holds the original, with the objects of the cases (TEST_OBJECTS and LIBRARIES, separated by `;`); then the cases of that kernel must fail
and say what the row expects, or come to another value ("Failure").
With PIKV_EVERY_MUTATION=1 every row is tried, some minutes; without, the first of each kernel.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT, BUILD, COMPILER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
OBJECTS, LIBRARIES = sys.argv[4].split(";"), sys.argv[5].split(";")

LINEAR = "*LinearCases.W*"   # of linear: those that are quick

# file, what stands there (once), what is put there instead, cases to run, what they must say
MUTATIONS = [
    ("merge", "  __syncthreads();   // every thread has read the maximum\n", "", "*MergeCases*", "a race"),
    ("merge", "i < (at + 1) * d; i += threads)", "i <= (at + 1) * d; i += threads)", "*MergeCases*", "a race|after the end of an allocation"),
    ("merge", "i += threads)", "i += threads + 1)", "*MergeCases*", "Failure"),
    ("merge", "if (top == -INFINITY) return;", "", "*MergeCases*", "Failure"),
    ("merge", "if (threadIdx.x != 0) return;", "if (threadIdx.x > 1) return;", "*MergeCases*", "a race"),
    ("attend", "    __syncthreads();\n    PartialView const to", "    PartialView const to", "*", "a race|nothing has written"),
    ("attend", "    __syncthreads();   // the next four records use the same shared memory\n", "", "*", "a race"),
    ("attend", "if (token < tokens) Columns::read(keys", "if (token <= tokens) Columns::read(keys", "*", "nothing has written"),
    ("attend", "token < tokens && position + token <= last_position[r]", "position + token <= last_position[r]", "*", "Failure"),
    ("attend", "position + token <= last_position[r]", "position + token < last_position[r]", "*", "Failure"),
    ("attend", "dot += __shfl_xor_sync(all_lanes, dot, step)", "dot += __shfl_xor_sync(0xFFFFu, dot, step)", "*", "leaves out"),
    ("attend", "for (int step = lanes / 2; step > 0; step /= 2) dot", "for (int step = lanes / 2; step > 1; step /= 2) dot", "*", "Failure"),
    ("attend", "if (column < d) {\n          uint4", "if (column <= d) {\n          uint4", "*", "Failure|after the end|nothing has written"),
    ("attend", "if (token >= tokens) continue;", "if (token > tokens) continue;", "*", "Failure|after the end|nothing has written"),
    ("attend", "sum_of[(my_warp * records_at_once + r) * d + column]", "sum_of[(my_warp * records_at_once + r + 1) * d + column]", "*",
     "a race|of which the launch asked|nothing has written"),
    ("attend", "join.first_partial_row + n * join.step", "join.first_partial_row + n", "*", "Failure"),
    ("merge", "denom > 0 ? part.sum[i] / denom : 0.0f", "part.sum[i] / denom", "*FinishCases*", "Failure"),
    ("append", "i < d; i += threads", "i <= d; i += threads", "*AppendCases.Rows*", "a race|Failure|after the end"),
    ("append", "head * layout.head_scalars() +", "head +", "*AppendCases.Rows*", "a race|Failure"),
    ("checksum", "    __syncthreads();   // the chunks are summed\n", "", "*PagesCases.Check*", "a race|nothing has written"),
    ("checksum", "    __syncthreads();   // of_chunk may change\n", "", "*PagesCases.Check*", "a race"),
    ("checksum", "if (first + next < whole_chunks) mine", "if (first + next <= whole_chunks) mine", "*PagesCases.Check*", "Failure"),
    ("checksum", "__shfl_xor_sync(all_lanes, added.word, 1)", "__shfl_xor_sync(all_lanes, added.word, 2)", "*PagesCases.Check*", "Failure"),
    ("checksum", "Word{half[1]} << 32", "Word{half[0]} << 32", "*PagesCases.Check*", "Failure"),
    ("gate", "id < other.id", "id > other.id", "*GateCases*", "Failure"),
    ("gate", "if (row >= rows) return;", "if (row > rows) return;", "*GateCases*", "after the end"),
    ("gate", "sum_to_one ? of_chosen : of_all", "sum_to_one ? of_all : of_chosen", "*GateCases*", "Failure"),
    ("linear", "    __syncthreads();   // the tiles are there\n", "", LINEAR, "a race|nothing has written"),
    ("linear", "    __syncthreads();   // the tiles may change\n", "", LINEAR, "a race"),
    ("linear", "o < out && column < in ?", "o <= out && column < in ?", LINEAR, "after the end"),
    ("linear", "if (first + i < in) stored[i] = w[first + i];", "stored[i] = w[first + i];", LINEAR, "after the end"),
    ("linear", "if (o >= out) return;", "if (o > out) return;", LINEAR, "a race|after the end"),
    ("norm", "  __syncthreads();\n", "", "*NormCases*", "a race|nothing has written"),
    ("norm", "if (i < count) y[i] += x[i];", "if (i <= count) y[i] += x[i];", "*NormCases*", "after the end"),
    ("pages", "if (at >= pool.page_bytes) return;", "if (at > pool.page_bytes) return;", "*PagesCases*", "a race|Failure|after the end"),
    ("pages", "slots[page]) * pool.slot_bytes + at", "slots[page]) * pool.page_bytes + at", "*PagesCases*", "Failure"),
    ("rotary", "high * cos_of[at] + low * sin_of[at]", "high * cos_of[at] - low * sin_of[at]", "*RotaryCases*", "Failure"),
    ("rotary", "i < half; i += threads) {\n    std::size_t", "i <= half; i += threads) {\n    std::size_t", "*RotaryCases*",
     "a race|Failure|after the end"),
    ("rows", "threadIdx.x); c < n; c += threads) to[c]", "threadIdx.x); c <= n; c += threads) to[c]", "*RowsCases*", "a race|Failure|after the end"),
    ("rows", "y[first + i][c]", "y[first][c]", "*RowsCases*", "Failure"),
    ("rows", "for (int i = 0; i < k; ++i)", "for (int i = k - 1; i >= 0; --i)", "*RowsCases*", "Failure"),
    ("rows", "float sum = to[c];", "float sum = 0;", "*RowsCases*", "Failure"),
    ("summary", "token < filled", "token <= filled", "*SummaryCases*", "nothing has written"),
    ("summary", "q < 0 ? lo[i] : hi[i]", "q < 0 ? hi[i] : lo[i]", "*SummaryCases*", "Failure"),
    ("summary", "  sum = sum_of_warp(sum);\n", "", "*SummaryCases*", "Failure"),
    ("swiglu", "if (i < count) gate[i]", "if (i <= count) gate[i]", "*SwigluCases*", "after the end"),
    ("attend_coded", "8 * (at % 4) + 4 * (at / 4)", "8 * (at % 4) + 4 * (1 - at / 4)", "*", "Failure"),
    ("attend_coded", "strip_numbers * strip.before +", "strip.before +", "*", "Failure|after the end|nothing has written"),
    ("attend_coded", "page_tokens * head.strips[eight].before +", "head.strips[eight].before +", "*", "Failure"),
    ("attend_coded", "token / block * head.width + number :", "token / block * head.width :", "*", "Failure"),
    ("attend_coded", "number / value_group * page_tokens + token", "number / value_group + token", "*", "Failure"),
    ("attend_coded", "      if (column >= width) break;\n", "", "*", "Failure|after the end|nothing has written"),
    ("attend_coded", "    __syncwarp();   // the query of this block is complete\n", "", "*", "a race|nothing has written"),
    ("attend_coded", "  __syncwarp();   // the weights are complete\n", "", "*", "a race|nothing has written"),
    ("attend_coded", "        __syncwarp();   // nor its weights\n", "", "*", "a race"),
    ("attend_coded", "position + token <= last_position[r]", "position + token < last_position[r]", "*", "Failure"),
    ("attend_coded", "token < tokens && position", "position", "*", "Failure"),
    ("attend_coded", "sum_over_lanes(dot, keys.block)", "sum_over_lanes(dot, 32)", "*", "Failure"),
    ("attend_coded", "    __syncthreads();   // every warp has its sums\n", "", "*", "a race|nothing has written"),
    ("attend_coded", "join.first_partial_row + n * join.step", "join.first_partial_row + n", "*", "Failure"),
    ("coded_pages", "  __syncthreads();   // the scales are complete\n", "", "*", "a race|nothing has written"),
    ("coded_pages", "    __syncthreads();   // the next tokens use the same memory\n", "", "*", "a race"),
    ("coded_pages", "          __syncwarp();   // the next number is complete\n", "", "*CodedPages*", "a race"),
    ("coded_pages", "int j = i + 1 + lane; j < rank", "int j = i + lane; j < rank", "*CodedPages*", "a race|Failure"),
    ("coded_pages", "width - group / tokens * CodedColumn::value_group)", "32)", "*", "Failure|a race|nothing has written|after the end"),
    ("coded_pages", "zero * size > lo && zero > least_zero", "zero * size > hi && zero > least_zero", "*", "Failure"),
    ("coded_pages", "if (along >= length) break;", "if (along > length) break;", "*", "Failure|after the end|nothing has written"),
    ("coded_pages", "at < column.head.codes; at += threads)", "at + 1 < column.head.codes; at += threads)", "*", "Failure|nothing has written"),
]
CASES = {   # enough for a kernel's mutations, in little time
    "attend": "Shapes/AttendCases.*/1:Shapes/AttendCases.*/4:Shapes/AttendCases.*/10",
    "attend_coded": "Shapes/CodedCases.Attention*/2:Shapes/CodedCases.Attention*/3:*CodedPages.AHundredPages*",
    "coded_pages": "Shapes/CodedCases.Encodes*/1:Shapes/CodedCases.Encodes*/4:Shapes/CodedCases.Encodes*/2",
}
TRIED = MUTATIONS if os.environ.get("PIKV_EVERY_MUTATION") else list({row[0]: row for row in reversed(MUTATIONS)}.values())
CODED = '#include "kernels/cuda/coded.cuh"'


def compile_command(name):
    """How the emulation compiles kernels/cuda/NAME.cu: words up to the source, and the folder it is run in."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"].endswith(f"kernels/cuda/{name}.cu") and "-fsanitize=thread" in entry["command"]:
            words = shlex.split(entry["command"])
            return [word for word in words[: words.index("-o")] if word not in ("-MD",)], entry["directory"]
    raise LookupError(f"no command compiles {name}.cu for the emulation")


def without_dependencies(words):
    kept = iter(words)
    for word in kept:
        if word in ("-MT", "-MF"):
            next(kept)
        else:
            yield word


def source_of(name):
    """NAME.cu, with the layout of coded pages in it, so that a mutation can be there too."""
    folder = ROOT / "kernels" / "cuda"
    return (folder / f"{name}.cu").read_text().replace(CODED, (folder / "coded.cuh").read_text().replace("#pragma once", ""))


class Mutations(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_mutated(self, number, name, text, cases):
        """The cases' exit code and output with `text` in the place of NAME.cu."""
        folder = self.folder / str(number)
        folder.mkdir()
        (folder / f"{name}.cu").write_text(text)
        command, directory = compile_command(name)
        subprocess.run([*without_dependencies(command), "-o", str(folder / "kernel.o"), "-c", str(folder / f"{name}.cu")], cwd=directory, check=True)
        subprocess.run([COMPILER, "-o", str(folder / "cases"), *OBJECTS, str(folder / "kernel.o"), *LIBRARIES], cwd=BUILD, check=True)
        run = subprocess.run([str(folder / "cases"), f"--gtest_filter={CASES[name] if cases == '*' else cases}", "--gtest_break_on_failure=0",
                              "--gtest_fail_fast"], capture_output=True, text=True, timeout=600)
        return run.returncode, run.stdout + run.stderr

    def problem_of(self, numbered):
        number, (name, old, new, cases, saying) = numbered
        source = source_of(name)
        try:
            code, said = self.run_mutated(number, name, source.replace(old, new), cases)
        except subprocess.CalledProcessError as error:   # the others are still told
            return f"{name}.cu with {new!r} for {old!r} does not compile: {error}"
        if code == 0:
            return f"{name}.cu with {new!r} for {old!r} passes every case"
        return None if re.search(saying, said) else f"{name}.cu with {new!r} for {old!r} fails without saying {saying!r}:\n{said[-1500:]}"

    def test_the_table_is_up_to_date(self):   # also those that are not tried
        for name, old, *_ in MUTATIONS:
            self.assertEqual(source_of(name).count(old), 1, f"of {old!r} in {name}.cu")

    def test_each_mutation_is_caught(self):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            problems = [problem for problem in pool.map(self.problem_of, enumerate(TRIED)) if problem]
        self.assertEqual(problems, [])

    def test_the_kernels_as_they_are_pass(self):   # so that a mutation fails for what it is
        for number, name in enumerate(sorted({row[0] for row in MUTATIONS})):
            source = source_of(name)
            cases = ":".join(sorted({row[3] for row in MUTATIONS if row[0] == name}))
            code, said = self.run_mutated(f"whole{number}", name, source, cases)
            self.assertEqual(code, 0, said[-1500:])


unittest.main(argv=sys.argv[:1])
