#!/usr/bin/env bash
#SBATCH --job-name=pikv-generate --nodes=2 --ntasks-per-node=2 --time=01:00:00
#SBATCH --output=pikv-generate-%j.log --signal=B:TERM@60
# Decodes prompts on all ranks of the job, one rank per GPU, or per share of the cores where there is none.
# Submit, from the folder with the prompts:   sbatch [OPTIONS OF SBATCH] slurm/generate.sh [OPTIONS OF pikv generate]
#   on CPUs   sbatch --nodes=4 --ntasks-per-node=2 --cpus-per-task=32 slurm/generate.sh --model /models/mixtral --prompts prompts.jsonl
#   on GPUs   sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 slurm/generate.sh --model /models/mixtral --prompts prompts.jsonl
# MODULES and PIKV: see setup.sh. Results, in the folder it is submitted from, by job id: pikv-generate-ID.jsonl (text), .json (report), .log
# (messages, errors). The job ends with the exit code of pikv, and 60 s before its time limit.
set -euo pipefail
job=${SLURM_JOB_ID:?"this is a job: sbatch slurm/generate.sh"}
here=$(scontrol show job "$job" | sed -n 's|^ *Command=\(.*\)/generate\.sh.*|\1|p' | sort -u)   # Slurm runs a copy
# shellcheck source-path=SCRIPTDIR source=setup.sh
source "$here/setup.sh"

run_ranks generate --output "pikv-generate-$job.jsonl" --report "pikv-generate-$job.json" "$@"
