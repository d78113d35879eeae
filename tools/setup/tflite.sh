#!/usr/bin/env bash
# Fetches the TensorFlow Lite C library and its headers into build/tflite:
#
#   build/tflite/include       headers, with the one that the package lacks
#   build/tflite/linux_amd64   libtensorflowlite_c.so (2.9.0, XNNPACK inside)
#   build/tflite/linux_arm64   the same for the boards
#
# Does nothing when they are there and have the right hashes. A folder appears
# whole or not at all, so an interrupted run leaves nothing half done.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=tfjs-tflite-node@0.0.2
tarball=3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284
dest=build/tflite
own=runtime/tflite/include/tensorflow/lite/c/c_api_experimental.h
hashes="dc89b4cd86d956516570bd483668e6dd98907f49901d0567dedc69a29a56b7f7  linux_amd64/libtensorflowlite_c.so
ec0dee4fb3418e680d010248ac1e304d9656cc5c8de54caaf91d666712e2f633  linux_arm64/libtensorflowlite_c.so"

intact() { # DIR: is everything there, with the right content?
    [ -d "$1" ] && (cd "$1" && sha256sum --check --status - <<<"$hashes" 2>/dev/null) &&
        cmp -s "$own" "$1/include/tensorflow/lite/c/c_api_experimental.h" &&
        [ -f "$1/include/tensorflow/lite/c/c_api.h" ]
}

intact "$dest" && exit 0
command -v npm >/dev/null || { echo "tflite.sh: npm is missing: apt-get install npm" >&2; exit 1; }

mkdir -p build
tmp=$(mktemp -d build/tflite.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
echo "fetching the TensorFlow Lite library ($package)" >&2
(cd "$tmp" && npm pack --silent "$package" >/dev/null)
tgz=$tmp/tfjs-tflite-node-0.0.2.tgz
if ! sha256sum --check --status - <<<"$tarball  $tgz"; then
    echo "tflite.sh: $package has SHA-256 $(sha256sum <"$tgz" | cut -d' ' -f1), want $tarball: the registry serves something else; not used" >&2
    exit 1
fi
mkdir "$tmp/new"
tar -xzf "$tgz" -C "$tmp/new" --strip-components=2 --no-same-owner \
    package/cc_deps/include package/cc_deps/linux_amd64/libtensorflowlite_c.so package/cc_deps/linux_arm64/libtensorflowlite_c.so
cp "$own" "$tmp/new/include/tensorflow/lite/c/"
chmod -R u=rwX,go=rX "$tmp/new"
intact "$tmp/new" || { echo "tflite.sh: $package: the libraries inside have other SHA-256 sums than expected; not used" >&2; exit 1; }
[ ! -e "$dest" ] || mv "$dest" "$tmp/old"
mv -T "$tmp/new" "$dest"
