#!/bin/bash
# Starts one node of Cassandra in a Swarm, where containers get a new address with each start.
#
# Docker's DNS lists as tasks.$SERVICE those nodes that are healthy, which means: that serve.
# - If there are some, they are the seeds. A node that has never served then joins the ring and streams its share first.
# - If there are none, a node that has served starts alone, and looks for the others for as long as it is alone.
# - A node that never has starts a new ring only where the file `founds` lies on its volume. All others wait.
# The file `replaces` beside the data, with an address that `nodetool status` shows as DN and the number of copies that there
# are of each record, makes a node that has never served take that node's place. (A variable of the service would start all
# other nodes again.)
set -euo pipefail
# While it waits: the first process of a container has to say that it ends.
trap 'exit 0' TERM

service=${SERVICE:-cassandra} machine=${MACHINE:?is the name of the machine}
data=/var/lib/cassandra
# A file system in memory at a path that the image lacks belongs to root alone with some versions of runc (1.2.8, 1.3.3).
export CASSANDRA_CONF=/tmp/conf
address=$(hostname -i | cut -d' ' -f1)

peers() {
    getent ahostsv4 "tasks.$service" | cut -d' ' -f1 | sort -u | grep -vxF "$address" | paste -sd, || true
}

# Settings as this node needs them, into memory: the root file system is read-only.
configure() {
    sed -e "s/@ADDRESS@/$address/" -e "s/@SEEDS@/$1/" /etc/penstock/cassandra.yaml > $CASSANDRA_CONF/cassandra.yaml
}

mkdir -p $CASSANDRA_CONF $data/tmp
cp -r /etc/cassandra/. $CASSANDRA_CONF/
cp /etc/penstock/logback.xml $CASSANDRA_CONF/logback.xml
printf 'dc=%s\nrack=%s\n' "${DATACENTER:-dc1}" "$machine" > $CASSANDRA_CONF/cassandra-rackdc.properties

# The repair service asks over the storage network, with a password.
jmx=/run/secrets/cassandra_jmx_password
echo 'penstock readwrite' > $CASSANDRA_CONF/jmx.access
options=(
    # Native libraries are unpacked there and must be allowed to run, which nothing in /tmp is.
    -Djava.io.tmpdir=$data/tmp -Djna.tmpdir=$data/tmp
    -Dcassandra.ring_delay_ms="${RING_DELAY_MS:-30000}"
    -Djava.rmi.server.hostname="$address"
    -Dcom.sun.management.jmxremote.password.file=$jmx
    -Dcom.sun.management.jmxremote.access.file=$CASSANDRA_CONF/jmx.access
)
seeds=$(peers)
# Written by is-serving.sh: a node that was stopped while it joined has no data of its own yet.
if [ -e $data/has-served ]; then has_served=yes; else has_served=no; fi
if [ $has_served = yes ]; then rm -f $data/founds; fi
if [ $has_served = no ] && ! [ -e $data/founds ]; then
    until [ -n "$seeds" ]; do
        echo "no data yet, and no node serves that could be joined: waiting (docs/operations.md, Deploy, tells how a ring is founded)"
        sleep 2
        seeds=$(peers)
    done
fi
if [ $has_served = no ] && [ -s $data/replaces ]; then
    read -r lost copies < $data/replaces
    options+=(-Dcassandra.replace_address_first_boot="$lost")
    # Otherwise it waits for most copies to finish the conditional writes that were under way, and of two there is only one.
    # That has all that both had accepted, and every majority of two needs it.
    if [ "$copies" = 2 ]; then
        options+=(-Dcassandra.skip_paxos_repair_on_topology_change=true)
    fi
fi
configure "${seeds:-$address}"

# Alone: others that start at the same time are not listed yet. Whoever appears first is told to the running node.
if [ -z "$seeds" ]; then
    (
        until found=$(peers) && [ -n "$found" ]; do sleep 2; done
        configure "$found,$address"
        until nodetool -h 127.0.0.1 -u penstock -pwf $jmx reloadseeds; do sleep 2; done
    ) &
fi

exec cassandra -f "${options[@]}"
