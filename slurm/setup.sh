# shellcheck shell=bash
# What generate.sh and sweep.sh share; they source it inside their job. It sets `pikv`, and starts ranks.
# From the environment of sbatch:
#   MODULES   modules to load first, as in MODULES="gcc openmpi hdf5"
#   PIKV      the executable; default: build/pikv of the repository these scripts stand in
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pikv=${PIKV:-${scripts%/*}/build/pikv}

stop() {
  printf '%s: error: %s\n' "${SLURM_JOB_NAME:-slurm}" "$1" >&2
  exit 2
}

load_modules() {
  [ -n "${MODULES:-}" ] || return 0
  local start names
  if ! declare -F module >/dev/null; then
    for start in /etc/profile.d/modules.sh /etc/profile.d/lmod.sh; do
      # shellcheck source=/dev/null
      if [ -e "$start" ]; then source "$start"; fi
    done
  fi
  declare -F module >/dev/null || stop "MODULES='$MODULES' is set, but this host has no module command; unset it"
  read -r -a names <<<"$MODULES"
  module load "${names[@]}" || stop "the modules '$MODULES' cannot be loaded; see: module avail"
}

# run_ranks ARGUMENTS...: pikv on every rank of the job; ends with their exit code. SIGTERM, sent before the time limit, ends them early.
run_ranks() {
  load_modules
  command -v "$pikv" >/dev/null || stop "$pikv is no executable that $(hostname) sees; set PIKV to one on a file system that all hosts share"
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then   # srun does not take it over from sbatch
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}
  fi
  local ranks code=0
  srun --mpi=pmix --kill-on-bad-exit=1 --cpu-bind=cores "$scripts/bind-rank.sh" "$pikv" "$@" &
  ranks=$!
  trap 'printf "%s: the time limit is near, or the job is cancelled: ending the ranks\n" "$SLURM_JOB_NAME" >&2; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
  wait $ranks || code=$?
  while kill -0 $ranks 2>/dev/null; do
    code=0
    wait $ranks || code=$?
  done
  return $code
}
