#!/bin/bash
# Repairs every node of the ring, one after the other, again and again: what a node missed while it was away is mended
# within REPAIR_EVERY, which must stay well below the 30 days for which deletions are kept. Nothing is kept of when that was
# last, so it begins REPAIR_AGAIN after each start; and so soon it is tried again where not all was repaired.
set -uo pipefail
every=${REPAIR_EVERY:-7d} again=${REPAIR_AGAIN:-1h}
keyspaces=(${KEYSPACES:-penstock system_auth})

repair_all() {
    local failed=0 nodes node keyspace
    nodes=$(getent ahostsv4 tasks.cassandra | cut -d' ' -f1 | sort -u)
    [ -n "$nodes" ] || { echo "ERROR: no node of Cassandra is found" >&2; return 1; }
    for node in $nodes; do
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
    if repair_all; then sleep "$every"; else sleep "$again"; fi
done
