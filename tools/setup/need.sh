#!/usr/bin/env bash
# Makes sure that programs are there: need.sh PROGRAM:PACKAGE ...
#
# PROGRAM is a command, or a path when it starts with a slash; PACKAGE is the
# Debian package that brings it. What is missing is installed when we are
# root; otherwise the command to run is printed and the exit status is 1.
set -euo pipefail

missing=()
for need in "$@"; do
    program=${need%%:*} package=${need#*:}
    case $program in
    /*) [ -e "$program" ] || missing+=("$package") ;;
    *) command -v "$program" >/dev/null || missing+=("$package") ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "need.sh: missing programs; install them with: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
