#!/bin/bash
# Repairs every node of the ring, one after the other, again and again: what a node missed while it was away is mended
# within REPAIR_EVERY, which must stay well below the 30 days for which deletions are kept. Nothing is kept of when that was
# last, so it begins REPAIR_AGAIN after each start; and so soon it is tried again where not all was repaired. When a node is back that
# was away for about as long as others keep for it what it misses (an hour: gc_grace_seconds of the tables), it begins at once.
set -uo pipefail
every=${REPAIR_EVERY:-7d} again=${REPAIR_AGAIN:-1h}
keyspaces=(${KEYSPACES:-penstock system_auth})
# In seconds: how often it is looked whether all nodes are there, and how long one must have been missed to be repaired when it is back.
look=${REPAIR_LOOK:-300} absence=${REPAIR_ABSENCE:-2700}

nodes() { getent ahostsv4 tasks.cassandra | cut -d' ' -f1 | sort -u; }

# "whole" where the first node that answers knows all that are found, and no others, and all are up; "lacking" otherwise; nothing if none answers.
ring() {
    local node status found
    found=$(nodes)
    for node in $found; do
        status=$(timeout 60 nodetool -h "$node" -u penstock -pwf /run/secrets/cassandra_jmx_password status 2> /dev/null) || continue
        # A node that has just started is not found at once, and would be left out.
        if [ "$(grep -cE '^[UD?][NLJM] ' <<< "$status")" = "$(grep -c '^UN ' <<< "$status")" ] &&
            [ "$(grep -c '^UN ' <<< "$status")" = "$(wc -w <<< "$found")" ]; then
            echo whole
        else
            echo lacking
        fi
        return
    done
}

# Until so long has passed; or a node is back that was away for too long.
rest() {
    local timer lacks_since=
    sleep "$1" &
    timer=$!
    while kill -0 $timer 2> /dev/null; do
        sleep "$look"
        case $(ring) in
        lacking) lacks_since=${lacks_since:-$SECONDS} ;;
        whole)
            if [ -n "$lacks_since" ] && [ $((SECONDS - lacks_since)) -ge "$absence" ]; then
                echo "a node was away for $((SECONDS - lacks_since)) s: repairing"
                kill $timer
                return
            fi
            lacks_since=
            ;;
        esac
    done
}

repair_all() {
    local failed=0 node keyspace
    [ "$(ring)" = whole ] || { echo "ERROR: not all nodes of Cassandra are there; all is tried again after $again" >&2; return 1; }
    for node in $(nodes); do
        for keyspace in "${keyspaces[@]}"; do
            echo "repairing $keyspace on $node"
            if ! nodetool -h "$node" -u penstock -pwf /run/secrets/cassandra_jmx_password repair --full -pr "$keyspace"; then
                echo "ERROR: $keyspace on $node was not repaired; all is tried again after $again" >&2
                failed=1
            fi
        done
    done
    return $failed
}

sleep "$again"
while :; do
    if repair_all; then rest "$every"; else sleep "$again"; fi
done
