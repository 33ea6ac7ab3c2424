#!/usr/bin/env bash
#SBATCH --job-name=pikv-sweep --nodes=2 --ntasks-per-node=2 --time=01:00:00
#SBATCH --output=pikv-sweep-%A-%a.log --signal=B:TERM@60
# Decodes the same prompts under many settings: one array task per line of SETTINGS, a file with options of `pikv generate`, as in
#   --page-tokens 16 --kv-dtype f32
#   --page-tokens 64 --store local
# Submit:   sbatch --array=1-$(wc -l <SETTINGS) [OPTIONS OF SBATCH] slurm/sweep.sh SETTINGS [OPTIONS FOR EVERY LINE]
# MODULES and PIKV: see setup.sh. Results, in the folder it is submitted from, by array job id and line: pikv-sweep-ID-LINE.json (report), .jsonl
# (text), .log (messages, errors). Each task ends with the exit code of its pikv, and 60 s before its time limit.
set -euo pipefail
job=${SLURM_ARRAY_JOB_ID:?"this is an array job: sbatch --array=1-\$(wc -l <SETTINGS) slurm/sweep.sh SETTINGS"}
for _ in 1 2 3 4 5; do   # Slurm runs a copy, and its controller, which knows where the script is, may be slow to answer
  here=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's|^ *Command=\(.*\)/sweep\.sh.*|\1|p' | sort -u) || true
  [ -z "$here" ] || break
  sleep 3
done
[ -n "$here" ] || { echo "sweep.sh: error: Slurm does not say where this script is; submit the job again" >&2; exit 1; }
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$here/setup.sh"

settings=${1:?"which settings? sbatch --array=1-N slurm/sweep.sh SETTINGS"}
shift
[ -r "$settings" ] || stop "$settings cannot be read; name a file with a line of options per setting"
mapfile -t lines <"$settings"
line=$SLURM_ARRAY_TASK_ID
{ [ "$line" -ge 1 ] && [ "$line" -le ${#lines[@]} ]; } || stop "$settings has no line $line; submit with --array=1-${#lines[@]}"
read -r -a options <<<"${lines[line - 1]}"
result=pikv-sweep-$job-$line

run_ranks generate --output "$result.jsonl" --report "$result.json" "${options[@]}" "$@"
