#!/usr/bin/env bash
# SockJS's own test suite, sockjs-protocol.py of the project sockjs-protocol, against the echo server of crates/sockjs.
# All of it must pass but one case that wants a WebSocket draft of 2010 (Hixie-76), which the reference server fails too.
#
#   SUITE=…    a checkout of that project
#   PYTHON2=…  the interpreter, where `python2.7` is not it
#   RUNS=…     how often, one after the other; default once
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON2:-python2.7}
expected="FAIL: test_haproxy (__main__.Websocket)"
count=68

if [[ ! -e ${SUITE:-}/sockjs-protocol.py ]]; then
    echo "SUITE=… must be a checkout of the GitHub project sockjs/sockjs-protocol, the folder of sockjs-protocol.py." >&2
    exit 2
fi
if ! "$python" -m virtualenv --version >/dev/null 2>&1; then
    echo "SockJS's suite needs Python 2.7 with virtualenv (the last for it is virtualenv 20.15), as python2.7 or by PYTHON2=/path/to/python2.7." >&2
    exit 2
fi
suite=$(cd "$SUITE" && pwd)

venv=$PWD/target/sockjs-suite/venv
if [[ ! -e $venv/complete ]]; then
    rm -rf "$venv"
    mkdir -p "${venv%/*}"
    "$python" -m virtualenv --quiet "$venv"
    "$venv/bin/pip" install --quiet --requirement "$suite/requirements.txt" 2> >(grep -v DEPRECATION >&2)
    touch "$venv/complete"
fi

${CARGO:-cargo} build --workspace --example echo_server --locked
log=$(mktemp)
target/debug/examples/echo_server --port 0 > "$log" &
server=$!
trap 'kill "$server"; rm -f "$log"' EXIT
until url=$(grep '^http://' "$log"); do
    kill -0 "$server"
    sleep 0.1
done

for ((run = 1; run <= ${RUNS:-1}; run++)); do
    said=$(cd "$suite" && PYTHONDONTWRITEBYTECODE=1 SOCKJS_URL=$url "$venv/bin/python" sockjs-protocol.py 2>&1) || true
    failures=$(grep -E '^(FAIL|ERROR): ' <<< "$said" || true)
    ran=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' <<< "$said")
    if [[ $failures != "$expected" || $ran != "$count" ]]; then
        echo "$said" >&2
        exit 1
    fi
    echo "sockjs-protocol: $((count - 1)) of $count, all but test_haproxy"
    # Its cases use sessions of the same names, which have to expire before they are used again.
    ((run == ${RUNS:-1})) || sleep 6
done
