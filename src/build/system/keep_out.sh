#!/bin/sh
# Stands in the PATH of builds for the host's package managers. The process engine installs no system packages: a build
# runs unprivileged beside others, and a package would change the machine for everyone. What is there is not installed
# again; what is missing fails here, with all names at once, rather than later without it.
tool=${0##*/}
@NAMES@
debian=
command -v dpkg-query >/dev/null 2>&1 && debian=1
# The host's own names of a package.
names() {
  case $tool,$debian in apt*,* | apk,* | *,) echo "$1" ;; *) debian_names "$1" ;; esac
}
installed() {
  if [ -n "$debian" ]; then dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
  elif command -v rpm >/dev/null 2>&1; then rpm -q "$1" >/dev/null 2>&1
  elif command -v apk >/dev/null 2>&1; then apk info -e "$1" >/dev/null 2>&1
  else return 1; fi
}
# Whether a package, or a command of its name, is there.
there() {
  case $1 in
    @[Dd]evelopment* | gcc | gcc-c++ | g++ | build-essential) command -v cc >/dev/null 2>&1 && command -v make >/dev/null 2>&1 && return 0 ;;
    python3*-devel | *-dev | *-devel) ;;
    python3*-pip | python3[0-9]* | python3.[0-9]*) command -v python3 >/dev/null 2>&1 && return 0 ;;
    nodejs*) command -v node >/dev/null 2>&1 && return 0 ;;
    *) command -v -- "$1" >/dev/null 2>&1 && return 0 ;;
  esac
  for name in $(names "$1"); do installed "$name" || return 1; done
}
verb= missing= wanted= grouped= skip=
for word in "$@"; do
  if [ -n "$skip" ]; then skip=; continue; fi
  if takes_a_word "$word"; then skip=1; continue; fi
  case $word in
    -*) continue ;;
    groupinstall) verb=install grouped=1; continue ;;
    group) grouped=1; continue ;;
  esac
  if [ -z "$verb" ]; then verb=$word; continue; fi
  case $tool in amazon-linux-extras) word=${word%%=*} ;; esac
  [ -z "$grouped" ] || word=@$(echo "$word" | tr 'A-Z ' 'a-z-')
  if there "$word"; then echo "$tool: $word is on this host already"
  else missing="$missing $word" wanted="$wanted $(names "$word")"
  fi
done
case $verb in
  install | localinstall | reinstall | add) [ -n "$missing" ] || exit 0 ;;
  update | upgrade | check-update | makecache | clean | autoremove | autoclean | repolist | list | info | search | enable | \
    disable | module | config-manager | remove | erase | purge | '')
    echo "$tool: skipped, system packages of this host are its owner's" >&2
    exit 0 ;;
  *) missing=" (for '$*')" wanted= ;;
esac
echo "$tool: the process engine installs no system packages; missing on this host:$missing" >&2
if [ -n "$wanted" ] && [ -n "$debian" ]; then
  # shellcheck disable=SC2086 # several names on one line
  echo "$tool: as root of this host, run: apt-get install -y" $wanted >&2
fi
echo "$tool: or take this line out if the application does without, or use the Docker engine (--engine docker)" >&2
exit 1
