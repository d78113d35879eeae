#!/usr/bin/env bash
# Makes build/BOARD/mien_VERSION_ARCH.deb, and its bill of materials .spdx.json,
# from what make firmware built.
set -euo pipefail
cd "$(dirname "$0")/../.."
board=$1
arch=$(jq -er .arch "boards/$board.json")

# A version that Debian sorts: the tag, or 0.1.0 before there is one, then how
# far the commit is from it.
commit=$(git rev-parse --short=9 HEAD 2>/dev/null || echo none)
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null); then
    version=${tag#v}
else
    version=0.1.0~git$(date -u -d "@$epoch" +%Y%m%d%H%M).$commit
fi
out=build/$board/mien_${version}_$arch.deb
rm -f "build/$board"/mien_*.deb "build/$board"/mien_*.spdx.json
CGO_ENABLED=0 GOFLAGS=-buildvcs=false go run -modfile=boards/deb/nfpm.mod boards/deb/mkdeb.go "$board" "$version" "$epoch" "$out"
echo "$out"
