# Makes a base image what lines that were written for App Runner expect: `sh` is bash there, there are git, curl, wget,
# tar and a C compiler, and sudo does no harm. $1 is the stand-in for yum, $2 the one for sudo.
set -eu
bin=/usr/local/bin
mkdir -p "$bin"
place() { printf '%s' "$2" >"$bin/$1"; chmod 755 "$bin/$1"; }
has() { command -v "$1" >/dev/null 2>&1; }

bash=$(command -v bash || true)
if [ -n "$bash" ]; then ln -sf "$bash" /bin/sh; fi
has sudo || place sudo "$2"
if has apt-get; then
  for tool in yum dnf microdnf amazon-linux-extras yum-config-manager; do has "$tool" || place "$tool" "$1"; done
fi

missing=
want() { has "$1" || missing="$missing $2"; }
if has apt-get; then compiler=build-essential
elif has apk; then compiler=build-base
else compiler='gcc gcc-c++ make'; fi
want cc "$compiler"
for tool in git curl wget tar; do want "$tool" "$tool"; done
has apt-get && [ ! -e /etc/ssl/certs/ca-certificates.crt ] && missing="$missing ca-certificates"
[ -n "$missing" ] || exit 0

echo "Adding to the base image, once:$missing"
add() {
  # shellcheck disable=SC2086 # several packages
  if has apt-get; then
    DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing && rm -rf /var/lib/apt/lists/*
  elif has apk; then apk add --no-cache $missing
  elif has microdnf; then microdnf install -y $missing
  elif has dnf; then dnf install -y -q $missing
  else yum install -y -q $missing; fi
}
if ! add >/tmp/prepare.log 2>&1; then
  tail -n 5 /tmp/prepare.log
  echo "They could not be added (see above). Builds go on without; use a base image that has them if one fails for it."
fi
rm -f /tmp/prepare.log
