#!/bin/bash
# Repairs every node of the ring, one after the other, again and again: what a node missed while it was away is mended
# within REPAIR_EVERY, which must stay well below the 30 days for which deletions are kept.
set -uo pipefail
every=${REPAIR_EVERY:-7d}
keyspaces=(${KEYSPACES:-penstock system_auth})

while sleep "$every"; do
    for node in $(getent ahostsv4 tasks.cassandra | cut -d' ' -f1 | sort -u); do
        for keyspace in "${keyspaces[@]}"; do
            echo "repairing $keyspace on $node"
            nodetool -h "$node" -u penstock -pwf /run/secrets/cassandra_jmx_password repair --full -pr "$keyspace" ||
                echo "ERROR: $keyspace on $node was not repaired; it is tried again after $every" >&2
        done
    done
done
