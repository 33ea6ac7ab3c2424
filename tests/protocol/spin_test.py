"""Whether spin accepts the model of the page protocol, and rejects it with a rule broken.  Run: spin_test.py NAME, without NAME for the list"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

LIFE = pathlib.Path(__file__).with_name("page_life.pml")
MOVE = pathlib.Path(__file__).with_name("page_move.pml")


class Search(NamedTuple):
    says: str        # what it covers, or what is broken
    bounds: str      # what the model may spend
    finds: str = ""  # what must never happen and does; "": nothing
    model: pathlib.Path = LIFE


SEARCHES = {
    "one_fault_and_one_eviction": Search("with a fault and an eviction", "FAULTS=1 EVICTIONS=1"),
    "two_faults": Search("with two faults", "FAULTS=2"),
    "migration": Search("with a fault while a page moves to another slot", "FAULTS=1 MIGRATIONS=1"),
    "progress": Search("with a fault, no page or slot being stuck", "FAULTS=1 ANY_START PROGRESS"),
    "progress_after_eviction": Search("with an eviction, no page or slot being stuck", "EVICTIONS=1 PROGRESS"),

    "header_before_payload": Search("headers are not kept behind payloads by a flush", "", "header_stands_before_its_payload"),
    "announced_before_flush": Search("a push is announced before it is flushed", "", "looked_at_during_transfer"),
    "repeat_overwrites_acknowledged": Search("a push is repeated while its acknowledgement may be under way",
                                             "FAULTS=1 WRONG_PAGES_ONLY", "wrong_page_served_to_query"),
    "damaged_looked_at_again_at_once": Search("the owner looks at a damaged push while it is being repeated",
                                              "FAULTS=2 WRONG_PAGES_ONLY", "wrong_page_served_to_query"),
    "copy_freed_before_acknowledged": Search("the home lets its copy go before the acknowledgement", "", "page_lost"),
    "index_without_checksum": Search("a page is indexed without its checksums", "FAULTS=1", "wrong_page_indexed"),
    "fetch_without_checksum": Search("a page is fetched without its checksums", "FAULTS=1", "wrong_page_fetched"),
    "no_generation_check": Search("a name's generation is not compared", "EVICTIONS=1", "wrong_page_served_to_query"),
    "evict_without_bump": Search("an emptied slot keeps its generation", "EVICTIONS=1", "wrong_page_served_to_query"),
    "reuse_without_epoch": Search("a retired slot is reused at once", "EVICTIONS=1", "slot_reused_during_transfer"),
    "reuse_a_step_early": Search("a retired slot is reused in the oldest step in flight, not after it", "EVICTIONS=1",
                                 "slot_reused_during_transfer"),
    "grants_never_returned": Search("a writer keeps the slots it has no use for", "PROGRESS", "page_stuck"),

    "move": Search("while an owner gives a page to another, with faults, rot and evictions", "FAULTS=2 EVICTIONS=2", model=MOVE),
    "home_switches_when_pushed": Search("the home reads at the new owner before that has acknowledged", "FAULTS=1", "page_lost", MOVE),
    "old_place_dropped_when_acknowledged": Search("the old owner does not wait until the home retires the page", "", "page_lost", MOVE),
    "old_slot_not_held": Search("a released page's slot is reused while a push of it is under way", "FAULTS=1", "pushed_from_reused_slot", MOVE),
    "arrived_after_release_kept": Search("a page that arrives after its release is not retired", "", "page_stuck", MOVE),
    "rot_not_looked_for": Search("the old owner does not verify what it pushes", "FAULTS=1 EVICTIONS=1", "wrong_page_indexed", MOVE),
    "move_never_answered": Search("an order that cannot be followed is not answered", "", "page_stuck", MOVE),
}


def tool(*names):
    for name in names:
        if found := shutil.which(name):
            return found
    sys.exit(f"{names[0]} is not installed, so the page protocol is not checked; install it: apt-get install {names[0]} (it is in jobs/packages.txt)")


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def search(model, flags, optimize):
    """What the full search of a model with these flags prints."""
    spin, compiler = tool("spin"), tool("gcc", "cc")
    with tempfile.TemporaryDirectory(prefix="pikv-spin-") as folder:
        for command in ([spin, "-a", *(f"-D{flag}" for flag in flags), str(model)],
                        [compiler, optimize, "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2000", "-o", "pan", "pan.c"]):
            code, text = run(command, folder)
            if code != 0:
                sys.exit(f"{' '.join(command)} ended with {code}:\n{text}")
        return run(["./pan", "-m200000", "-n", "-w24"], folder)[1]


def number(before, after, text):
    found = re.search(rf"{before}([\d.]+){after}", text)
    return found[1] if found else "?"


def main(name):
    if name not in SEARCHES:
        sys.exit(f"no search is named '{name}'; choose one of: {', '.join(SEARCHES)}")
    wanted = SEARCHES[name]
    flags = wanted.bounds.split() + ([name] if wanted.finds else [])
    text = search(wanted.model, flags, "-O0" if wanted.finds else "-O2")   # soon found: compiling takes longer
    states, depth = number("", " states, stored", text), number("depth reached ", ",", text)
    searched = f"{states} states, {depth} deep, {number('', r'.total actual memory', text)} MB"
    found = re.search(r"pan:\d+: (?:assertion violated\s+!\((\w+)\)|(.*))", text)
    happened = found and (found[1] or found[2])
    in_full = "errors: 0" in text and "Search not completed" not in text and "too small" not in text and states != "?"
    if wanted.finds:
        if happened != wanted.finds:
            sys.exit(f"If {wanted.says}, spin should find {wanted.finds}; it found {happened or 'nothing'} ({searched}).\n{text}")
        print(f"Rejected: if {wanted.says}, spin finds {happened} ({searched}).")
    elif happened or not in_full:
        sys.exit(f"Spin should accept the page protocol {wanted.says}; {happened or 'the search was not completed'} ({searched}).\n{text}")
    else:
        print(f"Accepted: the page protocol {wanted.says}; all of {searched} searched, and nothing happened that must not.")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(*SEARCHES, sep="\n")
    else:
        main(sys.argv[1])
