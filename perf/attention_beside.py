#!/usr/bin/env python3
"""Question: how long does decode attention take beside torch's, same shape, same machine, by turns?

Run: python3 perf/attention_beside.py build/perf/attention_bench [--keys 16384] [--threads 2] [--turns 5]
     with a Python that has torch (2.15.0 was used). What is missing is said, with what to install; the exit code is 0 then, too.
One query row, 32 query heads over 8 KV heads of 128. torch: scaled_dot_product_attention with enable_gqa, keys and values contiguous per head. ours:
pages of 32 in shuffled slots. Medians over the turns, of medians of each; the range of the turns in brackets. Times on the wall: nothing else should run.
"""
import argparse
import statistics
import subprocess
import sys
import time

Q_HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128


def of_ours(bench, keys, threads):
    """Seconds by the name of what is stored."""
    out = subprocess.run([bench, "--keys", str(keys), "--threads", str(threads), "--repeats", "15"], check=True, capture_output=True, text=True).stdout
    times = {}
    for line in out.splitlines()[2:]:
        times["ours, " + line[:16].strip()] = float(line[16:].split()[0]) * 1e-6
    return times


def of_torch(torch, keys, threads):
    torch.set_num_threads(threads)
    times = {}
    for dtype in (torch.bfloat16, torch.float32):
        q = torch.randn(1, Q_HEADS, 1, HEAD_DIM, dtype=dtype)
        k, v = (torch.randn(1, KV_HEADS, keys, HEAD_DIM, dtype=dtype) for _ in "kv")
        seconds = []
        for _ in range(15):
            start = time.perf_counter()
            torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
            seconds.append(time.perf_counter() - start)
        times[f"torch, {str(dtype).removeprefix('torch.')}"] = statistics.median(seconds)
    return times


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("bench")
    arguments.add_argument("--keys", type=int, default=16384)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--turns", type=int, default=5)
    given = arguments.parse_args()
    try:
        import torch
    except ImportError:
        torch = None
        print("without torch: pip install torch", file=sys.stderr)
    turns = {}
    for _ in range(given.turns):
        times = of_ours(given.bench, given.keys, given.threads)
        if torch:
            with torch.inference_mode():
                times |= of_torch(torch, given.keys, given.threads)
        for name, seconds in times.items():
            turns.setdefault(name, []).append(seconds)
    ours = statistics.median(turns["ours, plain bf16"])
    print(f"{'':<24} {'us':>8} {'range':>17}  times ours, plain bf16")
    for name, seconds in turns.items():
        median = statistics.median(seconds)
        print(f"{name:<24} {median * 1e6:>8.0f} {min(seconds) * 1e6:>8.0f}-{max(seconds) * 1e6:<8.0f} {median / ours:>8.2f}")


if __name__ == "__main__":
    main()
