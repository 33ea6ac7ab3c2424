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

# value_of OPTION WORDS...: the option's value among the words; nothing if it is not there
value_of() {
  local option=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$option") echo "${2:-}"; return ;;
      "$option"=*) echo "${1#*=}"; return ;;
    esac
    shift
  done
}

# without OPTION WORDS...: fills `kept` with the words but for the option and its value
without() {
  local option=$1
  shift
  kept=()
  while [ $# -gt 0 ]; do
    case $1 in
      "$option") if [ $# -gt 1 ]; then shift; fi ;;
      "$option"=*) ;;
      *) kept+=("$1") ;;
    esac
    shift
  done
}

say() { printf '%s: %s\n' "$SLURM_JOB_NAME" "$1" >&2; }

# persist COMMAND...: again while Slurm's controller does not answer, as when it has much to do; fails if it still does not
persist() {
  local left=5
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 3
  done
}

# job_state: as Slurm says it; fails if Slurm does not answer
job_state() {
  local record
  record=$(persist scontrol --oneliner show job "$SLURM_JOB_ID") || return 1
  sed -n 's/.* JobState=\([A-Z]*\).*/\1/p' <<<"$record"
}

# requeue: the job is saved, so it may start again; not if it was cancelled
requeue() {
  local state
  state=$(job_state) || { say "saved; Slurm does not answer; submit the job again with --resume"; return; }
  case $state in
    RUNNING | PREEMPTED) ;;
    *) say "saved; the job is $state, so it does not go back into the queue"; return ;;
  esac
  say "saved; the job goes back into the queue and goes on from there"
  if ! persist scontrol requeue "$SLURM_JOB_ID"; then   # it may be done all the same: the answer alone was lost
    state=$(job_state) || state=
    case $state in
      "" | RUNNING | PREEMPTED) say "Slurm does not requeue it; submit it again with --resume"; return ;;
    esac
  fi
  sleep 60   # until Slurm ends this start of it
}

# run_ranks ARGUMENTS...: pikv on every rank of the job; ends with their exit code. A signal to this script before the time limit goes on to the
# ranks, which save the job where they were given --checkpoint, and else end.
run_ranks() {
  load_modules
  command -v "$pikv" >/dev/null || stop "$pikv is no executable that $(hostname) sees; set PIKV to one on a file system that all hosts share"
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then   # srun does not take it over from sbatch
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}
  fi
  local ranks asking='' size=()
  if [ -n "${SLURM_NTASKS_PER_NODE:-}" ]; then   # SLURM_NTASKS is of the first start, when the job may have had another size
    size=(--nodes="$SLURM_JOB_NUM_NODES" --ntasks=$((SLURM_JOB_NUM_NODES * SLURM_NTASKS_PER_NODE)))
  fi
  srun "${size[@]}" --mpi=pmix --kill-on-bad-exit=1 --cpu-bind=cores "$scripts/bind-rank.sh" "$pikv" "$@" &
  ranks=$!
  # In the background: Slurm refuses it for a cancelled job, whose ranks it ends itself, and there is little time left.
  trap 'say "the time limit is near, or the job is cancelled: ending the ranks"; { persist scancel --signal=TERM "$SLURM_JOB_ID" || true; } & asking=$!' TERM USR1
  # A signal interrupts wait, with a code over 128 that is not srun's; and srun may have ended by the time the trap is through.
  local code=129 ended=
  while [ "$code" -gt 128 ] && [ -z "$ended" ]; do
    kill -0 $ranks 2>/dev/null || ended=yes
    code=0
    wait $ranks || code=$?
  done
  trap - TERM USR1
  [ -z "$asking" ] || kill "$asking" 2>/dev/null || true   # the next start of this job has the same id
  return $code
}
