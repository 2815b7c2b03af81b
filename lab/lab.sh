#!/bin/sh
# A real three-node Docker Swarm on one machine: a network namespace, a PID namespace and a dockerd for each node, on a
# bridge of their own. Needs root, and Debian's docker.io, iproute2, iptables and dnsmasq-base.
# usage: lab.sh up | down | join N | start N | kill N | remove N | cut N | mend N | pid N | unfence N
# All state is in $LAB. Nodes are 10.77.0.1 to 10.77.0.3, and those that join later; this machine is 10.77.0.254.
# There is no image registry, and no virtual IPs where the kernel has no IPVS: images are loaded into each node, services
# are found by DNS (dnsrr), and ports are the nodes' own (mode: host).
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(realpath "$0")")
: "${LAB:?is the directory for the state of the lab}"
mkdir -p "$LAB"
docker() { n=$1; shift; DOCKER_HOST= command docker -H "unix://$LAB/node$n/docker.sock" "$@"; }

start() {
    setsid "$here/node.sh" "$LAB" "$1" >> "$LAB/node$1.log" 2>&1 < /dev/null &
    echo $! > "$LAB/node$1.pid"
    for _ in $(seq 240); do
        docker "$1" info > /dev/null 2>&1 && return 0
        kill -0 "$(cat "$LAB/node$1.pid")" 2> /dev/null || break
        sleep 0.5
    done
    tail -n 20 "$LAB/node$1.log" >&2
    echo "node $1 did not start" >&2
    return 1
}

# The first process of the node's PID namespace: the child of the `unshare` that became of node.sh.
first() { cat "/proc/$(cat "$LAB/node$1.pid")/task/$(cat "$LAB/node$1.pid")/children" 2> /dev/null | tr -d ' '; }

plug() {
    [ -f "$LAB/node$1.pid" ] || return 0
    parent=$(cat "$LAB/node$1.pid")
    child=$(first "$1")
    if [ -n "$child" ]; then kill -KILL "$child" 2> /dev/null || true; fi
    for _ in $(seq 100); do kill -0 "$parent" 2> /dev/null || break; sleep 0.1; done
    rm -f "$LAB/node$1.pid"
}

# A machine with its place on the network.
add() {
    ip netns add "lab$1"
    ip link add "lab$1" type veth peer name eth0 netns "lab$1"
    ip link set "lab$1" master br-lab up
    ip -n "lab$1" link set lo up
    ip -n "lab$1" addr add "10.77.0.$1/24" dev eth0
    ip -n "lab$1" link set eth0 up
    ip -n "lab$1" route add default via 10.77.0.254
    start "$1"
}

# Makes a machine a manager of the swarm that another one belongs to.
join() {
    token=$(docker "$2" swarm join-token -q manager)
    docker "$1" swarm join --token "$token" --advertise-addr "10.77.0.$1" "10.77.0.$2:2377" > /dev/null
}

remove() {
    plug "$1"
    ip netns del "lab$1" 2> /dev/null || true
    ip link del "lab$1" 2> /dev/null || true
    # Directories of containers that are gone; the kernel may need a moment.
    find /sys/fs/cgroup -depth -type d -path "*/penstock-lab-$1*" -exec rmdir {} + 2> /dev/null || true
    rm -rf "$LAB/node$1"
}

case $1 in
up)
    ip link add br-lab type bridge
    ip addr add 10.77.0.254/24 dev br-lab
    ip link set br-lab up
    iptables -I FORWARD -i br-lab -o br-lab -j ACCEPT
    # The name server of the machines knows no name, and says so at once. Docker asks it for each name that no container has.
    dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --address=/#/ --bind-interfaces --listen-address=10.77.0.254 \
        --user=root --pid-file="$LAB/dnsmasq.pid"
    for n in 1 2 3; do add $n; done
    # The third one leads, as it is the one that can be taken away: Cassandra is on the others.
    docker 3 swarm init --advertise-addr 10.77.0.3 --task-history-limit 2 > /dev/null
    for n in 1 2; do join $n 3; done
    ;;
down)
    for n in 1 2 3 4; do plug $n; done
    for n in 1 2 3 4; do remove $n; done
    if [ -f "$LAB/dnsmasq.pid" ]; then
        kill "$(cat "$LAB/dnsmasq.pid")" 2> /dev/null || true
        rm -f "$LAB/dnsmasq.pid"
    fi
    while iptables -D FORWARD -i br-lab -o br-lab -j ACCEPT 2> /dev/null; do :; done
    ip link del br-lab 2> /dev/null || true
    rm -rf "$LAB"/node?.log "$LAB"/secrets "$LAB"/penstock.env "$LAB"/swarm-*.sh "$LAB"/snapshot-*.tar "$LAB"/files
    ;;
join) add "$2"; join "$2" 1 ;;
start) start "$2" ;;
kill) plug "$2" ;;
remove) remove "$2" ;;
cut) ip link set "lab$2" down ;;
mend) ip link set "lab$2" up ;;
pid) first "$2" ;;
unfence)
    ip netns exec "lab$2" iptables -F DOCKER-USER
    ip netns exec "lab$2" iptables -F PENSTOCK
    ip netns exec "lab$2" iptables -X PENSTOCK
    ip netns exec "lab$2" ip6tables -F INPUT
    ;;
*) sed -n '2,8s/^# //p' "$0" >&2; exit 2 ;;
esac
