#!/bin/sh
# Starts a server, or a sentinel, in a Swarm: `entrypoint.sh server NAME` or `entrypoint.sh sentinel NAME`, where NAME is
# how others find it. Addresses change with each start; names do not.
set -eu
role=$1 name=$2
log=/var/log/penstock/redis-$role-$name.log
# Until something runs that is told by itself: the first process of a container has to say that it ends.
trap 'exit 0' TERM

# Whom so many sentinels take for the primary.
primary() {
    for sentinel in sentinel-1 sentinel-2 sentinel-3; do
        timeout 2 redis-cli -h $sentinel -p 26379 sentinel get-master-addr-by-name sessions 2> /dev/null | head -n 1
    done | sort | uniq -c | sort -rn | awk -v needed="$1" 'NR == 1 && $1 >= needed { print $2 }'
}

# Notes what most say, for when all start at once and none answers yet, or one that has been away: another server's data may be
# older. And when this server had what the primary has, by which it gets a priority where it may have stood still meanwhile.
note() {
    preferred=
    while sleep 5; do
        found=$(primary 2)
        if [ -n "$found" ] && echo "$found" > /data/primary.new; then mv /data/primary.new /data/primary || true; fi
        case $(own info replication | awk -F: '/^role:|^master_host:|^master_link_status:/ { print $2 }' | tr '\n' ' ') in
        "master ")
            case $found in
            "$name") in_step ;;
            ?*) prefer "$(by_age)" ;;
            esac
            ;;
        slave\ ${found:-*}\ up\ ) in_step ;;
        esac
    done
}

in_step() {
    touch /data/in-step || true
    prefer 100
}

# Gives the server a priority, unless it was the last that it was given here.
prefer() { [ "$preferred" = "$1" ] || [ "$(own config set replica-priority "$1")" != OK ] || preferred=$1; }

# The longer ago a server had what the primary has, the older are its data, and whoever had it last is to be elected first. Redis itself does
# not know that after a start; and of one that stood still while another primary was elected, it compares positions in histories that are not the
# same. In tens of seconds, the lowest number first.
by_age() { echo $((2147483647 - $(stat -c %Y /data/in-step 2> /dev/null || echo 0) / 10)); }

# A sentinel that notes an election and cannot find the new primary's name (when its machine is back, Docker's DNS lacks those on other machines
# for some seconds) keeps the old one for good, and makes the new one its replica after eight seconds. When both others
# name another one, after an election that is no older, it is told to forget all, and to watch that one once its name is found.
correct() {
    others= differs=0 password=
    while sleep 1; do
        knows=$(view -p 26379)
        [ -n "$knows" ] || continue
        found=$(timeout 1 redis-cli -p 26379 sentinel sentinels sessions 2> /dev/null | awk 'key == "ip"; { key = $0 }')
        others=${found:-$others}
        both=$(for other in $others; do view -h "$other" -p 26379; done | sort | uniq -c | awk '$1 == 2 && $3 != "nobody" { print $2, $3 }')
        if [ -n "$both" ] && [ "${both#* }" != "${knows#* }" ] && [ "${both% *}" -ge "${knows% *}" ]; then
            differs=$((differs + 1))
        else
            differs=0
        fi
        [ $differs -ge 2 ] || continue
        primary=${both#* }
        if [ "${knows#* }" != nobody ]; then
            say "the others name $primary, this one ${knows#* }: it has not found that name, and forgets what it knows"
            password=$(grep '^sentinel auth-pass ' /data/sentinel.conf || true)
            timeout 1 redis-cli -p 26379 sentinel remove sessions > /dev/null || continue
        fi
        getent hosts "$primary" > /dev/null || continue
        say "told to watch $primary"
        begin "$primary" | timeout 2 redis-cli -p 26379 > /dev/null || true
    done
}

# Into the log, as a sentinel would; where there is no room, nowhere.
say() { echo "1:X $(date '+%d %b %Y %T').000 # $1" >> "$log" || true; }

# The number of the last election that a sentinel has noted, and whom it takes for the primary since; nothing if it does not answer.
view() {
    printf '%s\n' 'sentinel get-master-addr-by-name sessions' 'sentinel master sessions' | timeout 1 redis-cli "$@" 2> /dev/null |
        awk 'NR == 1 { name = $0 } key == "config-epoch" { epoch = $0 } { key = $0 } END { if (NR) print epoch + 0, (name ? name : "nobody") }'
}

# What makes a sentinel that watches nobody watch this primary, with the password that it knew last: it may have been told another one since
# it started.
begin() {
    printf '%s\n' "$password" | awk -v primary="$1" '
        $1 != "sentinel" || $3 != "sessions" { next }
        $2 == "monitor" { print "sentinel monitor sessions", primary, $5, $6; next }
        { print "sentinel set sessions", $2, $4 }
    ' /etc/penstock/sentinel.conf -
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
    note &
    set -- redis-server /etc/penstock/redis.conf --replica-announce-ip "$name" --replica-priority "$(by_age)"
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
    # If it was stopped while it watched nobody, it begins anew.
    if ! grep -q '^sentinel monitor' /data/sentinel.conf; then
        found=$(primary 1)
        sed -n "s/^sentinel monitor sessions [^ ]*/sentinel monitor sessions ${found:-redis-1}/; /^sentinel .* sessions /p" /etc/penstock/sentinel.conf >> /data/sentinel.conf
    fi
    # The primary's name should be known when it starts, or it sees a failure that is none. If nobody has that name after half a minute, its
    # machine is not back with the others, as after a power failure, and the sentinels elect another one.
    watched=$(awk '$1 == "sentinel" && $2 == "monitor" { print $4 }' /data/sentinel.conf) end=$(($(date +%s) + 30))
    until getent hosts "$watched" > /dev/null || [ "$(date +%s)" -ge "$end" ]; do sleep 1; done
    # Not by its name: the others look for that again and again when it is gone, a second each time, and do little else meanwhile.
    address=$(getent hosts "$(cat /etc/hostname)" | awk '{ print $1; exit }')
    set -- redis-server /data/sentinel.conf --sentinel --sentinel announce-ip "$address"
    correct &
    exec sh /etc/penstock/keep-log.sh "$log" "$@"
    ;;
esac
