#!/usr/bin/env bash
# Feeds every parser inputs that libFuzzer makes up, guided by coverage, and prints a line for each: inputs, executions a
# second, memory at the peak, and what was found.
#
#   scripts/fuzz.sh                    # every target, 1,000,000 inputs each
#   scripts/fuzz.sh obj urdf           # these
#   RUNS=10000000 scripts/fuzz.sh obj
#
# Inputs that were found are in FUZZ_OUT (out/fuzz): TARGET/corpus/ those that reach something new, TARGET/artifacts/ those
# that end a parser (a panic, 10 seconds, 2 GiB). Ends with 0 if there are none of the latter. Needs g++ or clang++.
set -euo pipefail
cd "$(dirname "$0")/.."
RUNS=${RUNS:-1000000}
OUT=${FUZZ_OUT:-out/fuzz}
if [ -z "${FUZZER:-}" ]; then
    RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/coverage_rustc.sh" cargo build --release --locked --features fuzz --bin fuzz
    FUZZER=target/release/fuzz
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls fuzz/corpus)
failed=0
for target in "${targets[@]}"; do
    mkdir -p "$OUT/$target/corpus" "$OUT/$target/artifacts"
    dictionary=()
    [ -f "fuzz/dictionaries/$target" ] && dictionary=("-dict=fuzz/dictionaries/$target")
    log=$OUT/$target/log
    BINGRASP_FUZZ=$target RAYON_NUM_THREADS=1 "$FUZZER" "$OUT/$target/corpus" "fuzz/corpus/$target" "-runs=$RUNS" \
        -rss_limit_mb=2048 -timeout=10 "-max_len=${MAX_LEN:-16384}" -print_final_stats=1 "${dictionary[@]}" \
        "-artifact_prefix=$OUT/$target/artifacts/" >"$log" 2>&1 || true
    number() { sed -n "s/^stat::$1: *//p" "$log"; }
    found=$(find "$OUT/$target/artifacts" -type f | wc -l)
    [ "$found" = 0 ] || failed=1
    printf '%-14s %12s inputs %8s/s %6s MB at the peak %3s that end it\n' "$target" "$(number number_of_executed_units)" \
        "$(number average_exec_per_sec)" "$(number peak_rss_mb)" "$found"
    [ -n "$(number number_of_executed_units)" ] || { failed=1; tail -n 3 "$log"; }
done
exit $failed
