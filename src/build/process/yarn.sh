#!/bin/sh
# Stands in the PATH of Node builds on hosts without yarn, which App Runner's Node runtimes have: the first call installs
# it for this build, and for the instances that run from it, which find it in the same place.
own=$npm_config_prefix/bin/yarn
if [ ! -x "$own" ]; then
  echo "yarn: this host has none; installing it for this build" >&2
  npm install --global --no-audit --loglevel=error yarn@1 >&2 || {
    echo "yarn: could not be installed (see above): install it on the host (npm install --global yarn)" >&2
    exit 127
  }
fi
exec "$own" "$@"
