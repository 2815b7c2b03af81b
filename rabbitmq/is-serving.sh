#!/bin/bash
# Whether this node is well: once it has served clients, that it does; until then, that other nodes can reach it, or are waited for
# (entrypoint.sh). Nodes that join a cluster must find each other by name, and Docker's DNS only tells those that are healthy. (rabbitmq-diagnostics
# would start a whole Erlang machine for each question.)
set -u
amqp=5672 distribution=25672 port_mapper=4369 mark=/tmp/has-served
open() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
if open $amqp; then
    [ -e $mark ] || touch $mark /var/lib/rabbitmq/has-served
elif [ -e $mark ]; then
    exit 1
else
    open $distribution || open $port_mapper
fi
