#!/bin/sh
# A Docker engine and base images for tests. Every command may be repeated.
#
#   docker.sh start DIR   finds an engine that answers already (DOCKER_HOST, then /var/run/docker.sock), else starts one
#                         with all its state under DIR; prints lines for `eval`: DOCKER_HOST, and TOWPATH_TEST_ENGINE,
#                         `started` where this call started it and whoever called should stop it, else `found`
#   docker.sh restart DIR ends and starts the engine that `start` started (to test what survives it)
#   docker.sh stop DIR    ends the engine that `start` started, and nothing else
#   docker.sh image DIR   makes sure that the base image of tests exists, with Python and Node (tarball kept in DIR)
#   docker.sh systemd DIR makes sure that the image exists on which systemd runs
#   docker.sh env DIR     start, then image; prints start's lines and TOWPATH_TEST_IMAGE (what `make test` evaluates)
#
# Exit codes: 0 done; 1 failed; 3 there is no Docker engine to be had here, and the last line says why.
set -eu

# The number after the dash counts up when what is in it changes.
IMAGE=towpath-test/python:3.11-2
SYSTEMD=towpath-test/systemd:252-1
say() { printf 'docker.sh: %s\n' "$*" >&2; }
skip() { say "$*"; exit 3; }

[ $# -eq 2 ] || { say "usage: docker.sh start|restart|stop|image|systemd|env DIR"; exit 1; }
mkdir -p "$2"
DIR=$(cd "$2" && pwd)
# One at a time: tests run in processes of their own.
exec 9>"$DIR/lock"
flock 9
SOCKET=$DIR/docker.sock
# A Unix socket's path has at most 107 bytes; deep directories get a short one beside their name.
[ ${#SOCKET} -le 100 ] || SOCKET=/tmp/towpath-test-docker-$(printf %s "$DIR" | cksum | cut -d' ' -f1).sock
PIDFILE=$DIR/dockerd.pid
TARBALL=$DIR/base-2.tar

answers() { curl --silent --max-time 5 --unix-socket "$1" http://docker/_ping 2>/dev/null | grep -q OK; }

# The socket of the engine in use, or nothing.
engine() {
    case ${DOCKER_HOST:-} in
    unix://*) answers "${DOCKER_HOST#unix://}" && { echo "${DOCKER_HOST#unix://}"; return; } ;;
    esac
    for socket in /var/run/docker.sock "$SOCKET"; do
        answers "$socket" && { echo "$socket"; return; }
    done
    return 0
}

install() {
    missing=
    for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || skip "not found:$missing; install docker.io and debootstrap, or run as root"
    command -v apt-get >/dev/null 2>&1 || skip "not found:$missing, and there is no apt-get to install them with"
    say "installing docker.io and debootstrap for$missing"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        docker.io debootstrap iptables curl; } >"$DIR/apt.log" 2>&1 || skip "apt-get failed; see $DIR/apt.log"
}

launch() {
    # The bridge's addresses stay away from Docker's defaults, so that a second engine on the host does not clash.
    # A session of its own: Ctrl-C in the terminal is for what uses the engine, which needs it to end in order.
    nohup setsid dockerd --data-root "$DIR/data" --exec-root "$DIR/exec" --pidfile "$PIDFILE" --host "unix://$SOCKET" \
        --group root --bip 10.250.0.1/24 --default-address-pool base=10.251.0.0/16,size=24 \
        >>"$DIR/dockerd.log" 2>&1 </dev/null 9>&- &
    pid=$!
    waited=0
    until answers "$SOCKET"; do
        kill -0 "$pid" 2>/dev/null || skip "dockerd ended: $(tail -n 1 "$DIR/dockerd.log")"
        [ "$waited" -lt 60 ] || skip "dockerd did not answer within 60 s; see $DIR/dockerd.log"
        sleep 1
        waited=$((waited + 1))
    done
}

print() {
    # The socket's path has no quote: DIR is ours.
    printf "export DOCKER_HOST='unix://%s'\nexport TOWPATH_TEST_ENGINE=%s\n" "$1" "$2"
}

start() {
    found=$(engine)
    how=found
    if [ -z "$found" ]; then
        install dockerd curl
        [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and only root can start one"
        say "starting a Docker engine under $DIR"
        launch
        found=$SOCKET
        how=started
    fi
    print "$found" "$how"
}

stop() {
    [ -s "$PIDFILE" ] || return 0
    pid=$(cat "$PIDFILE")
    # The number may be another process' by now.
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "--pidfile $PIDFILE" || { rm -f "$PIDFILE"; return 0; }
    kill "$pid"
    waited=0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$waited" -lt 30 ] || { say "dockerd ($pid) does not end"; exit 1; }
        sleep 1
        waited=$((waited + 1))
    done
}

# A Debian with Python, Node and what App Runner's images have besides, imported flat: no image registry is needed. The
# host's extra authorities go along, so that pip and npm work where the way out is a proxy with a certificate of its own.
# For tests only. npm comes as its own package: Debian's has four hundred others.
tarball() {
    [ -s "$TARBALL" ] && return 0
    install debootstrap npm
    [ "$(id -u)" = 0 ] || skip "debootstrap needs root"
    root=$DIR/root.$$
    say "making $TARBALL"
    tools=build-essential,git,curl,wget,ca-certificates
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,nodejs,$tools \
        bookworm "$root" >"$DIR/debootstrap.log" 2>&1 || { rm -rf "$root"; skip "debootstrap failed; see $DIR/debootstrap.log"; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    modules=$root/usr/local/lib/node_modules
    mkdir -p "$modules"
    (cd "$modules" && npm pack --silent npm@10 >/dev/null && tar -xzf npm-*.tgz && rm npm-*.tgz && mv package npm) ||
        { rm -rf "$root"; skip "npm could not be fetched"; }
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
    ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
    if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
        cp -r /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null || true
        printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$root/etc/pip.conf"
        mkdir -p "$root/usr/local/etc"
        printf 'cafile=/etc/ssl/certs/ca-certificates.crt\n' >"$root/usr/local/etc/npmrc"
    fi
    tar --numeric-owner --exclude=./dev -C "$root" -cf "$TARBALL.part" .
    mv "$TARBALL.part" "$TARBALL"
    rm -rf "$root"
}

image() {
    socket=$(engine)
    [ -n "$socket" ] || skip "no Docker engine answers; run \`docker.sh start\` first"
    code=$(curl --silent --max-time 20 -o /dev/null -w '%{http_code}' --unix-socket "$socket" "http://docker/images/$IMAGE/json")
    [ "$code" = 200 ] && return 0
    tarball
    # The Engine API itself, so that no docker command is needed. Not every tool asks the system for its authorities.
    changes=
    for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
        changes="$changes&changes=ENV%20$name%3D/etc/ssl/certs/ca-certificates.crt"
    done
    answer=$(curl --silent --max-time 300 --unix-socket "$socket" -H 'Content-Type: application/x-tar' \
        -T "$TARBALL" -X POST "http://docker/images/create?fromSrc=-&repo=${IMAGE%:*}&tag=${IMAGE#*:}$changes")
    case $answer in
    *sha256:*) ;;
    *) say "import failed: $answer"; exit 1 ;;
    esac
    # Podman does not read the tag there.
    id=$(printf %s "$answer" | grep -o 'sha256:[0-9a-f]*' | head -n 1)
    curl --silent --max-time 20 -o /dev/null --unix-socket "$socket" \
        -X POST "http://docker/images/$id/tag?repo=${IMAGE%:*}&tag=${IMAGE#*:}"
}

# The base image with systemd, built by the engine itself.
systemd() {
    socket=$(engine)
    [ -n "$socket" ] || skip "no Docker engine answers; run \`docker.sh start\` first"
    image
    there() { curl --silent --max-time 20 -o /dev/null -w '%{http_code}' --unix-socket "$socket" "http://docker/images/$SYSTEMD/json"; }
    [ "$(there)" = 200 ] && return 0
    context=$DIR/systemd.$$
    mkdir -p "$context"
    printf 'FROM %s\nRUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
systemd systemd-sysv dbus nftables libssl3 && rm -rf /var/lib/apt/lists/*\n' "$IMAGE" >"$context/Dockerfile"
    answer=$(tar -C "$context" -cf - Dockerfile | curl --silent --max-time 600 --unix-socket "$socket" \
        -H 'Content-Type: application/x-tar' -T - -X POST "http://docker/build?t=$SYSTEMD&rm=1" | tail -n 3)
    rm -rf "$context"
    [ "$(there)" = 200 ] || skip "the image with systemd could not be built: $answer"
}

case $1 in
start) start ;;
stop) stop ;;
restart) [ -s "$PIDFILE" ] || { say "no engine was started under $DIR"; exit 1; }; stop; launch; print "$SOCKET" started ;;
image) image ;;
systemd) systemd ;;
env)
    lines=$(start)
    eval "$lines"
    image
    printf '%s\nexport TOWPATH_TEST_IMAGE=%s\n' "$lines" "$IMAGE"
    ;;
*) say "unknown command: $1"; exit 1 ;;
esac
