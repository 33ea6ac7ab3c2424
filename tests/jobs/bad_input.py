"""Bad input from outside, alone and on 3 ranks: one sentence that names the trouble, the right code everywhere, in time, and no file
left behind.  Run: bad_input.py build/pikv [WORD...]   (only rows whose name holds one of the words)"""
import concurrent.futures
import json
import pathlib
import re
import sys
import tempfile
from dataclasses import dataclass, field

from bad_models import BAD_MODELS
from pikv_runs import DEADLINE_S, run

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"
MODEL = DATA / "tiny-moe"
MPI_RANKS = 3


@dataclass
class Row:
    name: str
    args: list
    says: str                                        # regular expression that the one sentence must hold
    code: int = 2
    files: dict = field(default_factory=dict)        # name -> bytes, made beforehand; the run happens in their folder
    model: object = None                             # make(good folder, new folder "model")
    environment: dict = field(default_factory=dict)
    stdin: str = ""
    ranks: tuple = (1, MPI_RANKS)
    full_stdout: bool = False


def replays():
    trace = json.dumps({"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [0, 1]}).encode() + b"\n"
    for args, says in [
        ([], "pikv replay TRACE"),
        (["t.jsonl", "u.jsonl"], "'u.jsonl' stands alone"),
        (["t.jsonl", "--policy", "lrv"], "named 'lrv'.*did you mean lru.*arc, belady"),
        (["t.jsonl", "--policy", "lru,"], "named ''"),
        (["t.jsonl", "--policy", "none"], "named 'none'"),
        (["t.jsonl", "--capacity", "0"], "--capacity=0 .*from 1 to"),
        (["t.jsonl", "--capacity", "1,x"], "--capacity=1,x .*from 1 to"),
        (["t.jsonl", "--capacity", "1GiB"], "--capacity=1GiB "),
        (["t.jsonl", "--csv", "no/folder/t.csv"], "--csv"),
        (["t.jsonl", "--csv", "t.jsonl"], "overwrite the trace"),
        (["t.jsonl", "--csv", "a", "--report", "a"], "one file"),
        (["t.jsonl", "--csv", "a", "--curve", "."], "--curve"),
        (["t.jsonl", "--seed", "3"], "add that"),
        (["t.jsonl", "--generate", "new.jsonl"], "keep one of the two"),
        (["--generate", "new.jsonl", "--capacity", "3"], "--capacity=3 has no effect"),
        (["--generate", "new.jsonl", "--requests", "0"], "--requests=0 .*from 1 to"),
        (["--generate", "new.jsonl", "--zipf", "-1"], "--zipf=-1"),
        (["--generate", "new.jsonl", "--turns", "0.5"], "--turns=0.5"),
        (["--generate", "new.jsonl", "--think", "5"], "us ms s min h"),
        (["--generate", "no/folder/new.jsonl"], "--generate"),
    ]:
        yield Row("replay " + " ".join(args), ["replay", *args], says, files={"t.jsonl": trace})
    for name, text, says in [("of nothing", b"", "no requests"), ("no JSON", b"hello\n", "line 1"), ("without ids", trace + b'{"timestamp": 1}\n', "line 2 has no"),
                             ("binary", bytes(range(256)), "line 1")]:
        yield Row(f"replay a trace {name}", ["replay", "t.jsonl"], says, code=1, files={"t.jsonl": text})
    yield Row("replay a trace missing", ["replay", "gone.jsonl"], "gone.jsonl", code=1)


def generate(name, args, says, **more):
    return Row(name, ["generate", *args], says, **more)


def prompts(name, lines, says, suffix="jsonl", **more):
    content = lines if isinstance(lines, bytes) else lines.encode()
    return generate(f"prompts {name}", ["--prompts", f"in.{suffix}"], says, files={f"in.{suffix}": content}, **more)


def evaluations():
    def of(name, args, says, **more):
        return Row(f"evaluate {name}", ["evaluate", "--windows", "1", *args], says, **more)

    task = '{"context_ids": [1, 2], "question_ids": [3], "answer_ids": [4]}'
    yield of("window too small", ["--window", "2"], "--window=2 .*from 4 to")
    yield of("window longer than the text", ["--text", "t.txt"], "shorter than a window of 2048", files={"t.txt": b"short"})
    yield of("window longer than the model", ["--window", "65536"], "longer than the model's 8192 positions")
    yield of("text missing", ["--text", "gone.txt"], "--text=gone.txt could not be read")
    yield of("depths", ["--needles", "1", "--needle-depths", "0,2"], "--needle-depths=0,2")
    yield of("option of generate", ["--prompts", "a"], "--prompts is not an option")
    yield of("tasks that are text", ["--tasks", "t.jsonl"], "line 1 of --tasks=t.jsonl", files={"t.jsonl": b"Once upon a time"})
    yield of("task without an answer", ["--tasks", "t.jsonl"], "answer_ids", files={"t.jsonl": b'{"context_ids": [1], "question_ids": [3]}'})
    yield of("task with a strange token", ["--tasks", "t.jsonl"], "256.* no token of this model", files={"t.jsonl": task.replace("[4]", "[256]").encode()})
    yield of("no task", ["--tasks", "t.jsonl"], "holds no task", files={"t.jsonl": b"\n"})
    yield Row("evaluate nothing", ["evaluate", "--windows", "0"], "nothing to measure")
    yield of("report in no folder", ["--report", "no/folder/out"], "--report=no/folder/out: there is no folder no/folder")


def calibrations():
    def of(name, args, says, **more):
        return Row(f"calibrate {name}", ["calibrate", *args], says, **more)

    to = ["--output", "c.h5"]
    yield of("without a place", [], "add --output FILE.h5")
    yield of("to no folder", ["--output", "no/folder/c.h5"], "--output=no/folder/c.h5")
    yield of("text too short", ["--text", "t.txt", *to], "5 tokens make 0 windows of 512, and calibration needs 5", files={"t.txt": b"short"})
    yield of("text missing", ["--text", "gone.txt", *to], "--text=gone.txt could not be read")
    yield of("window longer than the model", ["--window", "8192", *to], "--window=8192 leaves no room in the model's 8192 positions")
    yield of("window too small", ["--window", "8", *to], "--window=8 .*from 16 to")
    yield of("distill at a rank that is no multiple of 8", ["--distill", "16,20", *to], "--distill=16,20: ranks are multiples of 8")
    yield of("distill past the head", ["--distill", "128", *to], "--distill asks for rank 128, and heads have 64 numbers")
    yield of("option of generate", ["--codec", "none", *to], "--codec is not an option")
    yield of("ids that are none", ["--text", "t.jsonl", *to], "line 1 of --text=t.jsonl", files={"t.jsonl": b"Once upon a time"})


def options():
    yield Row("command unknown", ["generat"], "did you mean generate.*generate, list, model")
    yield Row("command of a later version", ["plan"], "generate, list, model")
    yield Row("list nothing", ["list"], "one of: codecs, homes, routers, schedulers, transports")
    yield Row("list unknown", ["list", "things"], "one of: codecs")
    yield Row("checkpoint nothing", ["checkpoint"], "one of: list, verify, diff, show")
    yield Row("checkpoint unknown", ["checkpoint", "lst", "a"], "one of: list, verify, diff, show")
    yield Row("checkpoint of nothing", ["checkpoint", "verify"], "pikv checkpoint verify PATH")
    yield Row("checkpoint with an option", ["checkpoint", "show", "--all"], "--all is not an option")
    yield Row("checkpoint diff of one", ["checkpoint", "diff", "a"], "diff A B")
    yield Row("checkpoint missing", ["checkpoint", "verify", "gone"], "gone does not exist", code=1)
    yield Row("checkpoint folder empty", ["checkpoint", "list", "."], "no complete checkpoint", code=1)
    yield Row("checkpoint that is text", ["checkpoint", "show", "a.h5"], r"a\.h5 is not an HDF5 file", code=1, files={"a.h5": b"step,rank\n"})
    yield from replays()
    yield from evaluations()
    yield from calibrations()
    yield Row("model without folder", ["model"], "pikv model DIR")
    yield generate("stdout full", ["--max-new-tokens", "1"], r"could not be written to stdout; give", code=1, full_stdout=True, ranks=(1,))
    yield Row("stdout full of a list", ["list", "homes"], "stdout", code=1, full_stdout=True, ranks=(1,))   # mpirun reads the ranks' stdout itself
    for args, says in [
        (["--batc", "3"], "did you mean --batch"),
        (["--router", "topk"], "add --attention routed --experts N"),
        (["--router", "best", "--attention", "routed"], "one of: cache_aware, entropy"),
        (["--attention", "routed"], "add --experts N or --read-pages N"),
        (["--router", "topk", "--attention", "routed", "--read-pages", "4"], "--router=topk has no effect|--router topk has no effect"),
        (["--experts", "0", "--attention", "routed"], "not a whole number from 1"),
        (["--experts", "65", "--attention", "routed"], "more than the 64 KV experts"),
        (["--read-pages", "4"], "add --attention routed"),
        (["--max-error", ".1"], "add --attention certified"),
        (["--attention", "certified"], "add --max-error"),
        (["--keep", ".5"], "add --scheduler NAME"),
        (["--keep", "0", "--scheduler", "lru"], "not a number from"),
        (["--pin-window", "8"], "add --scheduler NAME"),
        (["--redundancy", ".5", "--scheduler", "quest"], "one that evicts"),
        (["--scheduler", "quest", "--attention", "routed", "--experts", "4"], "leave one of them out"),
        (["--scheduler", "flexgen", "--store", "local", "--checkpoint", "saved"], "does not hold the tiers of --scheduler flexgen"),
        (["--attention", "routed", "--experts", "2", "--router", "rl", "--checkpoint", "saved"], "what --router rl has learned"),
        (["--attention", "routed", "--experts", "2", "--scheduler", "h2o", "--checkpoint", "saved"], "by which --attention routed weighs"),
        (["--attention", "routed", "--experts", "2", "--home", "router", "--checkpoint", "saved"], "which --home router counts"),
        (["stray"], "'stray'"),
        (["--batch"], "--batch needs a value"),
        (["--batch", "2", "--batch", "2"], "repeats"),
        (["--batch", "0"], "--batch=0 .*from 1 to"),
        (["--batch", "-3"], "--batch=-3 .*from 1 to"),
        (["--batch", "3x"], "--batch=3x "),
        (["--batch", "1e9"], "--batch=1e9 "),
        (["--batch", "99999999999999999999"], "--batch=9999"),
        (["--max-new-tokens", "0"], "--max-new-tokens=0 .*from 1 to"),
        (["--page-tokens", "24"], "power of two"),
        (["--page-tokens", "0"], "--page-tokens=0"),
        (["--prefill-chunk", "0"], "--prefill-chunk=0"),
        (["--kv-budget", "100"], "KiB MiB GiB kB MB GB"),
        (["--kv-budget", "0MiB"], "--kv-budget=0MiB"),
        (["--kv-budget", "-1MiB"], "--kv-budget=-1MiB"),
        (["--deadline", "30"], "us ms s min h"),
        (["--deadline", "0s"], "--deadline=0s"),
        (["--temperature", "nan"], "--temperature=nan"),
        (["--temperature", "-1"], "--temperature=-1"),
        (["--top-p", "2", "--temperature", "1"], "--top-p=2"),
        (["--top-k", "3"], "add --temperature"),
        (["--threads", "0"], "--threads=0"),
        (["--active-ranks", "0"], "--active-ranks=0 .*from 1 to"),
        (["--active-ranks", "9"], "--active-ranks=9 is more than the [13] ranks? of this job"),
        (["--rank-plan", "missing.json"], "--rank-plan=missing.json could not be read"),
        (["--migration-bytes", "1000"], "KiB MiB GiB kB MB GB"),
        (["--migration-bytes", "1kB"], "less than a page"),
        (["--rebalance-steps", "-1"], "--rebalance-steps=-1"),
        (["--skew", "5"], "--skew=5"),
        (["--arrivals", "nan"], "--arrivals=nan"),
        (["--store", "local", "--rank-plan", "plan.json"], "--rank-plan=plan.json .*--store sharded"),
        (["--home", "nowhere"], "one of: .*mod"),
        (["--scheduler", "fifo"], "one of: adakv, duo"),
        (["--codec", "zip"], "no codec is named 'zip'; choose of: auto, bf16"),
        (["--codec", "int8+svd"], "in no order that works"),
        (["--codec", "svd:32"], "add --calibration FILE"),
        (["--codec", "auto", "--calibration", "c.h5"], "add --kv-budget SIZE"),
        (["--codec", "int8", "--page-tokens", "4"], "give --page-tokens 8 or more"),
        (["--codec", "chunk_pca:64"], "a page's own basis of rank 64 saves nothing"),
        (["--codec", "rotate"], "add a type, as rotate"),
        (["--codec", "rotate:32+int3"], "gives 'rotate' a number"),
        (["--codec", "mixed:5"], "give 2 to 4"),
        (["--codec", "mixed/rotate+mixed"], "add --calibration FILE"),
        (["--codec", "rotate+int3", "--calibration", "c.h5"], "has no effect without a codec that needs a calibration; add --codec svd or mixed"),
        (["--codec-k", "auto"], "auto chooses for keys and for values"),
        (["--codec-k", "pyramid"], "write pyramid first in --codec"),
        (["--codec", "int8", "--calibration", "c.h5"], "has no effect without a codec that needs a calibration; add --codec svd or mixed"),
        (["--exact-window", "64"], "has no effect where no page is compressed"),
        (["--cold-codec", "int4", "--cold-after", "512"], "add --codec NAME"),
        (["--codec", "int8", "--cold-after", "512"], "has no effect without a codec of cold pages"),
        (["--codec", "int8", "--cold-codec", "int4"], "add --cold-after TOKENS"),
        (["--codec", "int8", "--cold-codec", "zip", "--cold-after", "512"], "no codec is named 'zip'"),
        (["--codec", "int8", "--cold-codec", "pyramid:0.5+int4", "--cold-after", "512"], "write pyramid first in --codec"),
        (["--codec", "int8", "--cold-codec", "auto", "--cold-after", "512"], "name the codec of cold ones"),
        (["--codec", "auto", "--kv-budget", "1MiB", "--calibration", "c.h5", "--cold-codec", "int4", "--cold-after", "512"], "name the codec"),
        (["--codec", "int8", "--cold-codec", "svd:32", "--cold-after", "512"], "add --calibration FILE"),
        (["--codec", "int8", "--exact-window", "64", "--cold-codec", "int4", "--cold-after", "32"], "raise --cold-after to 64 or more"),
        (["--codec", "int8", "--cold-codec", "int4", "--cold-after", "512", "--scheduler", "flexgen", "--store", "local", "--keep", "0.3"], "where none is recoded"),
        (["--codec", "int4", "--cold-codec", "int8", "--cold-after", "512"], "makes no page smaller than int4 does"),
        (["--codec", "int8>int4"], "write WARM>COLD@TOKENS"),
        (["--codec", "int8>int4@512", "--cold-after", "64"], "leave out --cold-codec and --cold-after"),
        (["--codec", "none>int4@512"], "add --codec NAME"),
        (["--codec", "svd", "--calibration", "no-such-file.h5"], "no-such-file.h5"),
        (["--transport", "carrier"], "one of: auto, mpi"),
        (["--attention", "sparse"], "one of: certified, exact, routed"),
        (["--kv-dtype", "int8"], "one of: bf16, f16, f32"),
        (["--store", "local", "--move", "page"], "--move=page .*--store sharded"),
        (["--schedule-seed", "1"], "--in-process"),
        (["--prompt", "a", "--prompts", "b"], "one of the two"),
        (["--config", "none.ini"], r"none\.ini"),
    ]:
        yield generate(" ".join(args), args, says)
    for name, plan, says in [("no JSON", "drain 1", "--rank-plan=p.json is no JSON list"), ("a rank that is not there", [{"step": 1, "action": "drain", "rank": 7}], "names rank 7"),
                             ("no rank left", [{"step": 1, "action": "drain", "rank": r} for r in range(MPI_RANKS)], "p.json (drains the last rank|names rank 1)"),
                             ("steps that fall", [{"step": 9, "action": "drain", "rank": 0}, {"step": 2, "action": "join", "rank": 0}], "(in order|the last rank)")]:
        text = plan if isinstance(plan, str) else json.dumps(plan)
        yield generate(f"rank plan with {name}", ["--rank-plan", "p.json"], says, files={"p.json": text.encode()})
    yield generate("config with a slip", ["--config", "a.ini"], r"batc in a\.ini.*batch", files={"a.ini": b"batc = 3\n"})
    yield generate("config not INI", ["--config", "a.ini"], r"a\.ini is not an INI file", files={"a.ini": b"\0\1\2 nonsense\n"})
    yield generate("environment bad", [], "PIKV_BATCH=3x", environment={"PIKV_BATCH": "3x"})
    yield generate("environment misspelt", [], "PIKV_BATCHS.*PIKV_BATCH", environment={"PIKV_BATCHS": "3"})
    yield generate("in process under mpirun", ["--in-process", "2"], "--in-process", ranks=(MPI_RANKS,))
    yield generate("one rank alone has a bad option", [], "rank 1: --batch=3x", environment={"RANK_1": "--batch=3x"}, ranks=(MPI_RANKS,))
    yield generate("one rank alone has another transport", [], "rank 1 mpi; give all ranks the same", environment={"RANK_1": "--transport mpi"}, ranks=(MPI_RANKS,))
    yield generate("one rank alone has no model", [], "rank 2: .*gone", environment={"RANK_2": "--model gone"}, ranks=(MPI_RANKS,))


def outputs():
    for option in ("--output", "--trace", "--report", "--logits"):
        yield generate(f"{option} in no folder", [option, "no/folder/out"], option)
        yield generate(f"{option} is a folder", [option, "."], option)
        yield generate(f"{option} takes no file", [option, "/proc/out"], option)
    yield generate("--output is a device", ["--output", "/dev/null"], "--output")
    yield generate("two outputs are one", ["--output", "same", "--report", "same"], "--report=same .*--output=same")
    yield generate("output is the input", ["--prompts", "a.txt", "--output", "a.txt"], "--output=a.txt", files={"a.txt": b"hello\n"})


def checkpoints():
    yield generate("resume from nowhere", ["--resume", "gone"], "gone does not exist", code=1)
    yield generate("resume from an empty folder", ["--resume", "."], "no complete checkpoint", code=1)
    yield generate("resume from text", ["--resume", "a.h5"], r"a\.h5 is not an HDF5 file", code=1, files={"a.h5": b"step,rank\n"})
    yield generate("--checkpoint is a file", ["--checkpoint", "a.txt"], "--checkpoint=a.txt", files={"a.txt": b"hello\n"})
    yield generate("--checkpoint of another job", ["--checkpoint", "."], "checkpoints of another job.*--resume", files={"step-000000000008.h5": b"x"})
    yield generate("--checkpoint-every without", ["--checkpoint-every", "3"], "add --checkpoint DIR")


def models():
    for name, (make, says) in BAD_MODELS.items():
        yield generate(f"model {name}", ["--model", "model"], says, model=make)
    yield Row("model command on a bad model", ["model", "model"], "FalconForCausalLM", model=BAD_MODELS["architecture unknown"][0])
    yield generate("data folder missing", [], "nowhere", environment={"PIKV_DATA": "nowhere"})


def prompt_files():
    good = json.dumps({"prompt": "Once"})
    yield generate("prompts missing", ["--prompts", "none.jsonl"], r"none\.jsonl")
    yield generate("prompts a folder", ["--prompts", "."], "--prompts|could not")
    yield prompts("empty", "", "no prompts")
    yield prompts("empty text", "", "no prompts", suffix="txt")
    yield prompts("not JSON", good + "\nhello\n", r"in\.jsonl line 2")
    yield prompts("not an object", "[1]\n", r"in\.jsonl line 1")
    yield prompts("not UTF-8", b'{"prompt": "\xff\xfe"}\n', r"in\.jsonl line 1.*UTF-8")
    yield prompts("text not UTF-8", b"fine\n\xff\xfe\n", r"in\.txt line 2.*UTF-8", suffix="txt")
    yield prompts("with both", json.dumps({"prompt": "a", "prompt_ids": [1]}) + "\n", "line 1.*exactly one")
    yield prompts("with neither", json.dumps({"id": "a"}) + "\n", "line 1.*exactly one")
    yield prompts("with an unknown key", json.dumps({"prompt": "a", "max_tokens": 3}) + "\n", "line 1.*max_tokens")
    yield prompts("wanting no tokens", json.dumps({"prompt": "a", "max_new_tokens": 0}) + "\n", "line 1.*max_new_tokens")
    yield prompts("with a wrong type", json.dumps({"prompt": 3}) + "\n", "line 1.*prompt")
    yield prompts("from before time", json.dumps({"prompt": "a", "arrival_s": -1}) + "\n", "line 1.*arrival_s")
    yield prompts("with an id twice", (json.dumps({"id": "x", "prompt": "a"}) + "\n") * 2, "same id")
    yield generate("stdin empty", ["--prompts", "-"], "no prompts")


def plans_and_budget():
    for name, text, says in [("not JSON", "{", r"plan\.json: not a JSON"), ("unknown key", '{"drip": 0.1}', "drip"), ("no probability", '{"drop": 2}', "drop")]:
        yield generate(f"fault plan {name}", ["--fault-plan", "plan.json", "--in-process", "2"], says, files={"plan.json": text.encode()}, ranks=(1,))
    yield generate("fault plan missing", ["--fault-plan", "none.json", "--in-process", "2"], r"none\.json", ranks=(1,))
    yield generate("budget too small", ["--kv-budget", "4KiB"], r"--kv-budget.*\d")
    tiers = ["--scheduler", "flexgen", "--keep", "0.3"]
    yield generate("tiers of sharded pages", tiers, "add --store local")
    yield generate("tier folder missing", [*tiers, "--store", "local", "--tier-dir", "no/such"], "no/such.*--tier-dir")
    yield generate("tier folder of the environment missing", [*tiers, "--store", "local"], "/no/such.*--tier-dir", environment={"PIKV_TIER_DIR": "/no/such"})


def rows():
    for group in (options, outputs, checkpoints, models, prompt_files, plans_and_budget):
        yield from group()


def check(pikv, row, ranks):
    """What is wrong with this run, as a list of sentences."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file, content in row.files.items():
            (folder / file).write_bytes(content)
        if row.model:
            row.model(MODEL, folder / "model")
        before = sorted(folder.rglob("*"))
        with open("/dev/full", "w") as full:
            done = run(pikv, row.args, ranks, folder, row.environment, row.stdin, full if row.full_stdout else None)
        wrong = []
        errors = done.errors()
        if len(errors) != 1:
            wrong.append(f"{len(errors)} errors were said, not one")
        elif not re.search(row.says, errors[0]):
            wrong.append(f"the sentence does not match {row.says}")
        if done.code != row.code or set(done.codes.values()) - {row.code}:
            wrong.append(f"the code is {done.code}, by rank {done.codes}, not {row.code}")
        if done.seconds >= DEADLINE_S:
            wrong.append(f"it took {done.seconds:.0f} s")
        if sorted(folder.rglob("*")) != before:
            wrong.append(f"files were left: {set(folder.rglob('*')) - set(before)}")
        if done.stdout:
            wrong.append("something was printed as a result")
        return [f"{row.name} on {ranks}: {each}\n    " + "\n    ".join(done.stderr.splitlines()[:8]) for each in wrong]


def main():
    pikv, *words = sys.argv[1:]
    pikv = pathlib.Path(pikv).resolve()
    wanted = [row for row in rows() if not words or any(word in row.name for word in words)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda job: check(pikv, *job), [(row, ranks) for row in wanted for ranks in row.ranks]))
    wrong = [sentence for result in results for sentence in result]
    print("\n".join(wrong))
    print(f"{len(results)} runs, {len(wrong)} things wrong")
    sys.exit(1 if wrong or not results else 0)


if __name__ == "__main__":
    main()
