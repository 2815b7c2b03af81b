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
# What takes longer hangs, and would keep the others from being repaired.
longest=${REPAIR_LONGEST:-2d}
log=${LOG_DIR:-/var/log/penstock}/cassandra-repair.log

# To stdout, and into the log, which Logstash reads: a level, a sentence, and what nodetool said if it failed.
say() {
    echo "$2"
    [ "$(stat -c %s "$log" 2> /dev/null || echo 0)" -lt 1048576 ] || mv "$log" "$log.1"
    printf '{"@timestamp":"%s","log.level":"%s","message":"%s","service.name":"repair","host.hostname":"%s"%s}\n' \
        "$(date -u +%FT%T.%3NZ)" "$1" "$2" "$HOSTNAME" "${3:+,\"error.message\":\"$3\"}" >> "$log"
}

nodes() { getent ahostsv4 tasks.cassandra | cut -d' ' -f1 | sort -u; }

# "whole" where the first node that answers knows all that are found, and no others, and all are up; "lacking" otherwise; nothing if none answers.
ring() {
    local node status found up
    found=$(nodes)
    for node in $found; do
        status=$(timeout 60 nodetool -h "$node" -u penstock -pwf /run/secrets/cassandra_jmx_password status 2> /dev/null) || continue
        # A node that has just started is not found at once, and would be left out.
        up=$(grep -c '^UN ' <<< "$status")
        if [ "$(grep -cE '^[UD?][NLJM] ' <<< "$status")" = "$up" ] && [ "$(wc -w <<< "$found")" = "$up" ]; then
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
                say info "a node was away for $((SECONDS - lacks_since)) s: repairing"
                kill $timer
                return
            fi
            lacks_since=
            ;;
        esac
    done
}

repair_all() {
    local failed=0 node keyspace told
    [ "$(ring)" = whole ] || { say error "not all nodes of Cassandra are there; all is tried again after $again"; return 1; }
    for node in $(nodes); do
        for keyspace in "${keyspaces[@]}"; do
            say info "repairing $keyspace on $node"
            if told=$(timeout "$longest" nodetool -h "$node" -u penstock -pwf /run/secrets/cassandra_jmx_password repair --full -pr "$keyspace" 2>&1); then
                echo "$told"
                say info "repaired $keyspace on $node"
            else
                [ $? != 124 ] || told="$told nodetool was not back after $longest"
                echo "$told"
                # The end of it, without what would end a string of JSON.
                say error "$keyspace on $node was not repaired; all is tried again after $again" \
                    "$(tail -n 5 <<< "$told" | tr -s '[:cntrl:]"\\' ' ')"
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
