#!/bin/sh
# One machine of the lab: a network namespace, and in it a dockerd with everything that it starts, in a PID namespace of
# its own, so that killing its first process is pulling the plug.
# usage: node.sh DIRECTORY NUMBER      (run by lab.sh; becomes the node)
set -eu
directory=$1 number=$2
home=$directory/node$number
mkdir -p "$home" "$home/logs"
echo 'nameserver 10.77.0.254' > "$home/resolv.conf"
# Numbers of processes begin anew in each namespace: what is noted there may be another one.
rm -f "$home/docker.pid" "$home/exec/containerd/containerd.pid"
exec nsenter --net=/var/run/netns/lab$number unshare --mount --uts --pid --fork --kill-child --mount-proc sh -euc "
    hostname node$number
    mount --bind $home/resolv.conf /etc/resolv.conf
    mount -t tmpfs none /run
    mkdir -p /run/netns /run/lock /var/log/penstock
    mount --bind $home/logs /var/log/penstock
    exec dockerd --data-root $home/data --exec-root $home/exec --pidfile $home/docker.pid \
        -H unix://$home/docker.sock --bip 172.3$number.0.1/24 --default-address-pool base=172.4$number.0.0/16,size=24 \
        --cgroup-parent /penstock-lab-$number
"
