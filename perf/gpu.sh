#!/usr/bin/env bash
# All that needs a GPU (not run on one yet, so its time is not known): builds with CUDA, runs the kernels' conformance tests natively, a part of them
# once more under compute-sanitizer, then the tests of pages and steps on a device, decodes with the embedded model and with a real one where build/models has it,
# measures attention, and exchanges messages and puts pages over NCCL where there are several GPUs. What was said goes to one file too.
# Run it from anywhere: perf/gpu.sh [RESULTS]   (default: gpu-HOST.txt in the folder where you are). The code is 0 only if everything passed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../jobs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../jobs/setup.sh"

results=${1:-gpu-$(uname -n).txt}
failed=0

# step WHAT LIMIT_S COMMAND...
step() {
  local what=$1 limit=$2 code=0
  shift 2
  printf '\n== %s: %s\n' "$what" "$*"
  timeout --kill-after=10 "$limit" "$@" || code=$?
  if [ $code -ne 0 ]; then
    printf '== %s FAILED with code %d%s\n' "$what" $code "$([[ $code != 124 && $code != 137 ]] || echo ", after its $limit s")"
    failed=$((failed + 1))
  fi
}

# went_over_nccl LOG: the ranks share a host here, so each reaches at least one other.
went_over_nccl() {
  local line
  line=$(grep -E 'transport( of rank [0-9]+)?: ' "$1") || line="the log has no line about the transport"
  if grep -q 'puts into GPU memory over NCCL' <<<"$line" && ! grep -q -e ' to 0 of ' -e 'not over NCCL' <<<"$line"; then return; fi
  printf '== no pages were put over NCCL FAILED: %s\n' "$line"
  failed=$((failed + 1))
}

tokens_in() { grep -o '"tokens": *[[][^]]*' "$1"; }

# On one GPU the exchanges and puts are skipped, since they need two, and a rank sends to itself and copies into a window of its own.
nccl_steps() {
  local build=$1 gpus ranks scratch each way
  gpus=$(nvidia-smi -L | grep -c GPU)
  ranks=$((gpus < 4 ? gpus : 4))
  each=(mpirun --bind-to none -n "$ranks")
  step "NCCL, $ranks ranks with a GPU each" 180 "${each[@]}" "$build/tests/comm/comm_nccl_mpi_test"
  if [ $ranks -eq 1 ]; then return; fi
  scratch=$(mktemp -d)
  step "decode with exchanges over NCCL" 60 "${each[@]}" "$build/pikv" generate --max-new-tokens 32 --reproducible --output "$scratch/nccl.jsonl"
  step "decode with pages put over NCCL too" 90 "${each[@]}" "$build/pikv" generate --max-new-tokens 32 --reproducible --output "$scratch/pages.jsonl" --nccl pages 2>"$scratch/log"
  cat "$scratch/log"
  went_over_nccl "$scratch/log"
  step "decode without" 60 "${each[@]}" "$build/pikv" generate --max-new-tokens 32 --reproducible --output "$scratch/off.jsonl" --nccl off
  for way in nccl pages; do step "the same tokens" 10 diff <(tokens_in "$scratch/$way.jsonl") <(tokens_in "$scratch/off.jsonl"); done
  rm -r "$scratch"
  step "exchanges by transport" 60 "${each[@]}" "$build/perf/exchange_bench"
}

all_steps() {
  local build=$repo/build-cuda sanitizer tests model
  printf '%s, commit %s, %s\n' "$(uname -n)" "$(git -C "$repo" rev-parse --short HEAD)" "$(date -u +%FT%RZ)"
  step "GPUs" 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.mem --format=csv
  step "build" 20 "$build/pikv" --version
  tests=$build/tests/kernels
  step "kernels on the GPU (what found none is among the skipped)" 180 "$tests/tests_kernels"
  sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" 2>/dev/null) || sanitizer=
  if [ -n "$sanitizer" ]; then
    for tool in memcheck racecheck; do
      step "$tool" 120 "$sanitizer" --tool $tool --error-exitcode 9 "$tests/tests_kernels" --gtest_brief=1 '--gtest_filter=*Cases*:*CodedPages*'
    done
  else
    echo "== no compute-sanitizer: its checks did not run; install it with the CUDA toolkit"
  fi
  step "pages and attention on the GPU" 60 "$build/tests/shards/store_on_device_test.gpu"
  step "models on the GPU, against transformers and the host" 120 "$build/tests/runtime/engine/engine_on_device_test.gpu"
  step "decode of the embedded model" 60 "$build/pikv" generate --max-new-tokens 32
  model=$repo/build/models/smollm2
  if [ -d "$model" ]; then
    step "decode of a real model" 60 "$build/pikv" generate --model "$model" --max-new-tokens 16 --prompts - <<<'{"prompt_ids": [1, 2, 3, 4]}'
  fi
  for keys in 4096 16384 65536; do
    step "attention, $keys keys" 60 "$build/perf/gpu_attention_bench" --keys $keys
  done
  step "attention, 16 sequences" 60 "$build/perf/gpu_attention_bench" --sequences 16
  for page in 16 64; do step "attention, pages of $page" 60 "$build/perf/gpu_attention_bench" --page-tokens $page; done
  nccl_steps "$build"
  printf '\n%d steps failed\n' "$failed"
}

[[ $(nvidia-smi -L 2>/dev/null) == *GPU* ]] || stop "no GPU was found: nvidia-smi shows none; run this where it does"
if command -v dpkg-query >/dev/null; then install_missing_packages build; fi   # elsewhere they come as modules
say "building in build-cuda"
configure cuda build-cuda -D PIKV_TESTS_TOGETHER=ON
compile build-cuda pikv gpu_attention_bench tests_kernels store_on_device_test.gpu engine_on_device_test.gpu comm_nccl_mpi_test exchange_bench
{ all_steps; } 2>&1 | tee "$results"
say "the results are in $results"
grep -q '^0 steps failed' "$results"
