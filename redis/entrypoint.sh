#!/bin/sh
# Starts a server, or a sentinel, in a Swarm: `entrypoint.sh server NAME` or `entrypoint.sh sentinel NAME`, where NAME is
# how others find it. Addresses change with each start; names do not.
set -eu
role=$1 name=$2
log=/var/log/penstock/redis-$role-$name.log

# Whom so many sentinels take for the primary.
primary() {
    for sentinel in sentinel-1 sentinel-2 sentinel-3; do
        timeout 2 redis-cli -h $sentinel -p 26379 sentinel get-master-addr-by-name sessions 2> /dev/null | head -n 1
    done | sort | uniq -c | sort -rn | awk -v needed="$1" 'NR == 1 && $1 >= needed { print $2 }'
}

# Notes what most say, for when all start at once and none answers yet, or one that has been away: another server's data may be
# older.
note_primary() {
    while sleep 5; do
        found=$(primary 2)
        if [ -n "$found" ] && echo "$found" > /data/primary.new; then mv /data/primary.new /data/primary || true; fi
    done
}

own() { REDISCLI_AUTH=$(cat /run/secrets/redis_password) timeout 2 redis-cli "$@" | tr -d '\r'; }

# Before the primary stops, another server takes over; without one after ten seconds it stops all the same. As soon as one of its
# replicas has left it to become the primary, it takes no more changes: they would be forgotten.
hand_over() {
    replicas=$(own info replication | grep -c '^slave.*,state=online,')
    own role | grep -qx master && [ "$replicas" -gt 0 ] || return 0
    own config set min-replicas-to-write "$replicas"
    for sentinel in sentinel-1 sentinel-2 sentinel-3; do
        at_sentinel failover | grep -qE 'OK|INPROG' || continue
        end=$(($(date +%s) + 10))
        while [ "$(date +%s)" -lt "$end" ]; do
            now=$(at_sentinel get-master-addr-by-name | head -n 1)
            [ -z "$now" ] || [ "$now" = "$name" ] || return 0
            sleep 0.3
        done
        return 0
    done
}

at_sentinel() { timeout 2 redis-cli -h "$sentinel" -p 26379 sentinel "$1" sessions; }

case $role in
server)
    found=$(primary 2)
    [ -n "$found" ] || found=$(cat /data/primary 2> /dev/null || true)
    [ -n "$found" ] || found=$(primary 1)
    primary=${found:-redis-1}
    note_primary &
    set -- redis-server /etc/penstock/redis.conf --replica-announce-ip "$name"
    [ "$primary" = "$name" ] || set -- "$@" --replicaof "$primary" 6379
    sh /etc/penstock/keep-log.sh "$log" "$@" &
    server=$!
    trap 'trap : TERM; hand_over || true; kill $server' TERM
    # A signal ends a wait, too.
    while kill -0 $server 2> /dev/null; do wait $server && status=0 || status=$?; done
    exit "$status"
    ;;
sentinel)
    # It writes what it learns into its file, so the file is its own, and stays; and as it holds a password, the directory is
    # closed to others. (Not by a umask: logs are read by others.)
    chmod 700 /data
    [ -s /data/sentinel.conf ] || cat /etc/penstock/sentinel.conf > /data/sentinel.conf
    # What may have another value since.
    sed -i "s/^sentinel failover-timeout .*/$(grep '^sentinel failover-timeout' /etc/penstock/sentinel.conf)/" /data/sentinel.conf
    # The primary's name must be known when it starts.
    until getent hosts "$(awk '$1 == "sentinel" && $2 == "monitor" { print $4 }' /data/sentinel.conf)" > /dev/null; do
        sleep 1
    done
    # Not by its name: the others look for that again and again when it is gone, a second each time, and do little else meanwhile.
    address=$(getent hosts "$(cat /etc/hostname)" | awk '{ print $1; exit }')
    set -- redis-server /data/sentinel.conf --sentinel --sentinel announce-ip "$address"
    exec sh /etc/penstock/keep-log.sh "$log" "$@"
    ;;
esac
