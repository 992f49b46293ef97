#!/usr/bin/env bash
# Changes the code that .cargo/mutants.toml names, one place at a time and in a copy of the tree, and counts how often the
# tests of its crate notice. Fails where less than four of five changes are noticed. Takes hours on a small machine.
#
# MUTANTS: which crates, of protocol, bridge, http, sockjs and store.  Arguments go to cargo mutants (--shard 1/8).
# What nobody noticed is told at once, and stays in target/mutants/<crate>/mutants.out/missed.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
"$cargo" mutants --version >/dev/null 2>&1 || "$cargo" install --locked cargo-mutants
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0

declare -A tests=(
    [protocol]='--tests'
    [bridge]='--lib --test=admission'
    [http]='--lib'
    [sockjs]='--lib --test=http --test=sessions'
    [store]='--lib --test=sqlite --test=sqlite_files'
)

lines() { cat "$@" 2>/dev/null | wc -l; }

table='' failed=0
for crate in ${MUTANTS:-protocol bridge http sockjs store}; do
    folder=target/mutants/$crate
    mkdir -p "$folder"
    which=()
    for test in ${tests[$crate]}; do which+=(-C "$test"); done
    status=0
    "$cargo" mutants --package "mqttchat-$crate" --output "$folder" "${which[@]}" "$@" || status=$?
    # 2: some were missed, 3: some never ended, which somebody would notice.
    case $status in 0 | 2 | 3) ;; *) exit "$status" ;; esac
    out=$folder/mutants.out
    caught=$(lines "$out/caught.txt" "$out/timeout.txt")
    all=$((caught + $(lines "$out/missed.txt")))
    table+=$(printf '%-10s %4d of %4d caught, %d %%' "$crate" "$caught" "$all" "$((all ? caught * 100 / all : 100))")$'\n'
    ((caught * 5 >= all * 4)) || failed=1
done
printf '\n%s' "$table"
exit "$failed"
