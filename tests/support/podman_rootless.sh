#!/bin/sh
# Podman without root for tests: an ordinary user with a service of his own, in namespaces of their own, so that nothing of this
# machine is seen or changed. The store is kept under a directory. Every command may be repeated.
#
#   podman_rootless.sh run DIR CHECKOUT COMMAND…   runs a command as that user; TOWPATH_TEST_PODMAN names the service's socket
#
# The user's machine is at 198.18.0.1. Out there 203.0.113.1 answers at port 80 for the internet, and 169.254.169.254 for a cloud.
# Exit codes: the command's; 3 there is no such Podman to be had here, and the last line says why.
set -eu

say() { printf 'podman_rootless.sh: %s\n' "$*" >&2; }
skip() { say "$*"; exit 3; }

USER_ID=64100
HERE=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 4 ] || { say "usage: podman_rootless.sh run DIR CHECKOUT COMMAND…"; exit 1; }
WHAT=$1
mkdir -p "$2"
DIR=$(cd "$2" && pwd)
CHECKOUT=$3
shift 3
# Podman remembers where its store is, and paths of sockets are short.
PLACE=/tmp/towpath-user-$(printf %s "$DIR" | cksum | cut -d' ' -f1)

check() {
    [ "$(id -u)" = 0 ] || skip "an ordinary user with namespaces of his own is made by root only"
    for tool in podman slirp4netns newuidmap nft ip setpriv unshare flock; do
        command -v "$tool" >/dev/null 2>&1 || skip "not found: $tool; \`scripts/install-missing test\` installs it"
    done
    [ -c /dev/net/tun ] || skip "there is no /dev/net/tun, which slirp4netns needs"
    unshare --mount --pid --fork --net true 2>/dev/null || skip "namespaces cannot be made here"
    unshare --user --map-root-user true 2>/dev/null || skip "user namespaces cannot be made here"
}

# The tarball of the base image needs the network, and what podman.sh leaves besides is used by others.
tarball() {
    [ -s "$DIR/../test-docker/base-2.tar" ] || sh "$HERE/podman.sh" image "$DIR/../test-podman" || exit $?
}

# Lets the user through to a path without a look at what else is on the way.
open_way() {
    while :; do
        closed=
        way=
        for part in $(printf %s "$1" | tr ' /' '? '); do
            way=$way/$part
            as_user test -x "$way" || { closed=$way; break; }
        done
        [ -n "$closed" ] || return 0
        mkdir -p "$PLACE/held"
        mount --bind "$1" "$PLACE/held"
        mount -t tmpfs -o mode=755 tmpfs "$closed"
        mkdir -p "$1"
        mount --move "$PLACE/held" "$1"
    done
}

as_user() {
    setpriv --reuid "$USER_ID" --regid "$USER_ID" --init-groups --inh-caps=-all env HOME="$PLACE/home" USER=boat \
        XDG_RUNTIME_DIR="$PLACE/run" TMPDIR="$PLACE/tmp" CONTAINERS_CONF="$PLACE/containers.conf" "$@"
}

user() {
    mount -t tmpfs -o mode=755,dev tmpfs "$PLACE"
    # Podman's locks of all stores are there.
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mkdir -p "$DIR/home" "$PLACE/home" "$PLACE/run" "$PLACE/tmp" "$PLACE/etc" "$PLACE/work"
    mount --bind "$DIR/home" "$PLACE/home"
    mkdir -p "$PLACE/home/.config/containers"
    printf '[storage]\ndriver="overlay"\n' >"$PLACE/home/.config/containers/storage.conf"
    chown "$USER_ID:$USER_ID" "$PLACE/home" "$PLACE/home/.config" "$PLACE/home/.config/containers" "$PLACE/run" "$PLACE/tmp"
    chmod 700 "$PLACE/run"
    mount -t overlay -o "lowerdir=/etc,upperdir=$PLACE/etc,workdir=$PLACE/work" overlay /etc
    echo "boat:x:$USER_ID:$USER_ID::$PLACE/home:/bin/sh" >>/etc/passwd
    echo "boat:x:$USER_ID:" >>/etc/group
    for file in subuid subgid; do echo 'boat:10000000:65536' >>/etc/$file; done
    # On desktops everyone may open it; the machine's own stays as it is.
    mknod -m 666 "$PLACE/tun" c 10 200
    mount --bind "$PLACE/tun" /dev/net/tun
}

configure() {
    # crun has no word for control groups of both versions at once; limits are no higher than this machine's own.
    runtime=
    [ -e /sys/fs/cgroup/cgroup.controllers ] || runtime='runtime="runc"'
    limit=$(sh -c 'ulimit -H -n')
    [ "$limit" != unlimited ] && [ "$limit" -le 1048576 ] || limit=1048576
    cat >"$PLACE/containers.conf" <<CONF
[containers]
default_ulimits=["nofile=$limit:$limit","nproc=4096:4096"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
$runtime
CONF
}

network() {
    ip link set lo up
    unshare --net sh -c 'exec 9>&-; until [ -e "$0/ready" ]; do sleep 0.05; done
        exec python3 -m http.server 80 --bind 0.0.0.0 --directory /nonexistent' "$PLACE" >/dev/null 2>&1 &
    there=$!
    # It has left for its namespace when it is another one.
    until [ "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
    ip link add out type veth peer name in netns "$there"
    ip addr add 198.18.0.1/30 dev out
    ip link set out up
    ip route add default via 198.18.0.2
    nsenter --net="/proc/$there/ns/net" sh -ec 'ip link set lo up; ip addr add 198.18.0.2/30 dev in; ip link set in up
        ip addr add 203.0.113.1/32 dev lo; ip addr add 169.254.169.254/32 dev lo; ip route add default via 198.18.0.1'
    touch "$PLACE/ready"
}

serve() {
    # What a run that was killed left goes first.
    for what in 'pod rm --all --force' 'rm --all --force' 'network prune --force'; do
        as_user podman $what >>"$DIR/service.log" 2>&1 || true
    done
    as_user podman system service --time=0 "unix://$PLACE/run/podman.sock" >>"$DIR/service.log" 2>&1 9>&- &
    waited=0
    until curl --silent --max-time 5 --unix-socket "$PLACE/run/podman.sock" http://podman/_ping >/dev/null 2>&1; do
        kill -0 $! 2>/dev/null || skip "podman ended: $(tail -n 1 "$DIR/service.log")"
        [ "$waited" -lt 300 ] || skip "podman did not answer within 30 s; see $DIR/service.log"
        sleep 0.1
        waited=$((waited + 1))
    done
    export DOCKER_HOST="unix://$PLACE/run/podman.sock"
    sh "$HERE/docker.sh" image "$DIR/../test-docker" || exit $?
}

case $WHAT in
run)
    check
    # One at a time: there is one store.
    exec 9>"$DIR/lock"
    flock 9
    tarball
    mkdir -p "$PLACE"
    # All processes end with the first one of their namespace.
    code=0
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc --net \
        sh "$0" inside "$DIR" "$CHECKOUT" "$@" || code=$?
    rmdir "$PLACE" 2>/dev/null || true
    exit "$code"
    ;;
inside)
    : >"$DIR/service.log"
    user
    configure
    network
    open_way "$CHECKOUT"
    open_way "$(dirname "$1")"
    serve
    cd "$PLACE"
    as_user env -u DOCKER_HOST PATH="$PATH:/usr/sbin:/sbin" TOWPATH_TEST_PODMAN="unix://$PLACE/run/podman.sock" "$@" || exit $?
    ;;
*) say "unknown command: $WHAT"; exit 1 ;;
esac
