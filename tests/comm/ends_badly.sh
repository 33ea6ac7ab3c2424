#!/usr/bin/env bash
# Runs stuck_rank on 3 ranks and checks that the job ends by itself, soon, with the code and the sentence expected.
# Usage: ends_badly.sh MPIEXEC PROGRAM WAY EXIT_CODE SENTENCE
set -uo pipefail
mpiexec=$1 program=$2 way=$3 expected=$4 sentence=$5
said=$(timeout 30 "$mpiexec" --oversubscribe -n 3 "$program" "$way" 2>&1)
code=$?
echo "$said"
[[ $code -eq $expected ]] || { echo "ended with code $code, not $expected"; exit 1; }
grep -qF -- "$sentence" <<<"$said" || { echo "did not say: $sentence"; exit 1; }
