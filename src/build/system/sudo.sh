#!/bin/sh
# Stands for sudo in builds: scripts that were written for another machine call it, and nothing here needs it. Runs the
# command as the user that the build runs as.
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -u | -g | -h | -p | -C | -D | -R | -r | -t | -T | -U | --user | --group | --host | --prompt | --chdir | --chroot)
      shift; [ $# -eq 0 ] || shift ;;
    -*) shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || exit 0
exec env "$@"
