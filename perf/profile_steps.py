"""Instructions of functions in a decode of the embedded model, counted by valgrind's callgrind (AVX2 at most)."""
import re
import subprocess


def inclusive_costs(command, classes, folder):
    """Runs `command` in `folder`; "Class::function" -> instructions in it and in what it calls, for functions of the named classes."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/profile.%p", *map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    profile = max(folder.glob("profile.*"), key=lambda file: file.stat().st_size)   # pikv starts itself a second time
    table = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--tree=none", profile], capture_output=True, text=True, check=True).stdout
    costs = {}
    for line in table.splitlines():
        found = re.match(rf"\s*([\d,]+) .*?(?:(?:runtime|shards)::|:)((?:{'|'.join(classes)})::\w+)\(", line)
        if found:
            costs[found[2]] = max(costs.get(found[2], 0), int(found[1].replace(",", "")))
    if not costs.get("Engine::run"):
        raise SystemExit("the profile does not name Engine::run; build with symbols")
    return costs


def decode(pikv, context, new, page_tokens):
    """The command of a decode on one thread, pages at home."""
    text = "Once upon a time there was a little girl. " * (context // 42 + 1)
    return [pikv, "generate", "--prompt", text[:context], "--max-new-tokens", new, "--page-tokens", page_tokens, "--threads", 1, "--store", "local", "--log-level", "error"]
