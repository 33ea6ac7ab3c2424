# %% [markdown]
# # Reading a trace of `pikv generate --trace run.h5`
# The trace is plain HDF5 and h5py is all that is needed; `trace.md` says what the fields mean. Each `# %%` begins a cell: Jupyter (with jupytext), VS Code,
# Spyder and PyCharm open this file as a notebook, and `python3 trace_notebook.py` runs it as it is, on `run.h5` of the folder it is started in.

# %%
import h5py
import matplotlib.pyplot as plt
import numpy as np

with h5py.File("run.h5", "r") as trace:   # run.h5.part of a job that failed works as well
    run = dict(trace.attrs)
    options = dict(trace["options"].attrs)
    steps = np.sort(trace["steps"][:], order=["step", "rank"])
    requests = trace["requests"][:]
    events = trace["events"][:]
    kinds = h5py.check_enum_dtype(trace["events"].dtype["event"])   # name -> number
ranks = run["ranks"]
print(run["command_line"], "\n", len(steps), "rows of steps,", len(requests), "requests,", len(events), "page events")

# %% [markdown]
# Which stage takes the time of which rank:

# %%
stages = [name for name in steps.dtype.names if name.startswith("stage_")]
for rank in range(ranks):
    mine = steps[steps["rank"] == rank]
    print("rank", rank, {name[len("stage_"):-len("_s")]: round(float(mine[name].sum()), 3) for name in stages})

# %% [markdown]
# How evenly the KV memory lies on the ranks, step by step:

# %%
parts = [name for name in steps.dtype.names if name.startswith("memory_") and name != "memory_free_bytes"]
resident = sum(steps[name].astype(float) for name in parts).reshape(-1, ranks)   # [steps, ranks]
mean = resident.mean(axis=1)
variation = np.divide(resident.std(axis=1), mean, out=np.zeros_like(mean), where=mean > 0)
plt.figure(figsize=(10, 5))
plt.plot(steps["step"][::ranks], 100 * variation)
plt.xlabel("step")
plt.ylabel("variation of KV memory over ranks, %")
plt.ylim(bottom=0)
plt.show()

# %% [markdown]
# Who waited longest for the first token, and behind how many:

# %%
waits = requests["first_token_s"] - requests["arrival_s"]
for place in np.argsort(-waits)[:3]:
    request = requests[place]
    others = (requests["home"] == request["home"]).sum() - 1
    print(request["id"].decode(), "at rank", request["home"], "waited", round(float(waits[place]), 3), "s behind", others, "others there; it read",
          request["prompt_tokens"], "tokens")

# %% [markdown]
# What happened to pages, by kind and rank (`hit` is a sample of the reads, the others are all there where `events_dropped` is 0):

# %%
print("dropped:", steps["events_dropped"].sum())
for name, number in kinds.items():
    by_rank = np.bincount(events["rank"][events["event"] == number], minlength=ranks)
    if by_rank.any():
        print(f"{name:12}", by_rank)

# %% [markdown]
# The life of the page with the most events; `pikv analyze run.h5 --explain STREAM:LAYER:BLOCK` tells it in words:

# %%
names = {number: name for name, number in kinds.items()}
key = ["stream_hi", "stream_lo", "layer", "block"]
pages = events[(events["layer"] >= 0) & (events["layer"] < 65535)][key]
if len(pages):
    found, times = np.unique(pages, return_counts=True)
    page = found[times.argmax()]
    print(f"--explain {page['stream_hi']:016x}{page['stream_lo']:016x}:{page['layer']}:{page['block']}")
    for event in np.sort(events[events[key] == page], order="step", kind="stable"):
        print("step", event["step"], "rank", event["rank"], names[event["event"]], "peer", event["peer"], "slot", event["slot"])

# %% [markdown]
# How many steps a page takes from full to acknowledged by its owner:

# %%
sealed, away = (events[events["event"] == kinds[name]] for name in ("seal", "acknowledge"))
since = {tuple(event[key]): event["step"] for event in sealed}
delays = [event["step"] - since[tuple(event[key])] for event in away if tuple(event[key]) in since]
if delays:
    print("steps from seal to acknowledgement: median", np.median(delays), "most", max(delays))
