#!/bin/sh
# Runs a command as user rabbitmq, in the group $3, inside the Debian root $1, with the node's directory $2 as /mnt.
# To be called in a private mount namespace (unshare --mount), so that no mount is left behind.
set -eu
root=$1 node=$2 group=$3
shift 3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$node" "$root/mnt"
exec chroot "$root" /usr/bin/setpriv --reuid=rabbitmq --regid="$group" --clear-groups "$@"
