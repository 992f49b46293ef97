#!/usr/bin/env bash
# Shows the fuzz targets what is kept in fuzz/corpus, and lets each look for more for FUZZ_SECONDS. Made with the compiler
# that everything else is made with, so without a sanitizer (there is no unsafe code); `make fuzz` has one.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${FUZZ_SECONDS:-10}

# What cargo-fuzz gives the compiler: coverage for libFuzzer, and checks of arithmetic.
coverage=(level=4 inline-8bit-counters pc-table trace-compares)
flags="-Cpasses=sancov-module --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
for what in "${coverage[@]}"; do flags+=" -Cllvm-args=-sanitizer-coverage-$what"; done
host=$(rustc -vV | sed -n 's/^host: //p')
# With the target named, the flags are not those of build scripts.
RUSTFLAGS=$flags "${CARGO:-cargo}" build --profile short --target "$host" --bins

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for file in targets/*.rs; do
    target=$(basename "$file" .rs)
    kept=target/corpus/$target
    mkdir -p "$kept" "artifacts/$target"
    if ! "target/$host/short/$target" -max_total_time="$seconds" -max_len=4096 -timeout=300 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$kept" "corpus/$target" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        found=$(sed -n 's/.*Test unit written to //p' "$log")
        echo "fuzz: $target fails on fuzz/$found; again: (cd fuzz && target/$host/short/$target $found)" >&2
        exit 1
    fi
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target: $inputs inputs, $(find "corpus/$target" -type f | wc -l) of them kept ones, none of which fails"
done
