#!/bin/sh
# Builds a commit by Dockerfile.gate and Dockerfile.worker where no image registry can be reached, and gives the images to the Docker that
# DOCKER_HOST names. Their base images are stand-ins: Debian's packages, and the compiler of this machine.
# usage: dockerfiles.sh SYSROOT OUT COMMIT VERSION   (what `rustc --print sysroot` says; a directory with room for 6 GB)
# Needs root, and Debian's docker.io and debootstrap. A Docker of its own builds them, without BuildKit: that would fetch the
# image with the syntax of Dockerfiles.
set -eu
PATH=$PATH:/usr/sbin:/sbin
sysroot=$1 out=$2 commit=$3 version=$4
repository=$(dirname "$(realpath "$0")")/..
toolchain=$(sed -n 's/^FROM \(rust:.*\) AS chef$/\1/p' "$repository/Dockerfile.gate")
compiler=${toolchain#*:}
runtime=$(sed -n 's/^FROM \(gcr.io.*\)$/\1/p' "$repository/Dockerfile.gate")
work=$(mktemp -d -p "$out")
export DOCKER_BUILDKIT=0
docker() { DOCKER_HOST=unix://$work/docker.sock command docker "$@"; }

daemon=
end() {
    set +e
    if [ -n "$daemon" ]; then
        # The first process of its PID namespace: `unshare` ends when all that was in there has ended.
        child=$(cat "/proc/$daemon/task/$daemon/children" 2> /dev/null)
        kill -KILL ${child:-$daemon} 2> /dev/null
        wait "$daemon" 2> /dev/null
    fi
    find /sys/fs/cgroup -depth -type d -path '*/penstock-dockerfiles*' -exec rmdir {} + 2> /dev/null
    rm -rf "$work"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

# Has the compiler where the official image has it, and who is trusted here.
root=$work/rust
unshare --mount debootstrap --variant=minbase --include=ca-certificates,g++,make,git,curl bookworm "$root" > "$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
mkdir -p "$root/usr/local/cargo/bin" "$root/usr/local/rustup/toolchains"
cp -aL "$sysroot" "$root/usr/local/rustup/toolchains/stand-in"
for program in cargo rustc rustdoc; do
    ln -s "../../rustup/toolchains/stand-in/bin/$program" "$root/usr/local/cargo/bin/$program"
done
cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$root/usr/local/cargo/" 2> /dev/null || true
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
# What distroless/cc has (github.com/GoogleContainerTools/distroless).
chroot "$root" sh -c 'mkdir /debs && cd /debs && apt-get update && apt-get -o APT::Sandbox::User=root download \
    base-files netbase tzdata libc6 libssl3 libgcc-s1 libgomp1 libstdc++6' > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
mkdir -p "$work/cc"
for package in "$root"/debs/*.deb; do dpkg-deb -x "$package" "$work/cc"; done
rm -rf "$root/debs" "$root/dev" "$work/cc/usr/share/doc" "$work/cc/usr/share/locale"
mkdir -p "$root/dev" "$work/cc/etc/ssl/certs" "$work/cc/home/nonroot" "$work/cc/tmp"
cp /etc/ssl/certs/ca-certificates.crt "$work/cc/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > "$work/cc/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$work/cc/etc/group"
chmod 1777 "$work/cc/tmp"

unshare --mount --pid --fork --kill-child --mount-proc sh -euc "
    mount -t tmpfs none /run
    mkdir -p /run/lock
    exec dockerd --data-root $work/data --exec-root $work/exec --pidfile $work/docker.pid -H unix://$work/docker.sock \
        --bridge=none --iptables=false --ip6tables=false --cgroup-parent /penstock-dockerfiles
" > "$work/dockerd.log" 2>&1 &
daemon=$!
tries=0
until docker info > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] && kill -0 "$daemon" 2> /dev/null || { tail -n 20 "$work/dockerd.log" >&2; exit 1; }
    sleep 0.5
done
tar --create --directory "$root" . | docker import --change 'ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change "ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup RUST_VERSION=${compiler%%-*}" - "$toolchain" > /dev/null
tar --create --directory "$work/cc" . | docker import --change 'USER 65532' --change 'WORKDIR /home/nonroot' \
    --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' - "$runtime" > /dev/null
# What both are built from is the same to the file, so that the second finds the binaries that the first one made.
mkdir "$work/sources"
git -C "$repository" archive "$commit" | tar --extract --directory "$work/sources"
for image in gate:gate worker:storage-worker; do
    name=penstock/${image#*:}:$version
    docker build --network host --file "$work/sources/Dockerfile.${image%:*}" --build-arg "COMMIT=$commit" \
        --build-arg "VERSION=$version" --tag "$name" "$work/sources" >&2
    docker run --rm --network none --read-only "$name" --version
    bytes=$(docker image inspect --format '{{.Size}}' "$name")
    echo "$name  $bytes bytes"
    [ "$bytes" -le 60000000 ] || { echo "$name has more than 60 MB" >&2; exit 1; }
    docker save "$name" | command docker load > /dev/null
done
