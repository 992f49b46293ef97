#!/usr/bin/env bash
# Autobahn's test suite against the WebSocket code of /ws: sections 1 to 7, 9 and 10. 12 and 13 are about compression,
# which is not offered.
#
#   autobahn.sh         by kosoku, which runs its cases on today's Python (tests/tools.sh brings it)
#   autobahn.sh wstest  by its own fuzzing client, which is for Python 2.7 with virtualenv, and comes from PyPI
#
#   PYTHON2=…           the interpreter, where `python2.7` is not it
#   AUTOBAHN_CASES=…    some of the cases, such as "1.* 7.1.*"
set -euo pipefail
cd "$(dirname "$0")/.."

all="1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.*"
# How many cases these are: whoever ran fewer has not said that all is well.
expected=301
read -ra cases <<< "${AUTOBAHN_CASES:-$all}"
[[ ${cases[*]} == "$all" ]] || expected=1
runner=${1:-kosoku}
report=$PWD/target/autobahn/report

case $runner in
    kosoku)
        python=target/kosoku/bin/python
        if [[ ! -x $python ]]; then
            echo "autobahn: NOT CHECKED, kosoku could not be installed (see tests/tools.sh)"
            exit 0
        fi
        ;;
    wstest)
        version=25.10.1
        venv=target/autobahn/venv
        python=$venv/bin/python
        if ! "${PYTHON2:-python2.7}" -m virtualenv --version >/dev/null 2>&1; then
            echo "Autobahn's own client needs Python 2.7 with virtualenv (the last for it is virtualenv 20.15), as python2.7 or by PYTHON2=/path/to/python2.7." >&2
            exit 2
        fi
        if [[ ! -e $venv/$version ]]; then
            rm -rf "$venv"
            mkdir -p "${venv%/*}"
            "${PYTHON2:-python2.7}" -m virtualenv --quiet "$venv"
            "$venv/bin/pip" install --quiet "autobahntestsuite==$version" 2> >(grep -v DEPRECATION >&2)
            touch "$venv/$version"
        fi
        ;;
    *)
        echo "usage: autobahn.sh [kosoku|wstest]" >&2
        exit 2
        ;;
esac

${CARGO:-cargo} build --workspace --example ws_echo --locked
scratch=$(mktemp -d)
touch "$scratch/out"
target/debug/examples/ws_echo --port 0 > "$scratch/out" &
server=$!
trap 'kill "$server"; rm -rf "$scratch"' EXIT
until url=$(sed -n 's/^echoing at //p' "$scratch/out") && [[ -n $url ]]; do
    kill -0 "$server"
    sleep 0.1
done

rm -rf "$report"
if [[ $runner == kosoku ]]; then
    include=()
    for case in "${cases[@]}"; do include+=(--include "$case"); done
    # What it says about each is looked at below.
    target/kosoku/bin/kosoku --outdir "$report" "${include[@]}" "${url#ws://}" > "$scratch/log" 2>&1 || true
else
    "$python" - "$url" "$report" "${cases[@]}" > "$scratch/spec" <<'END'
import json, sys
print(json.dumps({"outdir": sys.argv[2], "cases": sys.argv[3:], "exclude-cases": [],
                  "servers": [{"agent": "mqttchat", "url": sys.argv[1]}]}))
END
    "$venv/bin/wstest" --mode fuzzingclient --spec "$scratch/spec" > "$scratch/log" 2>&1 || true
fi
[[ -e $report/index.json ]] || { tail -n 20 "$scratch/log" >&2; exit 1; }

"$python" - "$report/index.json" "$expected" "$runner" <<'END'
import collections, json, sys
report, expected, runner = sys.argv[1:]
(results,) = json.load(open(report)).values()
bad = [case for case in sorted(results, key=lambda case: [int(part) for part in case.split(".")])
       if results[case]["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL")
       or results[case]["behaviorClose"] not in ("OK", "INFORMATIONAL")]
for case in bad:
    print("%s: %s, closing %s" % (case, results[case]["behavior"], results[case]["behaviorClose"]))
said = collections.Counter(result["behavior"] for result in results.values())
print("autobahn: %d cases by %s: %s" % (len(results), runner, ", ".join("%d %s" % (n, what) for what, n in said.most_common())))
sys.exit(1 if bad or len(results) < int(expected) else 0)
END
