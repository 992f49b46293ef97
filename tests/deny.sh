#!/usr/bin/env bash
# Looks at the dependencies: licences, sources, banned crates, and known vulnerabilities where the database can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
deny() { cargo deny --locked --config .deny.toml check --hide-inclusion-graph "$@"; }

deny bans licenses sources
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if deny advisories >"$log" 2>&1; then
    cat "$log"
    echo "advisories: checked against the current RustSec database"
elif grep -q 'failed to fetch advisory database' "$log"; then
    echo "advisories: NOT CHECKED, the RustSec database cannot be reached from here"
else
    cat "$log" >&2
    exit 1
fi
