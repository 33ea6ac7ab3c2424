#!/usr/bin/env python3
"""Draws a trace of `pikv generate`, hit rates of `pikv replay`, or what settings of `pikv sweep` cost and keep, as PNG files of 1200 x 675 pixels into
OUTDIR, which is made.

Run: jobs/plots.py TRACE OUTDIR                    (docs/analyze.md says what each picture shows)
     jobs/plots.py replay CSV OUTDIR [CURVE.csv]   files of --csv and --curve (docs/replay.md)
     jobs/plots.py sweep CSV OUTDIR                file of --csv (docs/sweep.md)
Needs python3-h5py and python3-matplotlib.
"""
import csv
import pathlib
import sys

try:
    import h5py
    import matplotlib
    import numpy
except ImportError as missing:
    sys.exit(f"plots.py: error: {missing.name} is not installed for {sys.executable}; apt-get install python3-h5py python3-matplotlib and use /usr/bin/python3")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of Agg)
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

STAGES = ["attention", "ffn", "routing", "codec", "scheduling", "communication", "other"]
PURPOSES = ["push", "fetch", "query", "partial", "dispatch", "combine", "control"]
LOCALITIES = {"rank": "inside the rank", "node": "same host", "remote": "other hosts"}
MEMORY = ["payload", "header", "summaries", "slack", "replicas", "free"]
TABLES = ["steps", "requests", "ranks", "pages_by_owner"]
MOST_WINDOWS = 64
RANK_COLOURS = pyplot.get_cmap("tab20").colors[::2] + pyplot.get_cmap("tab20").colors[1::2]
MOST_RANKS = 12   # with a bar or line of their own
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999"]   # Okabe and Ito's, told apart by everyone


class Trace:
    def __init__(self, path):
        if not pathlib.Path(path).is_file():
            raise ValueError("there is no such file")
        with h5py.File(path, "r") as file:
            self.steps, self.requests, self.ranks, self.pages = (file[name][:] for name in TABLES)
            self.virtual = file["options"].attrs["in-process"] > 0
            if file.attrs["format"] >= 3:
                self.events, self.kinds = file["events"].fields(["step", "event"])[:], h5py.check_enum_dtype(file["events"].dtype["event"])
            else:
                self.events, self.kinds = None, {}
        self.steps.sort(order=["step", "rank"])
        self.numbers = numpy.unique(self.steps["step"])
        if not len(self.numbers):
            raise ValueError("no step was flushed, so there is nothing to draw")
        parts = min(MOST_WINDOWS, len(self.numbers))
        self.windows = numpy.array_split(self.numbers, parts)
        busy = sum(numpy.bincount(self.steps["rank"], self.steps[f"stage_{stage}_s"], len(self.ranks)) for stage in STAGES if stage != "communication")
        self.shown = sorted(numpy.argsort(-busy, kind="stable")[:MOST_RANKS])

    def rank(self, rank):
        return self.steps[self.steps["rank"] == rank]

    def window(self, steps):
        return self.steps[(self.steps["step"] >= steps[0]) & (self.steps["step"] <= steps[-1])]

    def middles(self):
        return [(steps[0] + steps[-1]) / 2 for steps in self.windows]

    def per_step(self, columns):
        """[columns][steps]: sums over ranks."""
        place = numpy.searchsorted(self.numbers, self.steps["step"])
        return [numpy.bincount(place, weights=self.steps[name].astype(float)) for name in columns]

    def sums(self, column):
        """Over the run, of each rank shown."""
        return numpy.array([float(self.rank(rank)[column].sum()) for rank in self.shown])

    def names(self):
        return [f"rank {rank}" for rank in self.shown]

    def of_how_many(self):
        return "" if len(self.shown) == len(self.ranks) else f" (the {len(self.shown)} busiest of {len(self.ranks)} ranks)"


def unit_for(most):
    """(bytes, name) of the unit in which `most` bytes are a number a person reads."""
    power = 0 if most < 1 else min(4, int(numpy.log2(most) // 10))
    return 1024 ** power, ["B", "KiB", "MiB", "GiB", "TiB"][power]


def plain_log(axis):
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def stacked_bars(trace, axes, parts):
    """One bar per rank; parts: name -> value per rank. What is 0 everywhere gets no colour and no place in the legend."""
    left = numpy.zeros(len(trace.shown))
    for (name, values), colour in zip(parts.items(), COLOURS):
        if values.any():
            axes.barh(trace.names(), values, left=left, label=name, color=colour)
            left += values
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * left.max() or 1)


def stacked_area(axes, x, parts):
    kept = [(name, values, colour) for (name, values), colour in zip(parts.items(), COLOURS) if values.any()]
    if kept:
        axes.stackplot(x, [values for _, values, _ in kept], labels=[name for name, _, _ in kept], colors=[colour for _, _, colour in kept])


def resident(rows):
    return sum(rows[f"memory_{part}_bytes"].astype(float) for part in MEMORY if part != "free")


def variation(values):
    """Population standard deviation / mean over ranks, in percent; nan where all are 0."""
    mean = numpy.mean(values)
    return 100 * numpy.std(values) / mean if len(values) > 1 and mean > 0 else numpy.nan


def time_by_stage(trace, axes):
    stacked_bars(trace, axes, {stage: trace.sums(f"stage_{stage}_s") for stage in STAGES})
    axes.set(title="Where the time of each rank went" + trace.of_how_many(), xlabel="time of the main thread, s")


def time_over_steps(trace, axes):
    parts = {stage: numpy.array([1000 * trace.window(steps)[f"stage_{stage}_s"].sum() / len(steps) / len(trace.ranks) for steps in trace.windows])
             for stage in STAGES}
    stacked_area(axes, trace.middles(), parts)
    total = sum(parts.values())
    usual = 1.1 * numpy.max(total[1:]) if len(total) > 2 else numpy.inf   # the first part may hold the set-up
    beyond = f" (the first ones took {total[0]:.0f} ms each)" if total[0] > usual else ""
    axes.set(title="Where the time of a step went, mean over ranks", xlabel="step" + beyond, ylabel="time per step, ms")
    axes.set_ylim(0, min(usual, 1.1 * numpy.max(total)) or 1)


def stragglers(trace, axes):
    shown = [stage for stage in STAGES if stage != "communication"]
    if len(trace.ranks) < 2:
        return "needs two ranks"
    seconds = numpy.array([numpy.bincount(trace.steps["rank"], trace.steps[f"stage_{stage}_s"], len(trace.ranks)) for stage in shown])
    others = (seconds.sum(axis=1, keepdims=True) - seconds) / (len(trace.ranks) - 1)
    beyond = 1000 * (seconds - others)
    width = 0.8 / len(trace.shown)
    for place, rank in enumerate(trace.shown):
        axes.bar(numpy.arange(len(shown)) + (place - (len(trace.shown) - 1) / 2) * width, beyond[:, rank], width, label=f"rank {rank}", color=RANK_COLOURS[place])
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xticks(range(len(shown)), shown)
    axes.set(title="Stragglers: time beyond the mean of the others" + trace.of_how_many(), xlabel="stage (communication is mostly waiting, and left out)",
             ylabel="beyond the others over the whole run, ms")


def load_variation(trace, axes):
    if len(trace.ranks) < 2:
        return "needs two ranks"
    loads = {"expert\n(page reads)": lambda rows: rows["pages_read"], "memory\n(KV bytes)": resident,
             "communication\n(bytes to others)": lambda rows: rows["to_node_bytes"] + rows["to_remote_bytes"]}
    for (name, load), colour in zip(loads.items(), COLOURS):
        of_windows = []
        for steps in trace.windows:
            rows = trace.window(steps)
            of_windows.append(variation(numpy.bincount(rows["rank"], weights=load(rows).astype(float), minlength=len(trace.ranks))))
        axes.plot(trace.middles(), of_windows, label=name, color=colour, linewidth=2.5)
    axes.set(title="How unevenly the loads lie on the ranks", xlabel="step", ylabel="coefficient of variation over ranks, %")
    axes.set_ylim(bottom=0)


def memory(trace, axes):
    used = [part for part in MEMORY if part != "free"]
    capacity = trace.ranks["kv_capacity_bytes"].astype(float).sum()
    unit, name = unit_for(capacity)
    stacked_area(axes, trace.numbers, {part: values / unit for part, values in zip(used, trace.per_step([f"memory_{part}_bytes" for part in used]))})
    axes.axhline(capacity / unit, color="black", linestyle="--", label="all it may use")
    axes.set(title="KV memory of all ranks by category", xlabel="step", ylabel=f"memory at the end of the step, {name}")


def memory_by_rank(trace, axes):
    unit, name = unit_for(resident(trace.steps).max())
    for rank, colour in zip(trace.shown, RANK_COLOURS):
        rows = trace.rank(rank)
        axes.plot(rows["step"], resident(rows) / unit, label=f"rank {rank}", color=colour, linewidth=2)
    axes.set(title="KV memory of each rank" + trace.of_how_many(), xlabel="step", ylabel=f"memory at the end of the step, {name}")
    axes.set_ylim(bottom=0)


def stacked_bytes(trace, axes, columns):
    """The name of the unit; None if no byte was moved."""
    sums = {label: trace.sums(column) for column, label in columns.items()}
    if not any(values.any() for values in sums.values()):
        return None
    unit, name = unit_for(sum(sums.values()).max())
    stacked_bars(trace, axes, {label: values / unit for label, values in sums.items()})
    return name


def traffic_by_purpose(trace, axes):
    unit = stacked_bytes(trace, axes, {f"{purpose}_bytes": purpose for purpose in PURPOSES})
    if not unit:
        return "nothing went to other ranks"
    axes.set(title="What each rank moved to and from other ranks, by purpose" + trace.of_how_many(), xlabel=f"over the whole run, {unit}")


def traffic_by_locality(trace, axes):
    unit = stacked_bytes(trace, axes, {f"to_{where}_bytes": label for where, label in LOCALITIES.items()})
    if not unit:
        return "no byte was moved"
    axes.set(title="What each rank moved, by distance" + trace.of_how_many(), xlabel=f"over the whole run, {unit}")


def pages_by_owner(trace, axes):
    if not len(trace.pages):
        return "no pages at other ranks were sampled"
    last = trace.pages[trace.pages["step"] == trace.pages["step"].max()]
    matrix = numpy.zeros((len(trace.ranks), len(trace.ranks)))
    matrix[last["owner"], last["home"]] = last["pages"]
    image = axes.imshow(matrix, cmap="Blues", vmin=0, aspect="auto")
    axes.grid(False)
    axes.figure.colorbar(image, ax=axes, label="pages")
    if len(matrix) <= 16:
        for owner, home in numpy.ndindex(matrix.shape):
            dark = matrix[owner, home] > 0.6 * matrix.max()
            axes.text(home, owner, f"{matrix[owner, home]:.0f}", ha="center", va="center", color="white" if dark else "black")
    axes.set(title=f"Who stores whose pages, at the end of step {last['step'][0]}", xlabel="home: the rank that decodes the stream",
             ylabel="owner: the rank that stores the page")
    ticks = range(0, len(matrix), 1 + len(matrix) // 16)
    axes.set_xticks(ticks, [f"rank {rank}" if len(matrix) <= 8 else rank for rank in ticks])
    axes.set_yticks(ticks, [f"rank {rank}" for rank in ticks])


def page_reads(trace, axes):
    lost = "lost" if "lost" in trace.steps.dtype.names else "stale"   # of format 2
    reads, replicas, gone = (numpy.array([part.mean() for part in numpy.array_split(values, len(trace.windows))])
                              for values in trace.per_step(["pages_read", "replica_hits", lost]))
    for name, values, colour in (("all", reads, COLOURS[0]), ("from a replica", replicas, COLOURS[2]), ("lost: found\nnowhere", gone, COLOURS[5])):
        if values.any() or name == "all":
            axes.plot(trace.middles(), values, label=name, color=colour, linewidth=2.5)
    axes.set(title="Page reads of all ranks", xlabel="step", ylabel="page reads per step")
    axes.set_ylim(bottom=0)


def latency(trace, axes):
    if trace.virtual:
        return "the clock is virtual"
    rows = trace.requests
    served, several = rows[rows["generated"] > 0], rows[rows["generated"] > 1]
    first = 1000 * (served["first_token_s"] - served["arrival_s"])
    later = 1000 * (several["end_s"] - several["first_token_s"]) / (several["generated"] - 1)
    if not len(first):
        return "no request generated a token"
    for name, values, colour in (("time to first token", first, COLOURS[0]), ("time per later token", later, COLOURS[5])):
        if len(values):
            axes.step(numpy.sort(values), 100 * numpy.arange(1, len(values) + 1) / len(values), where="post", label=f"{name} ({len(values)})", color=colour, linewidth=2.5)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set(title="Latency of requests", xlabel="ms, logarithmic", ylabel="share of requests that waited no longer, %")


def integrity(trace, axes):
    columns = ["checked", "scrubbed", "corrupt", "stale", "timeout", "refetched", "rewinds"]
    for name, values, colour in zip(columns, trace.per_step(columns), COLOURS):
        if values.sum():
            style = "--" if name == "scrubbed" else "-"   # a part of `checked`, often all of it
            axes.plot(trace.numbers, numpy.cumsum(values), style, label=f"{name} ({values.sum():.0f})", color=colour, linewidth=2.5)
    if not axes.lines:
        return "no page was checked"
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set(title="Pages verified, and what was found", xlabel="step", ylabel="pages since the start, logarithmic")


def page_events(trace, axes):
    if trace.events is None:
        return "format 2 has none"
    place = numpy.searchsorted(trace.numbers, trace.events["step"])
    shown = 0
    for name, number in trace.kinds.items():
        mine = place[trace.events["event"] == number]
        if len(mine):
            since = numpy.cumsum(numpy.bincount(mine, minlength=len(trace.numbers))[:len(trace.numbers)])
            known = since > 0
            style, colour = ["-", "--", ":"][shown // len(COLOURS)], COLOURS[shown % len(COLOURS)]
            axes.plot(trace.numbers[known], since[known], style, label=f"{name} ({len(mine)})", color=colour, linewidth=2.5)
            shown += 1
    if not shown:
        return "none was written down"
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set(title="What happened to pages (of the hits a sample)", xlabel="step", ylabel="events since the start, logarithmic")


PICTURES = [time_by_stage, time_over_steps, stragglers, load_variation, memory, memory_by_rank, traffic_by_purpose, traffic_by_locality, pages_by_owner,
            page_reads, page_events, latency, integrity]


def read_columns(path, columns):
    """The rows of a CSV file, as a list of dictionaries."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(columns) <= set(rows[0]):
        raise ValueError(f"it does not have rows of {', '.join(columns)}")
    return rows


class HitRates:
    def __init__(self, path, curve=None):
        rows = [row for row in read_columns(path, ["policy", "capacity", "hit_rate"]) if row["hit_rate"]]
        if not rows:
            raise ValueError("nothing was read, so there is no hit rate to draw")
        self.of = {name: sorted((int(row["capacity"]), 100 * float(row["hit_rate"])) for row in rows if row["policy"] == name)
                   for name in dict.fromkeys(row["policy"] for row in rows)}
        self.curve = curve and [(int(row["capacity"]), 100 * float(row["hit_rate"] or 0)) for row in read_columns(curve, ["capacity", "hit_rate"])]


def hit_rate_over_capacity(rates, axes):
    at_most = {capacity: rate for capacity, rate in rates.of["belady"]}
    axes.fill_between(list(at_most), list(at_most.values()), 100, color="black", alpha=0.08, linewidth=0, label="out of reach")
    others = [name for name in rates.of if name not in ("lru", "belady")]
    styles = {"lru": ("#555555", "s"), "belady": ("black", "*")} | {name: (COLOURS[i % 6], "oDv^<>p"[i % 7]) for i, name in enumerate(others)}
    last = max(capacity for points in rates.of.values() for capacity, _ in points)
    for name in sorted(rates.of, key=lambda name: -dict(rates.of[name])[last]):
        colour, marker = styles[name]
        is_curve = name == "lru" and rates.curve   # known at every capacity: no straight lines from point to point
        if is_curve:
            axes.plot(*zip(*rates.curve), color=colour, linewidth=2, label="lru, at every capacity")
        axes.plot(*zip(*rates.of[name]), color=colour, marker=marker, markersize=7, linewidth=2, label=None if is_curve else name,
                  linestyle="none" if is_curve else "--" if name == "belady" else "-")
    first = min(capacity for points in rates.of.values() for capacity, _ in points)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlim(first / 1.1, last * 1.1)
    axes.set_ylim(0, min(100, 1.05 * max(at_most.values())) or 1)
    axes.set(title="Page reads that find their page", xlabel="capacity, pages, logarithmic", ylabel="hit rate, %")


BYTES = {"read": "bytes read, % of exact attention's", "kept": "bytes kept, % of an uncompressed cache's"}
LABELS = {"keep": "keep", "home": "home", "experts": "experts", "read_pages": "pages", "page_tokens": "page"}
APART = 26   # pixels between settings on a front that get a number each


class Sweep:
    def __init__(self, path):
        figures = ["kl", "bytes_read_ratio", "bytes_kept_ratio", "needle_policy", "needle_exact"]
        self.rows = read_columns(path, ["router", "scheduler", "baseline", "keep", "page_tokens", *figures])
        for row in self.rows:
            row.update({name: float(row[name] or "nan") for name in figures})
        several = {name for name in self.rows[0] if len({row[name] for row in self.rows if matters(row, name)}) > 1}
        for row in self.rows:
            words = [row[name] for name in ("router", "scheduler", "codec") if row.get(name, "none") != "none"] or ["everything"]
            more = [f"{label} {row[name]}" for name, label in LABELS.items() if name in several and matters(row, name)]
            row["name"] = ", ".join([" + ".join(words), *more])


def matters(row, name):
    """Whether this column means something in a row of a sweep."""
    return {"keep": row["scheduler"], "home": row["router"], "experts": row["router"], "read_pages": row["router"]}.get(name) != "none"


def pareto_front(points):
    """Of (cost, loss), both the less the better: those that no other point beats, by cost."""
    front = []
    for cost, loss, row in sorted(points, key=lambda point: point[:2]):
        if not front or loss < front[-1][1]:
            front.append((cost, loss, row))
    return front


def far_apart(axes, front):
    """Of points on a front those whose numbers do not cover each other, from its lossless end on."""
    chosen, at = [], []
    for point in reversed(front):
        here = axes.transData.transform(point[:2])
        if all(numpy.hypot(*(here - other)) >= APART for other in at):
            chosen.append(point)
            at.append(here)
    return chosen[::-1]


def pareto(rows, axes, cost, loss_of, drawn_at):
    """drawn_at: the height of a loss. Grey: all settings; colours: baselines; numbers: the front."""
    points = [(100 * row[f"bytes_{cost}_ratio"], loss_of(row), row) for row in rows]
    for label, marker, routed in (("no router", "o", False), ("router", "^", True)):
        chosen = [(x, drawn_at(loss)) for x, loss, row in points if (row["router"] != "none") == routed]
        if chosen:
            axes.plot(*zip(*chosen), marker, color="#b0b0b0", markersize=6, label=label)
    for name, colour, marker in zip(sorted({row["scheduler"] for row in rows if row["baseline"] == "1"}), COLOURS, "sDv*"):
        chosen = sorted((x, drawn_at(loss)) for x, loss, row in points if row["baseline"] == "1" and row["scheduler"] == name)
        axes.plot(*zip(*chosen), marker + ":", color=colour, markersize=11, linewidth=1.5, label=f"{name} (baseline)")
    front = pareto_front(points)
    axes.plot([x for x, _, _ in front], [drawn_at(loss) for _, loss, _ in front], "-", drawstyle="steps-post", color="black", linewidth=1.5, label="nothing is better")
    axes.set_xlim(left=0)
    for number, (x, y, row) in enumerate(far_apart(axes, [(x, drawn_at(loss), row) for x, loss, row in front]), 1):
        axes.plot(x, y, "o", color="black", markersize=5, label=f"{number}  {row['name']}")
        axes.annotate(f"{number}", (x, y), xytext=(-5, -6), textcoords="offset points", ha="right", va="top", fontsize=13, fontweight="bold")
    axes.set_xlabel(BYTES[cost])


def loss_over(sweep, axes, cost):
    least = 1e-7
    axes.set_yscale("log")
    pareto(sweep.rows, axes, cost, lambda row: row["kl"], lambda kl: max(kl, least))
    axes.set(title=f"What a setting loses, over the bytes {cost}", ylabel="KL from exact attention, nats, logarithmic")


def needles_over(sweep, axes, cost):
    rows = [row for row in sweep.rows if row["needle_policy"] == row["needle_policy"]]
    if not rows:
        return "no needles were asked for"
    axes.set_ylim(-2, 102)
    pareto(rows, axes, cost, lambda row: -row["needle_policy"], lambda lost: -100 * lost)
    axes.axhline(100 * rows[0]["needle_exact"], color="black", linestyle="--", linewidth=1, label="exact attention")
    axes.set(title=f"Needles found, over the bytes {cost}", ylabel="needles found, %")


def loss_over_bytes_read(sweep, axes):
    return loss_over(sweep, axes, "read")


def loss_over_bytes_kept(sweep, axes):
    return loss_over(sweep, axes, "kept")


def needles_over_bytes_read(sweep, axes):
    return needles_over(sweep, axes, "read")


def needles_over_bytes_kept(sweep, axes):
    return needles_over(sweep, axes, "kept")


def draw(picture, trace, file):
    """The reason why there is nothing to draw; None if there is a picture."""
    figure, axes = pyplot.subplots(figsize=(12, 6.75), dpi=100, layout="constrained")
    why_not = picture(trace, axes)
    if not why_not:
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize=15 if len(axes.get_legend_handles_labels()[1]) <= 10 else 12)
        figure.savefig(file)
    pyplot.close(figure)
    return why_not


# First word -> (how the command goes on, how many words, what cannot be read, what is drawn of the words that follow, pictures); none: a trace.
MODES = {
    "replay": ("CSV OUTDIR [CURVE.csv]", (3, 4), "hit rates ({}); give files that --csv and --curve of `pikv replay` wrote", lambda path, _, *curve: HitRates(path, *curve),
               [hit_rate_over_capacity]),
    "sweep": ("CSV OUTDIR", (3,), "a sweep ({}); give a file that --csv of `pikv sweep` wrote", lambda path, _: Sweep(path),
              [loss_over_bytes_read, loss_over_bytes_kept, needles_over_bytes_read, needles_over_bytes_kept]),
}
OF_TRACE = ("TRACE OUTDIR", (2,), "a trace ({}); give a file that --trace of `pikv generate` wrote", lambda path, _: Trace(path), PICTURES)


def main():
    words = sys.argv[1:]
    _, lengths, unreadable, load, pictures = MODES.get(words[0] if words else "", OF_TRACE)
    if len(words) not in lengths:
        others = "".join(f", or plots.py {name} {mode[0]}" for name, mode in MODES.items())
        sys.exit(f"plots.py: error: other words are needed; write plots.py {OF_TRACE[0]}{others}")
    words = words[words[0] in MODES:]
    path, folder = words[0], pathlib.Path(words[1])
    try:
        drawn = load(*words)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).strip("'\"").splitlines()[0]
        print(f"plots.py: error: {path} cannot be read as {unreadable.format(reason)}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    pyplot.rcParams.update({"font.size": 15, "axes.grid": True, "axes.axisbelow": True, "grid.alpha": 0.4})
    for picture in pictures:
        file = folder / f"{picture.__name__}.png"
        why_not = draw(picture, drawn, file)
        print(f"{file.name}: not drawn, {why_not}" if why_not else file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
