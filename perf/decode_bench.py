#!/usr/bin/env python3
"""Question: how many tokens a second does the embedded model decode and prefill, by ranks, batch and context, and where does the time go?

Run: python3 perf/decode_bench.py build/pikv [--repeats 5] [--contexts 128 1024 4096] [--batches 1 8] [--quick]
Next to it, in the same run and interleaved: --store local, and transformers on the same weights where it is installed (in bf16 and
fp32, the faster one counts). Prompts are slices of the held-out text. decode = generated tokens after the first / (time of a run with them -
time of a run with one token); prefill = prompt tokens of two more waves of requests / (time of three waves with one token each - time of one wave):
differences, so that what is paid once (threads, oneDNN's code, page faults) is in neither. Medians over repeats.
The tokens of every setting are compared with one rank's before anything is timed.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def prompts(count, context):
    text = (ROOT / "data" / "held_out.txt").read_bytes()
    return [list(text[i * context:(i + 1) * context]) for i in range(count)]


class Pikv:
    """Runs the executable on prompts of equal length and reads its report."""

    def __init__(self, executable, ranks, batch, context, extra):
        self.ranks, self.ids = ranks, prompts(batch * ranks, context)
        threads = max(1, (os.cpu_count() or 1) // ranks)
        self.command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), executable, "generate", "--batch", str(batch),
                        "--threads", str(threads), "--log-level", "error", *extra]

    def run(self, new_tokens, waves=1):
        with tempfile.TemporaryDirectory() as folder:
            lines = [json.dumps({"prompt_ids": ids, "max_new_tokens": new_tokens}) for ids in self.ids * waves]
            prompt_file = pathlib.Path(folder, "prompts.jsonl")
            prompt_file.write_text("\n".join(lines))
            output, report = pathlib.Path(folder, "output.jsonl"), pathlib.Path(folder, "report.json")
            subprocess.run([*self.command, "--prompts", prompt_file, "--output", output, "--report", report], check=True, env=ENVIRONMENT,
                           stdout=subprocess.DEVNULL)
            self.tokens = [json.loads(line)["tokens"] for line in output.read_text().splitlines()]
            self.report = json.loads(report.read_text())
        return self.report["seconds"]

    def stage_shares(self):
        stages = self.report["stages_s"]
        total = sum(stages.values()) or 1
        return " ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in stages.items() if seconds / total >= 0.005)


class Transformers:
    def __init__(self, batch, context, dtype):
        import torch
        import transformers
        self.torch = torch
        torch.set_num_threads(os.cpu_count() or 1)
        transformers.utils.logging.disable_progress_bar()
        folder = str(ROOT / "data" / "tiny-moe")
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self.ids = torch.tensor(prompts(batch, context))

    def run(self, new_tokens, waves=1):
        with self.torch.inference_mode():
            begin = time.perf_counter()
            for _ in range(waves):
                out = self.model(self.ids, use_cache=True, logits_to_keep=1)
                for _ in range(new_tokens - 1):
                    token = out.logits[:, -1].argmax(-1, keepdim=True)
                    out = self.model(token, past_key_values=out.past_key_values, use_cache=True)
            return time.perf_counter() - begin


def have_transformers():
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
        return True
    except ImportError:
        return False


def measure(systems, rows, context, new_tokens, repeats):
    """{name: (decode tokens/s, prefill tokens/s)}: each system in turn, `repeats` times."""
    first, more, whole = ({name: [] for name in systems} for _ in range(3))
    for system in systems.values():
        system.run(2)   # warm-up
    for _ in range(repeats):
        for name, system in systems.items():
            first[name].append(system.run(1))
            more[name].append(system.run(1, waves=3))
            whole[name].append(system.run(new_tokens))
    speeds = {}
    for name in systems:
        prefill = statistics.median(m - f for m, f in zip(more[name], first[name]))
        decode = statistics.median(w - f for w, f in zip(whole[name], first[name]))
        speeds[name] = ((new_tokens - 1) * rows[name] / decode, 2 * context * rows[name] / prefill)
    return speeds


def check_tokens(executable, batch, context, setting):
    one = Pikv(executable, 1, batch * setting.ranks, context, [])
    one.run(8)
    setting.run(8)
    same = sum(a == b for a, b in zip(one.tokens, setting.tokens))
    if same < 0.9 * len(one.tokens):   # a close pair of logits may fall either way in bf16 pages
        sys.exit(f"{' '.join(setting.command)} gives other tokens than one rank: {same} of {len(one.tokens)} sequences are equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pikv")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--contexts", type=int, nargs="+", default=[128, 1024, 4096])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--quick", action="store_true", help="context 512, batch 1")
    parser.add_argument("--new-tokens", type=int, default=64)
    arguments = parser.parse_args()
    with_transformers = have_transformers()
    if not with_transformers:
        print("transformers is not installed (pip install torch transformers): its columns are left out")
    print(f"{'ranks':>5} {'batch':>5} {'context':>7} {'store':>8} {'decode tok/s':>12} {'prefill tok/s':>13}  time by stage of the decode run")
    for context in [512] if arguments.quick else arguments.contexts:
        for batch in [1] if arguments.quick else arguments.batches:
            systems, rows = {}, {}
            for ranks in (1, 2):
                for store in ("sharded", "local"):
                    name = (ranks, batch, context, store)
                    systems[name] = Pikv(arguments.pikv, ranks, batch, context, ["--store", store])
                    check_tokens(arguments.pikv, batch, context, systems[name])
                    rows[name] = batch * ranks
            if with_transformers:
                for dtype in ("bfloat16", "float32"):
                    systems[dtype] = Transformers(batch, context, dtype)
                    rows[dtype] = batch
            speeds = measure(systems, rows, context, arguments.new_tokens, arguments.repeats)
            for name, (decode, prefill) in speeds.items():
                if isinstance(name, str):
                    print(f"{1:>5} {batch:>5} {context:>7} {'transformers ' + name:>20} {decode:>12.0f} {prefill:>13.0f}")
                else:
                    print(f"{name[0]:>5} {name[1]:>5} {name[2]:>7} {name[3]:>8} {decode:>12.0f} {prefill:>13.0f}  {systems[name].stage_shares()}")
            one = speeds[(1, batch, context, "sharded")]
            if with_transformers:
                best = [max(speeds[d][i] for d in ("bfloat16", "float32")) for i in (0, 1)]
                print(f"      one rank / transformers: decode {one[0] / best[0]:.2f}x, prefill {one[1] / best[1]:.2f}x")
            two, local = speeds[(2, batch, context, "sharded")], speeds[(2, batch, context, "local")]
            print(f"      two ranks, sharded / local: decode {two[0] / local[0]:.2f}x, prefill {two[1] / local[1]:.2f}x")


if __name__ == "__main__":
    main()
