#!/usr/bin/env bash
# The WebSocket code of /ws against Autobahn's fuzzing client, which needs Python 2.7 with virtualenv and comes from PyPI.
# What must hold is sections 1 to 7, 9 and 10: 12 and 13 are about compression, which is not offered. Section 9 sends
# gigabytes, which takes a while.
#
#   PYTHON2=…         the interpreter, where `python2.7` is not it
#   AUTOBAHN_CASES=…  some of the cases, such as "1.* 7.1.*"
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON2:-python2.7}
version=25.10.1
# How many cases these sections have: a client that ran fewer has not said that all is well.
all="1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.*"
expected=301
cases=${AUTOBAHN_CASES:-$all}
[[ $cases == "$all" ]] || expected=1

if ! "$python" -m virtualenv --version >/dev/null 2>&1; then
    echo "Autobahn's suite needs Python 2.7 with virtualenv (the last for it is virtualenv 20.15), as python2.7 or by PYTHON2=/path/to/python2.7." >&2
    exit 2
fi

place=target/autobahn
venv=$place/venv
if [[ ! -e $venv/$version ]]; then
    rm -rf "$venv"
    mkdir -p "$place"
    "$python" -m virtualenv --quiet "$venv"
    "$venv/bin/pip" install --quiet "autobahntestsuite==$version" 2> >(grep -v DEPRECATION >&2)
    touch "$venv/$version"
fi

${CARGO:-cargo} build --workspace --examples --locked
log=$(mktemp)
target/debug/examples/ws_echo --port 0 > "$log" &
server=$!
trap 'kill "$server"; rm -f "$log"' EXIT
until url=$(sed -n 's/^echoing at //p' "$log") && [[ -n $url ]]; do
    kill -0 "$server"
    sleep 0.1
done

rm -rf "$place/report"
"$venv/bin/python" - "$url" "$place" "$cases" <<'END'
import json, sys
url, place, cases = sys.argv[1:]
spec = {"outdir": place + "/report", "cases": cases.split(), "exclude-cases": [],
        "servers": [{"agent": "mqttchat", "url": url}]}
json.dump(spec, open(place + "/spec.json", "w"))
END
"$venv/bin/wstest" --mode fuzzingclient --spec "$place/spec.json" > "$place/log" 2>&1 || { tail -n 20 "$place/log" >&2; exit 1; }

"$venv/bin/python" - "$place/report/index.json" "$expected" <<'END'
import collections, json, sys
report, expected = sys.argv[1:]
results = json.load(open(report))["mqttchat"]
number = lambda case: [int(part) for part in case.split(".")]
said = collections.Counter(result["behavior"] for result in results.values())
bad = [case for case in sorted(results, key=number)
       if results[case]["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL")
       or results[case]["behaviorClose"] not in ("OK", "INFORMATIONAL")]
for case in bad:
    print("%s: %s, closing %s" % (case, results[case]["behavior"], results[case]["behaviorClose"]))
print("autobahn: %d cases: %s" % (len(results), ", ".join("%d %s" % (n, what) for what, n in said.most_common())))
sys.exit(1 if bad or len(results) < int(expected) else 0)
END
