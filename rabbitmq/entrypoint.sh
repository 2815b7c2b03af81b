#!/bin/bash
# Starts RabbitMQ. A node that is new joins those that it can reach, or founds a cluster if it reaches none: two that start without
# having found each other would be two clusters, for good. So it waits until it knows all names, for two minutes at most. Docker's DNS
# tells those of nodes that are healthy, for which the port mapper that is started here is enough (is-serving.sh, which also notes that
# this node has served).
set -u
# While it waits: the first process of a container has to say that it ends.
trap 'exit 0' TERM
if [ ! -e /var/lib/rabbitmq/has-served ]; then
    epmd -daemon
    for _ in $(seq 120); do
        getent hosts rabbitmq-1 rabbitmq-2 rabbitmq-3 > /dev/null && break
        sleep 1
    done
fi
# Newer packages of Docker leave 1024 open files; for as many as older ones allow, Erlang would make room in its memory.
ulimit -Sn 65536 2> /dev/null || ulimit -Sn "$(ulimit -Hn)"
exec rabbitmq-server
