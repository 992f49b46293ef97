#!/usr/bin/env bash
# Plays the chaos runs one after the other, each time from other seeds, until servers and brokers were killed and messages
# acknowledged often enough, and sums up what came of it. Fails when a promise was broken, or a program failed.
#
# CAMPAIGN_KILLS, CAMPAIGN_NODE_KILLS, CAMPAIGN_MESSAGES: when it is enough.  CAMPAIGN_MINUTES: when it gives up.
# CAMPAIGN_SEED: what the first round is made from, the next ones from the numbers after it.
# CHAOS_SECONDS, CHAOS_RATE, CHAOS_KILLS: as for `make test-chaos`, for each run.
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${CAMPAIGN_KILLS:-100}
node_kills=${CAMPAIGN_NODE_KILLS:-20}
messages=${CAMPAIGN_MESSAGES:-200000}
minutes=${CAMPAIGN_MINUTES:-60}
seed=${CAMPAIGN_SEED:-$((RANDOM * 32768 + RANDOM))}
export CHAOS_SECONDS=${CHAOS_SECONDS:-50} CHAOS_RATE=${CHAOS_RATE:-40} CHAOS_KILLS=${CHAOS_KILLS:-3}
runs=(embedded nodes mosquitto nodes-stay mosquitto-stays machine)

folder=target/chaos
mkdir -p "$folder"
log=$folder/campaign.log
: > "$log"
cargo=${CARGO:-cargo}
"$cargo" test --workspace --locked --test chaos --no-run

# The sum of a figure over the lines of all runs, or of those whose names begin like this.
sum() {
    awk -v key="$1" -v names="^${2:-}" '/^chaos: .* kills=/ && $2 ~ names {
        for (i = 3; i <= NF; i++) if (index($i, key "=") == 1) total += substr($i, length(key) + 2)
    } END { print total + 0 }' "$log"
}

is_enough() {
    (($(sum kills) >= kills && $(sum kills nodes) >= node_kills && $(sum acknowledged) >= messages))
}

begun=$SECONDS
failed=0
while ! is_enough; do
    for run in "${runs[@]}"; do
        if ((SECONDS - begun > minutes * 60)); then
            break 2
        fi
        # What is not a line of figures is shown when the run has failed.
        if ! CHAOS_ONLY=$run CHAOS_SEED=$seed "$cargo" test --quiet --workspace --locked --test chaos runs:: -- \
            --test-threads=1 > "$folder/campaign-run.log" 2>&1; then
            failed=$((failed + 1))
            cp "$folder/campaign-run.log" "$folder/campaign-$run-$seed.log"
            cat "$folder/campaign-run.log"
        fi
        # The runner writes the name of the test before them.
        grep -ao 'chaos: .* kills=.*' "$folder/campaign-run.log" | tee -a "$log" || true
    done
    seed=$((seed + 1))
done

awk -v failed="$failed" -v minutes=$(((SECONDS - begun + 59) / 60)) '
    /^chaos: .* kills=/ {
        name = $2
        if (!(name in count)) order[++names] = name
        count[name]++; count["all"]++
        for (i = 4; i <= NF; i++) {
            split($i, pair, "=")
            if (pair[1] == "skipped" && pair[2] != "none") skipped = skipped " " name ":" pair[2]
            value = pair[2] + 0
            if (pair[1] ~ /_ms$/) {
                if (value > most[name, pair[1]]) most[name, pair[1]] = value
                if (value > most["all", pair[1]]) most["all", pair[1]] = value
            } else {
                total[name, pair[1]] += value; total["all", pair[1]] += value
            }
        }
    }
    END {
        order[++names] = "all"
        row = "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n"
        printf row, "run", "times", "SIGKILLs", "acknowledged", "shown", "over SockJS", "changes", "removals", "barred", "conflicts", "lost", "twice", "out of order", "leaked", "made up or late", "settled after at most"
        printf row, "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---"
        for (i = 1; i <= names; i++) {
            n = order[i]
            printf row, n, count[n], total[n, "kills"], total[n, "acknowledged"], total[n, "shown"], sprintf("%d of %d sessions", total[n, "sockjs"], total[n, "sessions"]), total[n, "changes"], total[n, "removals"], total[n, "barred"], total[n, "conflicts"], total[n, "lost"], total[n, "twice"], total[n, "disordered"], total[n, "leaked"], total[n, "invented"] + total[n, "late"], sprintf("%.1f s, strangers\x27 %.1f s", most[n, "settled_ms"] / 1000, most[n, "outside_ms"] / 1000)
        }
        printf "%d minutes; runs that failed: %d; not tried on this machine:%s\n", minutes, failed, skipped == "" ? " nothing" : skipped
    }' "$log"

if ! is_enough; then
    echo "not enough in $minutes minutes: $(sum kills) of $kills kills, $(sum kills nodes) of $node_kills of nodes," \
        "$(sum acknowledged) of $messages messages" >&2
    exit 1
fi
((failed == 0))
