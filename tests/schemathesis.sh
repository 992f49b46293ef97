#!/usr/bin/env bash
# Lets schemathesis ask the running server everything that its OpenAPI document describes, and much that it doesn't:
# no answer may be a 5xx, or other than described. The streams of `events` have no end, and are tests/tests/api.rs's.
# Expects target/debug/mqttchat. SCHEMATHESIS_EXAMPLES: how many requests each call gets in each phase.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
tool=$root/target/schemathesis/bin/schemathesis
if ! [[ -x $tool ]]; then
    echo "schemathesis: NOT CHECKED, it could not be installed (see tests/tools.sh)"
    exit 0
fi

scratch=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
export MQTTCHAT_LIMITS__MESSAGES_PER_SECOND=0
./target/debug/mqttchat --port 0 --data "$scratch/data" >"$scratch/out" 2>"$scratch/log" &
server=$!
until grep -q 'is ready at' "$scratch/out"; do
    kill -0 "$server" || { cat "$scratch/log" >&2; exit 1; }
    read -rt 0.05 <> <(:) || true
done
url=$(sed -n 's/.*is ready at \(http:[^ ]*\).*/\1/p' "$scratch/out" | head -1)
key=$(./target/debug/mqttchat apikey create tester --scope read --scope write --scope rooms --data "$scratch/data" 2>/dev/null)
asked="authorization: Bearer $key"
# Something to be found.
curl -fsS -o "$scratch/said" -H "$asked" -d hello "${url%/}/api/v1/public"

status=0
# In there, since it leaves files where it runs.
(cd "$scratch" && "$tool" --config-file "$root/tests/schemathesis.toml" run "${url%/}/api/v1/openapi.json" \
    --header "Authorization: Bearer $key" --checks all --exclude-path /api/v1/events \
    --max-examples "${SCHEMATHESIS_EXAMPLES:-25}" --seed 1 --no-color --generation-database none "$@") || status=$?
if ! kill -0 "$server"; then
    echo "the server has ended:" >&2
    tail -20 "$scratch/log" >&2
    exit 1
fi
exit "$status"
