#!/usr/bin/env python3
"""Question: does a scheduler of ours lose more of a real model's answers than kvpress' own run of the same method, on the same prompts?

Run, with a Python that has kvpress, transformers, torch and h5py (0.5.5, 5.2.0, 2.15.0, 3.16.0 were used):
     python3 perf/kvpress_bench.py build/pikv build/models/smollm2 [--folder DIR]
Both sides read the same ids: the prompt, then, token by token whatever the model would say, what follows; the answers' losses count. kvpress
compresses when the prompt is in and keeps all that follows; pikv holds its share of the growing sequence, so a little less (column kept; --same-share evens that out).
  text     windows of data/held_out.txt: how likely the tokens after the prompt are. Perplexity as a ratio to exact attention's
  needles  one fact, or one of eight, hidden in that text; all but the last token of the question belongs to the prompt, as these methods want it
An interval is of 95 %, of differences between the two sides on the same task. WORSE: the whole interval of ours is above kvpress.
Ours is a `pikv sweep` for each page size, beside kvpress; results in --folder are not measured again. The exit code is 0: what could not be compared is said, with the reason.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
PRESSES = {
    "streaming": lambda kvpress, ratio: kvpress.StreamingLLMPress(ratio, n_sink=4),
    "tova": lambda kvpress, ratio: kvpress.TOVAPress(ratio),
    "snapkv": lambda kvpress, ratio: kvpress.SnapKVPress(ratio, window_size=64, kernel_size=5),
    "adakv": lambda kvpress, ratio: kvpress.AdaKVPress(kvpress.SnapKVPress(ratio, window_size=64, kernel_size=5), alpha_safeguard=0.2),
    "h2o": lambda kvpress, ratio: kvpress.ObservedAttentionPress(ratio),
}
NOTES = {
    "h2o": "kvpress has no H2O: its ObservedAttention divides by the queries that could see a token, and keeps no recent half",
    "duo": "kvpress' DuoAttention needs a pattern file, and there is none for this model",
    "lru, lru_plus, quest, flexgen, pikv": "kvpress has no such method",
}


def run(*command):
    done = subprocess.run([*map(str, command)], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def tokenized(model, lines, folder):
    path = folder / "as_text.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return json_lines(run(sys.executable, REPOSITORY / "jobs/tokenize.py", model, path))


def make_tasks(options, folder):
    bytes_a_token = 4   # of such prose, about
    run(options.pikv, "evaluate", "--needles", options.needles * 3 // 2, "--needle-length", bytes_a_token * options.context,
        "--write-tasks", folder / "needles.jsonl")
    needles = [line for line in json_lines((folder / "needles.jsonl").read_text()) if line["kind"] != "chain"]   # too hard for a small model
    tasks = tokenized(options.model, needles, folder)
    for task in tasks:
        task["context_ids"] += task["question_ids"][:-1]
        task["question_ids"] = task["question_ids"][-1:]
    held_out = (REPOSITORY / "data/held_out.txt").read_text()
    ids = tokenized(options.model, [{"prompt": held_out}], folder)[0]["prompt_ids"]
    for window in range(options.windows):
        at, end = window * len(ids) // options.windows, options.context
        tasks.append({"kind": "text", "context_ids": ids[at:at + end], "question_ids": ids[at + end:at + end + 1],
                      "answer_ids": ids[at + end + 1:at + end + 1 + options.scored]})
    return tasks


class Ours:
    """A sweep over all methods and shares for each page size, one after the other in the background."""
    def __init__(self, options, folder):
        self.known = {line.split("\t")[0] for line in run(options.pikv, "list", "schedulers").splitlines()}
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.results = {page_tokens: self.pool.submit(self.sweep, options, folder, page_tokens) for page_tokens in options.pages}

    def sweep(self, options, folder, page_tokens):
        import h5py
        grid, output = folder / f"grid-{page_tokens}.json", folder / f"ours-{page_tokens}.h5"
        grid.write_text(json.dumps({"schedulers": [name for name in options.methods if name in self.known], "keep": options.keep, "page_tokens": [page_tokens]}))
        run(options.pikv, "sweep", "--model", options.model, "--tasks", folder / "tasks.jsonl", "--grid", grid, "--output", output, "--pin-window", 0, "--kv-dtype", "f32",
            "--store", "local", "--threads", options.threads)
        with h5py.File(output) as file:
            return file["points"][:], file["tasks"][:]

    def of(self, method, keep, page_tokens):
        """(loss, exact loss, right, exact right) of each task, share of bytes kept."""
        if method not in self.known:
            raise RuntimeError(f"pikv has no scheduler {method}")
        points, tasks = self.results[page_tokens].result()
        [place] = ((points["scheduler"] == method.encode()) & (points["keep"] == keep)).nonzero()[0]
        rows = sorted((row["task"], float(row["nll"]), float(row["nll_exact"]), bool(row["right"]), bool(row["right_exact"])) for row in tasks[tasks["point"] == place])
        return [row[1:] for row in rows], points[place]["bytes_kept_ratio"]


class Kvpress:
    def __init__(self, options):
        import kvpress
        import torch
        import transformers
        torch.set_num_threads(options.threads)
        transformers.utils.logging.disable_progress_bar()
        self.kvpress, self.torch, self.transformers = kvpress, torch, transformers
        self.model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()

    def score(self, task, press, at_once):
        torch, follow = self.torch, task["question_ids"] + task["answer_ids"]
        context, cache = torch.tensor([task["context_ids"]]), self.transformers.DynamicCache()
        logits = []
        with torch.inference_mode():
            with press(self.model) if press else contextlib.nullcontext():
                self.model.model(input_ids=context, past_key_values=cache)
            for at in range(0, len(follow) - 1, at_once or len(follow)):
                ids = torch.tensor([follow[at:-1][:at_once or len(follow)]])
                positions = torch.arange(at, at + ids.shape[1])[None] + context.shape[1]
                logits.append(self.model(input_ids=ids, past_key_values=cache, position_ids=positions).logits[0])
            scored = torch.cat(logits)[len(task["question_ids"]) - 1:]
            answer = torch.tensor(task["answer_ids"])
            return torch.nn.functional.cross_entropy(scored, answer).item(), bool((scored.argmax(-1) == answer).all())

    def run(self, tasks, method=None, keep=1.0):
        """(loss, right) of each task."""
        press = PRESSES[method](self.kvpress, 1 - keep) if method else None
        self.model.set_attn_implementation("eager" if method == "h2o" else "sdpa")
        return [self.score(task, press, at_once=1 if method == "adakv" else 0) for task in tasks]   # AdaKV's fake key may not exist for several queries


def of_prompt(tasks, keep):
    """The share of prompts that kvpress has to keep to hold `keep` of all over the scored rows, as pikv does."""
    at_none, at_all = kept_by_kvpress(tasks, 0), kept_by_kvpress(tasks, 1)
    return round(max(0, (keep - at_none) / (at_all - at_none)), 3)


def theirs(get_kvpress, folder, tasks, method=None, keep=1.0):
    path = folder / f"kvpress-{method}-{keep}.json"
    if not path.is_file():
        path.write_text(json.dumps(get_kvpress().run(tasks, method, keep)))
    return json.loads(path.read_text())


def kept_by_kvpress(tasks, keep):
    """Mean over scored rows, as pikv counts."""
    held = [(int(len(task["context_ids"]) * keep) + i, len(task["context_ids"]) + i) for task in tasks
            for i in range(1, len(task["question_ids"] + task["answer_ids"]))]
    return sum(some for some, _ in held) / sum(whole for _, whole in held)


def interval(differences):
    """Mean, half of its 95 % interval (Student's t, by its expansion in 1 / degrees of freedom)."""
    n, z = len(differences), 1.959964
    if n < 2:
        return (differences or [math.nan])[0], math.inf
    t = z + (z**3 + z) / (4 * (n - 1)) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * (n - 1) ** 2)
    return statistics.fmean(differences), t * statistics.stdev(differences) / math.sqrt(n)


def percent(mean, half):
    """Of a difference of logarithms."""
    return f"{100 * math.expm1(mean):+6.1f} ({100 * math.expm1(mean - half):+6.1f} to {100 * math.expm1(mean + half):+6.1f})"


def verdict(*differences):
    return "WORSE" if any(mean - half > 0 for mean, half in differences) else "ok"


def print_row(name, tasks, us, them, exact, kept):
    """One side's results; `them`, if there, is what differences are to."""
    text, needles = ([i for i, task in enumerate(tasks) if (task["kind"] == "text") == is_text] for is_text in (True, False))
    ratio = math.exp(statistics.fmean(us[i][0] - exact[i][0] for i in text)) if text else math.nan
    found = 100 * statistics.fmean(us[i][1] for i in needles) if needles else math.nan
    answers = statistics.fmean(us[i][0] for i in needles) if needles else math.nan
    row = f"  {name:<12} {100 * kept:5.1f} {ratio:9.4f} {found:9.1f} {answers:9.3f}"
    if them is not None:
        losses, needle_losses = (interval([us[i][0] - them[i][0] for i in group]) for group in (text, needles))
        missed = interval([100.0 * (them[i][1] - us[i][1]) for i in needles])
        row += (f"   {percent(*losses)}   {0 - missed[0]:+6.1f} +- {missed[1]:5.1f}   {needle_losses[0]:+7.3f} +- {needle_losses[1]:.3f}"
                f"   {verdict(losses, missed)}")
    print(row, flush=True)


def compare(options, folder, tasks, get_kvpress):
    exact, sweep = None, Ours(options, folder)
    for method, keep in itertools.product((name for name in options.methods if name in PRESSES), options.keep):   # while the sweep runs
        with contextlib.suppress(Exception):   # said below
            theirs(get_kvpress, folder, tasks)
            theirs(get_kvpress, folder, tasks, method, of_prompt(tasks, keep) if options.same_share else keep)
    for method in options.methods:
        for keep in options.keep:
            print(f"{method}, keep {keep}" + (f" ({NOTES[method]})" if method in NOTES else ""), flush=True)
            them = None
            if method not in PRESSES:
                print("  kvpress: no such method")
            else:
                try:
                    exact_them = theirs(get_kvpress, folder, tasks)
                    kept_prompt = of_prompt(tasks, keep) if options.same_share else keep
                    them = theirs(get_kvpress, folder, tasks, method, kept_prompt)
                    print_row("kvpress", tasks, them, None, exact_them, kept_by_kvpress(tasks, kept_prompt))
                except Exception as error:   # whatever a package does not like is a reason
                    print(f"  kvpress: not compared ({type(error).__name__}: {error})")
            for page_tokens in options.pages:
                try:
                    rows, kept = sweep.of(method, keep, page_tokens)
                except (ImportError, OSError, RuntimeError) as error:
                    print(f"  ours, p = {page_tokens}: not compared ({error})")
                    continue
                exact = [(nll, right) for _, nll, _, right in rows]
                print_row(f"ours, p = {page_tokens}", tasks, [(nll, right) for nll, _, right, _ in rows], them, exact, kept)
    if exact:
        print_exact(tasks, exact, folder)


def print_exact(tasks, exact, folder):
    for kind in sorted({task["kind"] for task in tasks}):
        of = [i for i, task in enumerate(tasks) if task["kind"] == kind]
        print(f"exact, {kind:<7} loss {statistics.fmean(exact[i][0] for i in of):.4f} nats" +
              ("" if kind == "text" else f", found {100 * statistics.fmean(exact[i][1] for i in of):.1f} %") + f", of {len(of)}")
    path = folder / "kvpress-None-1.0.json"
    if path.is_file():
        print(f"largest difference of exact losses, ours and kvpress': {max(abs(a[0] - b[0]) for a, b in zip(exact, json.loads(path.read_text()))):.2g} nats")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pikv")
    parser.add_argument("model", type=pathlib.Path, help="a folder with model.safetensors and tokenizer.json")
    parser.add_argument("--methods", nargs="+", default=list(PRESSES))
    parser.add_argument("--keep", nargs="+", type=float, default=[.5, .25])
    parser.add_argument("--pages", nargs="+", type=int, default=[1, 16, 32], help="tokens of a page of ours")
    parser.add_argument("--same-share", action="store_true", help="kvpress keeps less of the prompt, so that both sides hold the same share over the scored tokens")
    parser.add_argument("--needles", type=int, default=24)
    parser.add_argument("--windows", type=int, default=12, help="of text")
    parser.add_argument("--context", type=int, default=384, help="tokens of a prompt; of a needle's about")
    parser.add_argument("--scored", type=int, default=32, help="tokens after a window's prompt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=pathlib.Path, help="keeps tasks and results; default: none are kept")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "tasks.jsonl"
        try:
            if not path.is_file():
                path.write_text("".join(json.dumps(task) + "\n" for task in make_tasks(options, folder)))
        except (OSError, RuntimeError) as error:
            print(f"nothing compared: no tasks could be made ({error})")
            return
        tasks = json_lines(path.read_text())
        made = []

        def get_kvpress():
            if not made:
                made.append(Kvpress(options))
            return made[0]

        of_text = sum(task["kind"] == "text" for task in tasks)
        print(f"{of_text} windows of text, {len(tasks) - of_text} needles, prompts of {min(len(task['context_ids']) for task in tasks)} to "
              f"{max(len(task['context_ids']) for task in tasks)} tokens; differences are ours to kvpress' run, with 95 % intervals")
        print("                kept     perplexity  found   loss of      perplexity, %                found, points      loss of answers,\n"
              "                   %       ratio      %     answers                                                        nats")
        compare(options, folder, tasks, get_kvpress)
        for names, reason in NOTES.items():
            if not PRESSES.keys() & {names}:
                print(f"not compared: {names} ({reason})")


if __name__ == "__main__":
    main()
