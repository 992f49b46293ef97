#!/usr/bin/env bash
# Runs the chaos tests one at a time, and says in one last line what they did, and above all what this machine did not let them try.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=target/chaos
mkdir -p "$folder"
log=$folder/last.log
status=0
"${CARGO:-cargo}" test --workspace --locked --test chaos -- --test-threads=1 2>&1 | tee "$log" || status=$?

# The runner writes the name of the test before what it says.
grep -ao 'chaos: .*' "$log" | awk '
    BEGIN {
        needs["FullDisk"] = "needs the right to mount"
        needs["StepClock"] = "needs libfaketime"
        needs["ReadOnly"] = "needs files that can be made immutable"
    }
    / kills=/ {
        runs++
        for (i = 4; i <= NF; i++) {
            split($i, pair, "=")
            if (pair[1] == "skipped" && pair[2] != "none") {
                many = split(pair[2], kinds, ",")
                for (k = 1; k <= many; k++) if (!(kinds[k] in known)) {
                    known[kinds[k]]
                    skipped = skipped (skipped == "" ? "" : ", ") kinds[k] " (" (kinds[k] in needs ? needs[kinds[k]] : "not possible here") ")"
                }
            }
            total[pair[1]] += pair[2]
        }
    }
    END {
        broken = total["lost"] + total["disordered"] + total["twice"] + total["leaked"] + total["invented"] + total["late"]
        printf "chaos: in all %d runs, %d kills, %d messages acknowledged, %d sessions (%d over SockJS), %d removals from rooms, %d promises broken; ", runs, total["kills"], total["acknowledged"], total["sessions"], total["sockjs"], total["removals"], broken
        print skipped == "" ? "everything was tried" : "NOT TRIED on this machine: " skipped
    }'
exit "$status"
