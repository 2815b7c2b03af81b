#!/bin/bash
# Whether this node takes requests of clients: it is up, and a full member of the ring. Once it was, entrypoint.sh may
# start it without the others.
set -eu
exec 3<> "/dev/tcp/$(hostname -i | cut -d' ' -f1)/9042"
[ -e /var/lib/cassandra/has-served ] || touch /var/lib/cassandra/has-served
