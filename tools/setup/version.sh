#!/usr/bin/env bash
# Prints the version of this commit as Debian sorts it: that of its tag
# (v0.2.0 is 0.2.0); behind a tag how far (0.2.0+git7.4fb299f2e); before there is
# any, when it was (0.1.0~git202611282042.4fb299f2e).
set -euo pipefail
cd "$(dirname "$0")/../.."
commit=$(git rev-parse --short=9 HEAD 2>/dev/null || echo none)
if tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
    far=$(git rev-list --count "$tag..HEAD")
    [ "$far" = 0 ] && echo "${tag#v}" || echo "${tag#v}+git$far.$commit"
else
    echo "0.1.0~git$(date -u -d "@$(git log -1 --format=%ct 2>/dev/null || echo 0)" +%Y%m%d%H%M).$commit"
fi
