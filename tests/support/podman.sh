#!/bin/sh
# Podman for tests, with all its state under a directory of its own: it sees nothing of this machine's containers, networks and
# images, nor do others see its own. Every command may be repeated.
#
#   podman.sh image DIR         makes sure that the store under DIR has the base image of tests (see docker.sh)
#   podman.sh serve DIR SOCKET  becomes a service of that store on that socket; with a third argument, of a store of its own in
#                               that directory, which has the other's images
#
# Exit codes: 0 done; 1 failed; 3 there is no Podman to be had here, and the last line says why.
set -eu

say() { printf 'podman.sh: %s\n' "$*" >&2; }
skip() { say "$*"; exit 3; }

[ $# -ge 2 ] || { say "usage: podman.sh image DIR | serve DIR SOCKET [STORE]"; exit 1; }
command -v podman >/dev/null 2>&1 || skip "not found: podman; \`scripts/install-missing test\` installs it"
[ "$(id -u)" = 0 ] || skip "these tests are of Podman as root"
mkdir -p "$2"
DIR=$(cd "$2" && pwd)
HERE=$(cd "$(dirname "$0")" && pwd)

# configure STORE
configure() {
    # crun has no word for control groups of both versions at once; limits are no higher than this machine's own.
    runtime=
    [ -e /sys/fs/cgroup/cgroup.controllers ] || runtime='runtime="runc"'
    limit=$(sh -c 'ulimit -H -n')
    [ "$limit" != unlimited ] && [ "$limit" -le 1048576 ] || limit=1048576
    cat >"$1/containers.conf.$$" <<END
[containers]
default_ulimits=["nofile=$limit:$limit","nproc=32768:32768"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
$runtime
[network]
network_config_dir="$1/networks"
END
    mv "$1/containers.conf.$$" "$1/containers.conf"
}

# serve SOCKET [STORE]
serve() {
    store=${2:-$DIR}
    configure "$store"
    export CONTAINERS_CONF="$store/containers.conf" TMPDIR="$store/scratch"
    mkdir -p "$TMPDIR"
    [ ! -e "$store/registries.conf" ] || export CONTAINERS_REGISTRIES_CONF="$store/registries.conf"
    set -- "unix://$1" --root "$store/root" --runroot "$store/run" --tmpdir "$store/tmp"
    [ "$store" = "$DIR" ] || set -- "$@" --storage-opt "overlay.imagestore=$DIR/root"
    socket=$1
    shift
    # Monitors of containers that ran out of memory leave a file `oom` where the service is.
    cd "$store"
    exec podman "$@" system service --time=0 "$socket"
}

image() {
    # One at a time: tests run in processes of their own.
    exec 9>"$DIR/lock"
    flock 9
    [ ! -e "$DIR/has-image" ] || return 0
    sockets=$(mktemp -d)
    sh "$0" serve "$DIR" "$sockets/podman.sock" >"$DIR/service.log" 2>&1 9>&- &
    pid=$!
    trap 'kill $pid 2>/dev/null; rm -rf "$sockets"' EXIT
    waited=0
    until curl --silent --max-time 5 --unix-socket "$sockets/podman.sock" http://podman/_ping >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || skip "podman ended: $(tail -n 1 "$DIR/service.log")"
        [ "$waited" -lt 60 ] || skip "podman did not answer within 60 s; see $DIR/service.log"
        sleep 1
        waited=$((waited + 1))
    done
    DOCKER_HOST=unix://$sockets/podman.sock sh "$HERE/docker.sh" image "$DIR/../test-docker" || exit $?
    touch "$DIR/has-image"
}

case $1 in
image) image ;;
serve) serve "$3" "${4:-}" ;;
*) say "unknown command: $1"; exit 1 ;;
esac
