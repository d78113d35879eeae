#!/usr/bin/env bash
# Builds the firmware for one board: firmware.sh BOARD VERSION [DIR] leaves
# DIR/miend and the TensorFlow Lite library beside it, by default in build/BOARD.
set -euo pipefail
cd "$(dirname "$0")/../.."
board=$1 version=$2
out=${3:-build/$board}
arch=$(jq -er .arch "boards/$board.json")
tags=tflite,board
[ "$(jq -r '.delegate // ""' "boards/$board.json")" != edgetpu ] || tags+=,edgetpu

case $arch in
arm64)
    # On arm64 itself its own compiler serves, for systems as new as this one:
    # the pinned one is to be had for amd64 only. The package says which glibc
    # its program needs.
    if [ "$(uname -m)" = aarch64 ]; then
        tools/setup/need.sh gcc:gcc
    else
        tools/setup/zig.sh
        export CC="'$PWD/build/zig/cc'" # quoted as the go command reads it
    fi
    ;;
amd64) ;;
*) echo "firmware.sh: boards/$board.json: arch $arch has no TensorFlow Lite library" >&2; exit 1 ;;
esac
mkdir -p "$out"
CGO_ENABLED=1 GOOS=linux GOARCH=$arch CGO_CFLAGS="-O2 '-I$PWD/build/tflite/include'" \
    go build -tags "$tags" -buildvcs=false -buildmode=pie -trimpath \
    -ldflags "-s -w -buildid= -X main.stamped=$version -extldflags '-Wl,-s -Wl,-z,relro -Wl,-z,now'" -o "$out/miend" ./device/cmd/miend
cp "build/tflite/linux_$arch/libtensorflowlite_c.so" "$out/"
ls -l "$out/miend"
