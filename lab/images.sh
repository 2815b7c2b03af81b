#!/bin/sh
# Builds images from what this machine has, where no registry can be reached. Each is written to $OUT/NAME.tar.
# usage: images.sh binaries BINARIES OUT COMMIT   the gate's and the worker's image, from built binaries
#        images.sh services RABBITMQ CASSANDRA ELASTICSEARCH OUT   RabbitMQ and HAProxy from a Debian root, and one image of all others,
#                                                 from Debian's packages and Maven's jars
# Needs root: files in images belong to their users.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(realpath "$0")")

# Copies a program, without its symbols, and the libraries that it is linked with.
program() {
    root=$1 binary=$2
    install -D -m 0755 "$binary" "$root/usr/local/bin/$(basename "$binary")"
    strip "$root/usr/local/bin/$(basename "$binary")"
    ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
        install -D -m 0755 "$(realpath "$library")" "$root$library"
    done
}

# What a program may look for: who it is, names of hosts, certificates, a place for temporary files.
surroundings() {
    root=$1
    mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/var/log/penstock"
    chmod 1777 "$root/tmp" "$root/var/log/penstock"
    printf 'root:x:0:0::/:/none\nnonroot:x:65532:65532::/:/none\n' > "$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' > "$root/etc/group"
    printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
}

# Packs a directory: the same files give the same bytes.
pack() { tar --create --file "$2.draft" --sort=name --mtime=@0 --numeric-owner --directory "$1" . && mv "$2.draft" "$2"; }

case $1 in
binaries)
    binaries=$2 out=$3
    work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
    for name in gate storage-worker; do
        mkdir "$work/$name"
        surroundings "$work/$name"
        program "$work/$name" "$binaries/$name"
    done
    program "$work/storage-worker" "$binaries/penstock"
    for name in gate storage-worker; do pack "$work/$name" "$out/$name.tar"; done
    ;;
services)
    rabbitmq=$2 jars=$3 elasticsearch=$4 out=$5
    work=$(mktemp -d -p "$out"); trap 'rm -rf "$work"' EXIT
    if [ ! -f "$out/trixie.tar" ]; then
        cp -a "$rabbitmq" "$work/rabbitmq"
        root=$work/rabbitmq
        # The numbers of the official images, in which secrets are made readable.
        sed -i 's/^rabbitmq:x:[0-9]*:[0-9]*:/rabbitmq:x:999:999:/' "$root/etc/passwd"
        sed -i 's/^rabbitmq:x:[0-9]*:/rabbitmq:x:999:/' "$root/etc/group"
        sed -i 's/^haproxy:x:[0-9]*:[0-9]*:/haproxy:x:99:99:/' "$root/etc/passwd"
        sed -i 's/^haproxy:x:[0-9]*:/haproxy:x:99:/' "$root/etc/group"
        mkdir -p "$root/usr/local/etc/haproxy"
        rm -f "$root/var/lib/rabbitmq/.erlang.cookie" "$root/etc/rabbitmq/rabbitmq-env.conf"
        echo '[rabbitmq_management].' > "$root/etc/rabbitmq/enabled_plugins"
        mkdir -p "$root/etc/rabbitmq/conf.d" "$root/var/log/penstock"
        chown -R 999:999 "$root/var/lib/rabbitmq" "$root/var/log/rabbitmq" "$root/etc/rabbitmq"
        rm -rf "$root/usr/share/doc" "$root/usr/share/locale" "$root/dev" && mkdir "$root/dev"
        pack "$root" "$out/trixie.tar"
    fi
    if [ ! -f "$out/services-3.tar" ]; then
        root=$work/services
        packages=openjdk-17-jre-headless,redis-server,redis-sentinel,curl,rsyslog,rsyslog-elasticsearch
        unshare --mount debootstrap --variant=minbase --include=$packages bookworm "$root" > "$out/debootstrap.log" 2>&1 ||
            { tail -n 20 "$out/debootstrap.log" >&2; exit 1; }
        # The numbers of the official images.
        sed -i '/^redis:/d' "$root/etc/passwd" "$root/etc/group"
        printf 'redis:x:999:999::/:/none\ncassandra:x:999:999::/tmp:/none\n' >> "$root/etc/passwd"
        printf 'redis:x:999:\n' >> "$root/etc/group"
        mkdir -p "$root/opt/cassandra" "$root/etc/cassandra" "$root/var/log/penstock" "$root/data"
        cp "$jars"/*.jar "$root/opt/cassandra/"
        cp "$here/../testbed/cassandra/jvm.options" "$root/etc/cassandra/jvm.options"
        install -m 0755 "$here/cassandra" "$root/usr/local/bin/cassandra"
        install -m 0755 "$here/nodetool" "$root/usr/local/bin/nodetool"
        mkdir -p "$root/var/lib/cassandra" "$root/var/log/cassandra"
        mkdir -p "$root/opt/elasticsearch" "$root/usr/share/elasticsearch/config" "$root/usr/share/elasticsearch/data"
        cp -r "$elasticsearch/lib" "$elasticsearch/modules" "$elasticsearch/classes" "$root/opt/elasticsearch/"
        echo 'http.host: 0.0.0.0' > "$root/usr/share/elasticsearch/config/elasticsearch.yml"
        install -m 0755 "$here/elasticsearch" "$root/usr/local/bin/elasticsearch"
        mkdir -p "$root/var/lib/rsyslog"
        chown -R 999:999 "$root/data" "$root/var/lib/cassandra" "$root/var/log/cassandra" "$root/usr/share/elasticsearch" \
            "$root/var/lib/rsyslog"
        rm -rf "$root/usr/share/doc" "$root/usr/share/locale" "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root/dev"
        mkdir "$root/dev"
        pack "$root" "$out/services-3.tar"
    fi
    ;;
esac
