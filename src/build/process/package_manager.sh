#!/bin/sh
# Stands in the PATH of builds for the host's package managers. The process engine installs no system packages: a build
# runs unprivileged beside others, and a package would change the machine for everyone. What is there is not installed
# again; what is missing fails here, with the name, rather than later without it.
tool=${0##*/}
verb= missing=
for word in "$@"; do
  case $word in
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word
       elif command -v -- "$word" >/dev/null 2>&1; then echo "$tool: $word is on this host already"
       else missing="$missing $word"
       fi ;;
  esac
done
case $verb in
  install | add) [ -n "$missing" ] || exit 0 ;;
  update | upgrade | check-update | makecache | clean | autoremove)
    echo "$tool: skipped, system packages of this host are its owner's" >&2
    exit 0 ;;
  *) missing=" (for '$*')" ;;
esac
echo "$tool: the process engine installs no system packages; missing on this host:$missing" >&2
echo "$tool: install them on the host and take this line out, or use the Docker engine (--engine docker)" >&2
exit 1
