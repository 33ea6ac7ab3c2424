#!/usr/bin/env bash
#SBATCH --job-name=pikv-generate --nodes=2 --ntasks-per-node=2 --time=01:00:00
#SBATCH --output=pikv-generate-%j.log --open-mode=append --requeue --signal=B:USR1@120
# Decodes prompts on all ranks of the job, one rank per GPU, or per share of the cores where there is none.
# Submit, from the folder with the prompts:   sbatch [OPTIONS OF SBATCH] slurm/generate.sh [OPTIONS OF pikv generate]
#   on CPUs   sbatch --nodes=4 --ntasks-per-node=2 --cpus-per-task=32 slurm/generate.sh --model /models/mixtral --prompts prompts.jsonl
#   on GPUs   sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 slurm/generate.sh --model /models/mixtral --prompts prompts.jsonl
# MODULES and PIKV: see setup.sh. Results, in the folder it is submitted from, by job id: pikv-generate-ID.jsonl (text), .json (report), .log
# (messages, errors), and by start of the job, from 0, pikv-generate-ID.START.h5 (trace).
# Its time limit is an hour unless you give another, as --time=08:00:00.
# The job saves itself into pikv-generate-ID.checkpoints (or --checkpoint DIR). 120 s before its time limit, and when it is preempted, it saves
# itself once more, goes back into the queue, and goes on from there. While it waits it may be given another size, as in
# scontrol update JobId=ID NumTasks=2 NumNodes=1: any number of ranks will do. Otherwise it ends with the exit code of pikv.
set -euo pipefail
job=${SLURM_JOB_ID:?"this is a job: sbatch slurm/generate.sh"}
for _ in 1 2 3 4 5; do   # Slurm runs a copy, and its controller, which knows where the script is, may be slow to answer
  here=$(scontrol show job "$job" | sed -n 's|^ *Command=\(.*\)/generate\.sh.*|\1|p' | sort -u) || true
  [ -z "$here" ] || break
  sleep 3
done
[ -n "$here" ] || { echo "generate.sh: error: Slurm does not say where this script is; submit the job again with --resume, if it has checkpoints" >&2; exit 1; }
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$here/setup.sh"

export PIKV_OUTPUT=${PIKV_OUTPUT:-pikv-generate-$job.jsonl} PIKV_REPORT=${PIKV_REPORT:-pikv-generate-$job.json}
export PIKV_TRACE=${PIKV_TRACE:-pikv-generate-$job.${SLURM_RESTART_COUNT:-0}.h5} PIKV_CHECKPOINT=${PIKV_CHECKPOINT:-pikv-generate-$job.checkpoints}
if [ -n "$(value_of --logits "$@")" ]; then unset PIKV_CHECKPOINT; fi   # a checkpoint does not hold them
saved=$(value_of --checkpoint "$@")
kept=("$@")
if compgen -G "${saved:=${PIKV_CHECKPOINT:-}}/step-*.h5" >/dev/null && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
  without --resume "$@"   # what the first start went on from, if it was submitted with one
  kept+=(--resume "$saved")
fi

run_ranks generate "${kept[@]}" || code=$?
if [ "${code:-0}" -eq 75 ]; then requeue; fi
exit "${code:-0}"
