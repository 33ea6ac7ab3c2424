#!/usr/bin/env python3
"""Question: how near do PiKV's pushes and fetches of pages come to what UCX's own benchmark moves over the same transports?

Run: python3 perf/page_bench.py build/perf/page_bench [--tls shm,self tcp,self] [--repeats 7] [--kib 4 64 1024] [--mpi]
page_bench and ucx_perftest (Debian: ucx-utils) take turns under the same UCX_TLS, each process on a core of its own; a ratio is of one turn's two
numbers, and what is printed is the median over turns, the lowest and highest, and the ratio of the best times of each.
page_bench.cpp says what put, push, fetch, copy, warm and cold are.
ucx_perftest moves one warm buffer over and over with as many puts under way; it does not ask for errors of peers, so it may use cma. Its put
speed is the better of ucp_put_bw and, as bytes over time, ucp_put_lat: over TCP the passive side of ucp_put_bw and ucp_get looks at the network
once a millisecond only (UCX 1.13).
  bandwidth, 64 pages under way: push / perftest = warm push against that put speed; push / copy, cold = over shared memory, a push
  of cold pages against a memcpy of cold pages
  latency, one page at a time:   fetch / put+trip = warm fetch against ucp_put_lat of as many bytes and two ucp_am_lat of 8 bytes
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
OF_TCP = {"UCX_TCP_TX_SEG_SIZE": "64k"}   # pikv sets it for itself (comm/ucx_worker.cpp), ucx_perftest gets it too; UCX warns of it elsewhere
WINDOW, SMALL = 64, 8


class Turns:
    """Seconds a page by what was measured, one value a turn."""

    def __init__(self):
        self.seconds = {}

    def add(self, what, seconds):
        self.seconds.setdefault(what, []).append(seconds)

    def gb_per_s(self, what, page_bytes):
        return page_bytes / statistics.median(self.seconds[what]) / 1e9

    def us(self, what):
        return statistics.median(self.seconds[what]) * 1e6

    def ratio(self, numerator, denominator):
        """Over turns. Either side is a list of things whose times add up."""
        def sums(what):
            return [sum(parts) for parts in zip(*(self.seconds[one] for one in what))]
        above, below = sums(numerator), sums(denominator)
        each = [a / b for a, b in zip(above, below)]
        return f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f}) {min(above) / min(below):.2f}".rjust(22)


def run_ours(program, transport, tls, arguments, turns):
    mpi = {"OMPI_MCA_btl": "tcp,self"} if tls.startswith("tcp") else {}
    command = ["mpirun", "--oversubscribe", "--bind-to", "core", "-n", "2", program, "--transport", transport, *arguments]
    text = subprocess.run(command, check=True, env=ENVIRONMENT | mpi | {"UCX_TLS": tls}, stdout=subprocess.PIPE, text=True).stdout
    comments, rows = [], []
    for line in text.splitlines():
        (comments if line.startswith("#") else rows).append(line)
    for kind, memory, pages, page_bytes, us, _ in map(str.split, rows):
        turns.add((transport, kind, memory, "one" if pages == "1" else "many", int(page_bytes)), float(us) * 1e-6)
    return comments[0]


def perftest_batch(kib, volume_bytes):
    lines = [f"am_lat.{SMALL} -t ucp_am_lat -s {SMALL} -n 2000 -w 200"]
    for page_bytes in (k << 10 for k in kib):
        count = min(max(volume_bytes // page_bytes, 2 * WINDOW), 20000)
        lines.append(f"put_bw.{page_bytes} -t ucp_put_bw -s {page_bytes} -O {WINDOW} -n {count} -w {count // 10}")
        lines.append(f"put_lat.{page_bytes} -t ucp_put_lat -s {page_bytes} -n {min(count, 1000)} -w {count // 10}")
        lines.append(f"get.{page_bytes} -t ucp_get -s {page_bytes} -O 1 -n {min(count, 1000)} -w {count // 10}")
    return "\n".join(lines) + "\n"


def run_perftest(tls, batch_file, port, turns):
    environment = (OF_TCP if tls.startswith("tcp") else {}) | ENVIRONMENT | {"UCX_TLS": tls, "UCX_LOG_LEVEL": "info"}
    common = ["ucx_perftest", "-b", batch_file, "-p", str(port)]
    with subprocess.Popen([*common, "-c", "1"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        time.sleep(0.5)   # until it listens
        text = subprocess.run([*common, "localhost", "-c", "0", "-f", "-v"], check=True, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True).stdout
        server.wait(timeout=60)
    lanes = sorted({line.split("ep_cfg[0]: ")[1].split(": ")[-1] for line in text.splitlines() if "ep_cfg[0]: " in line})
    seconds = {}
    for line in text.splitlines():
        test, *numbers = line.split(",")
        if "." not in test or len(numbers) != 8:
            continue
        name, size = test.split(".")
        median_us, average_us = float(numbers[1]), float(numbers[2])
        seconds[name, int(size)] = (average_us if name == "put_bw" else median_us) * 1e-6
    for (name, size), value in seconds.items():
        turns.add((name, size), value)
        if name == "put_bw":
            turns.add(("put", size), min(value, seconds["put_lat", size]))
    return "ucx_perftest: " + ", ".join(lanes)


def print_bandwidth(turns, kib, transports, shared):
    print("  bandwidth, GB/s      warm                        cold\n"
          "  over   page KiB    put   push  fetch   copy     put   push  fetch   copy  perftest        push / perftest     push / copy, cold")
    for page_bytes in (k << 10 for k in kib):
        for transport in transports:
            def key(kind, memory):
                return (transport, kind, memory, "many", page_bytes)
            row = [" ".join(f"{turns.gb_per_s(key(kind, memory), page_bytes):6.2f}" for kind in ("put", "push", "fetch", "copy"))
                   for memory in ("warm", "cold")]
            of_copy = turns.ratio([key("copy", "cold")], [key("push", "cold")]) if shared else ""
            print(f"  {transport:<5} {page_bytes >> 10:>8} {row[0]}  {row[1]} {turns.gb_per_s(('put', page_bytes), page_bytes):9.2f}  "
                  f"{turns.ratio([('put', page_bytes)], [key('push', 'warm')])} {of_copy}")


def print_latency(turns, kib, transports):
    print(f"  latency, us; a round trip of {SMALL} bytes in ucx_perftest: {2 * turns.us(('am_lat', SMALL)):.1f}\n"
          "  over   page KiB       put      push     fetch   perftest put       get       fetch / put+trip")
    for page_bytes in (k << 10 for k in kib):
        for transport in transports:
            def key(kind):
                return (transport, kind, "warm", "one", page_bytes)
            bound = [("put_lat", page_bytes), ("am_lat", SMALL), ("am_lat", SMALL)]
            print(f"  {transport:<5} {page_bytes >> 10:>8} " + " ".join(f"{turns.us(key(kind)):9.1f}" for kind in ("put", "push", "fetch")) +
                  f" {turns.us(('put_lat', page_bytes)):14.1f} {turns.us(('get', page_bytes)):9.1f} {turns.ratio([key('fetch')], bound)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page_bench")
    parser.add_argument("--tls", nargs="+", default=["shm,self", "tcp,self"])
    parser.add_argument("--kib", nargs="+", type=int, default=[4, 16, 64, 256, 1024, 8192])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--volume-mib", type=int, default=128, help="bytes moved for each number")
    parser.add_argument("--pool-mib", type=int, default=512, help="memory that cold pages walk through")
    parser.add_argument("--port", type=int, default=13400, help="of ucx_perftest; each turn takes the next")
    parser.add_argument("--mpi", action="store_true", help="the mpi transport as well")
    options = parser.parse_args()
    if shutil.which("ucx_perftest") is None:
        sys.exit("page_bench.py: ucx_perftest, which it compares with, is not installed; apt-get install ucx-utils")
    transports = ["ucx", "mpi"] if options.mpi else ["ucx"]
    arguments = ["--window", str(WINDOW), "--volume-mib", str(options.volume_mib), "--pool-mib", str(options.pool_mib),
                 "--kib", *map(str, options.kib)]
    port = options.port
    with tempfile.TemporaryDirectory() as folder:
        batch_file = pathlib.Path(folder, "pages")
        batch_file.write_text(perftest_batch(options.kib, options.volume_mib << 20))
        for tls in options.tls:
            turns = Turns()
            for _ in range(options.repeats):
                lanes = [run_ours(options.page_bench, transport, tls, arguments, turns) for transport in transports]
                lanes.append("# " + run_perftest(tls, batch_file, port, turns))
                port += 1
            print(f"UCX_TLS={tls}, medians of {options.repeats} turns (lowest-highest)", *lanes, sep="\n  ")
            print_bandwidth(turns, options.kib, transports, shared=not tls.startswith("tcp"))
            print_latency(turns, options.kib, transports)


if __name__ == "__main__":
    main()
