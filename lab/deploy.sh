#!/bin/sh
# Does on a node (the first, unless told otherwise) what docs/operations.md says, and waits until everything serves.
# usage: deploy.sh block NAME [NODE] | machine NAME NODE | wait [SECONDS]
# A block asks the node's Docker from here; what is about its files and firewall is done within it.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(realpath "$0")")
repository=$here/..
: "${LAB:?is the directory for the state of the lab}"
export DOCKER_HOST=unix://$LAB/node1/docker.sock
# What is small in the lab.
export CASSANDRA_HEAP=512M CASSANDRA_MEMORY=1536M CASSANDRA_RING_DELAY_MS=5000
# What differs, and no registry.
export STACK="$repository/swarm-stack.yml --compose-file $here/overlay.yml" RESOLVE_IMAGE=never

block() {
    text=$(awk -v name="$1" '$0 == "```sh lab:" name { on = 1; next } /^```$/ { on = 0 } on' "$repository/docs/operations.md")
    [ -n "$text" ] || { echo "docs/operations.md has no block $1" >&2; exit 1; }
    cd "$LAB"
    # As in a copy of the repository, with secrets of its own.
    ln -sf "$repository/swarm-update.sh" "$repository/swarm-secret.sh" "$repository/swarm-fence.sh" .
    printf '%s\n' "$text" | ${within:-} sh
}

case $1 in
block) export DOCKER_HOST=unix://$LAB/node${3:-1}/docker.sock; block "$2" ;;
machine) within="nsenter --mount --net --wd=$LAB --target $("$here/lab.sh" pid "$3")"; block "$2" ;;
wait)
    for _ in $(seq "${2:-600}"); do
        missing=$(docker service ls --format '{{.Name}} {{.Replicas}}' |
            awk '{ split($2, n, "/") } n[1] != n[2] { print $1, $2 }' | while read -r name replicas; do
                # What is done once has done its part.
                case $(docker service ps --format '{{.CurrentState}}' "$name" | head -n 1) in
                Complete*) ;;
                *) echo "$name $replicas" ;;
                esac
            done)
        [ -n "$missing" ] || exit 0
        sleep 1
    done
    echo "not all are there: $missing" >&2
    exit 1
    ;;
esac
