#!/usr/bin/env bash
# Installs what is missing, builds, and decodes the sample prompts on 4 ranks with the embedded model. Run it from anywhere: jobs/quickstart.sh
# Prints the text and a one-page summary; leaves a trace in build/quickstart.h5 and a report in build/quickstart.json.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

[ $# -eq 0 ] || stop "it takes no arguments, and '$*' were given; once it has built, run build/pikv generate with options of your own"

install_missing_packages build
say "building in $repo/build"
configure default build
compile build pikv

trace=$repo/build/quickstart.h5
report=$repo/build/quickstart.json
say "decoding on 4 ranks: each line goes on from a prompt of data/prompts.jsonl"
mpirun --oversubscribe --bind-to none -n 4 "$repo/build/pikv" generate --temperature 0.7 --top-p 0.9 --trace "$trace" --report "$report"
printf '\nThe trace of this run is %s (try: h5dump -n %s), its report %s\n' "$trace" "$trace" "$report"
