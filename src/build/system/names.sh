# The Debian packages of an Amazon Linux package: the first line of the list whose pattern fits; `-` needs none.
debian_names() {
  while read -r pattern names; do
    # shellcheck disable=SC2254 # a pattern is meant
    case $1 in $pattern) [ "$names" = - ] || echo "$names"; return ;; esac
  done <<'LIST'
@PACKAGES@
LIST
  # Headers are named by rule.
  case $1 in
    lib*-devel) echo "${1%-devel}-dev" ;;
    *-devel) echo "lib${1%-devel}-dev" ;;
    *) echo "$1" ;;
  esac
}

# Whether the next word belongs to this option.
takes_a_word() {
  case $1 in
    -c | -d | -e | -x | -R | --config | --enablerepo | --disablerepo | --repo | --repoid | --exclude | --setopt | \
      --installroot | --releasever | --disableexcludes | --color | --comment | --forcearch) return 0 ;;
    *) return 1 ;;
  esac
}
