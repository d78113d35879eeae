#!/usr/bin/env bash
# Makes build/BOARD/mien_VERSION_ARCH.deb, and its bill of materials .spdx.json,
# from what make firmware built.
set -euo pipefail
cd "$(dirname "$0")/../.."
board=$1
arch=$(jq -er .arch "boards/$board.json")

epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
version=$(tools/setup/version.sh)
out=build/$board/mien_${version}_$arch.deb
rm -f "build/$board"/mien_*.deb "build/$board"/mien_*.spdx.json
CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' go run -modfile=boards/deb/nfpm.mod boards/deb/mkdeb.go \
    "build/$board" "$arch" "$(jq -er .title "boards/$board.json")" "$version" "$epoch" "$out"
echo "$out"
