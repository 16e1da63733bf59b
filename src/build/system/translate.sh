#!/bin/sh
# Answers yum, dnf and amazon-linux-extras by apt, in images that towpath builds on a Debian base: files that were
# written for App Runner install Amazon Linux' packages. Yes is assumed, as nobody could be asked.
set -eu
tool=${0##*/}
say() { echo "$tool: $*"; }
@NAMES@
apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@"; }

# The lists of packages, brought once an image.
lists() {
  for list in /var/lib/apt/lists/*_Packages*; do [ -e "$list" ] && return 0; done
  apt update || { say "the lists of packages could not be brought (see above)" >&2; exit 1; }
}

known() { apt-cache show -- "$1" >/dev/null 2>&1; }

# The packages to install for one word; says what it skips.
choose() {
  case $1 in
    *://* | *.rpm)
      say "\`$1\` is a package of Amazon Linux, and this image is Debian: install what it holds another way" >&2
      return 1 ;;
  esac
  # What the runtime brings is newer than Debian's, and earlier in PATH.
  case $1 in
    python3 | nodejs | nodejs[0-9]* | npm | python3-pip | python3[0-9]* | python3.[0-9]* | git | tar | gzip | which)
      case $1 in *-devel) ;; *)
        command=$1
        case $1 in nodejs*) command=node ;; python3*-pip) command=pip3 ;; python3*) command=python3 ;; esac
        if command -v "$command" >/dev/null 2>&1; then say "$1 is in this image already" >&2; return 0; fi ;;
      esac ;;
  esac
  for name in $(debian_names "$1"); do
    if known "$name"; then echo "$name"
    elif known "${name#lib}"; then echo "${name#lib}"
    else
      say "no Debian package is known for \`$1\`; find it on packages.debian.org and write \`apt-get install -y NAME\`" >&2
      return 1
    fi
  done
}

install() {
  [ $# -gt 0 ] || { say "install what?" >&2; exit 1; }
  lists
  chosen='' failed=''
  for word in "$@"; do
    if found=$(choose "$word"); then chosen="$chosen $found"; else failed=1; fi
  done
  [ -z "$failed" ] || exit 1
  # shellcheck disable=SC2086 # several packages
  set -- $chosen
  [ $# -eq 0 ] || { say "apt-get install $*"; apt install --no-install-recommends "$@"; }
}

remove() {
  for word in "$@"; do
    for name in $(debian_names "$word"); do
      if dpkg-query -W "$name" >/dev/null 2>&1; then apt remove "$name"; fi
    done
  done
}

# Options away: none matters here. A group is written @name. Words are kept apart by newlines.
words='' skip='' grouped=''
for word in "$@"; do
  if [ -n "$skip" ]; then skip=''
  elif takes_a_word "$word"; then skip=1
  else
    case $word in
      -*) ;;
      groupinstall) words="${words}install
"; grouped=1 ;;
      group | groups) grouped=1 ;;
      *) case $grouped,$word,$words in 1,*,?*) word="@$(echo "$word" | tr 'A-Z ' 'a-z-')" ;; esac
         words="$words$word
" ;;
    esac
  fi
done
IFS='
'
set -f
# shellcheck disable=SC2086 # one word a line
set -- $words
set +f
unset IFS

verb=${1-}
[ $# -eq 0 ] || shift
if [ "$tool" = amazon-linux-extras ]; then
  case $verb in
    install)
      count=$#
      # `postgresql14=stable`, `epel`, `nginx1`, `python3.8`
      while [ "$count" -gt 0 ]; do
        topic=${1%%=*}
        shift
        case $topic in epel) ;; docker) set -- "$@" docker.io ;; *) set -- "$@" "$topic" ;; esac
        count=$((count - 1))
      done
      [ $# -eq 0 ] || install "$@" ;;
    *) say "nothing to enable: this image is Debian, its packages are all there" ;;
  esac
  exit 0
fi
case $verb in
  install | localinstall | reinstall) install "$@" ;;
  update | upgrade | upgrade-minimal | distro-sync | distribution-synchronization)
    if [ $# -gt 0 ]; then install "$@"; else lists; apt upgrade; fi ;;
  remove | erase) remove "$@" ;;
  autoremove) apt autoremove ;;
  clean) apt-get clean; rm -rf /var/lib/apt/lists/* ;;
  makecache) lists ;;
  check-update | repolist | list | info | search | provides | history | version | module | config-manager | copr | '')
    say "nothing to do for \`$verb\`: this image is Debian" ;;
  *) if [ "$tool" = yum-config-manager ]; then say "nothing to do: this image is Debian"
     else say "\`$verb\` has no counterpart here: this image is Debian; write it with apt-get" >&2; exit 1; fi ;;
esac
