#!/usr/bin/env bash
# Takes firmware.sh through its way on arm64 itself, as far as that goes on
# amd64: uname says aarch64, gcc is the one for arm64, and qemu runs what comes
# out. Go stays the one of this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=build/native
rm -rf "$out"
mkdir -p "$out/path"
cat >"$out/path/uname" <<'END'
#!/bin/sh
case $* in -m) echo aarch64 ;; *) exec /usr/bin/uname "$@" ;; esac
END
cat >"$out/path/gcc" <<END
#!/bin/sh
: >"$PWD/$out/asked"
exec aarch64-linux-gnu-gcc "\$@"
END
chmod +x "$out/path/uname" "$out/path/gcc"
env -u CC PATH="$PWD/$out/path:$PATH" tools/setup/firmware.sh rpi4 native "$out"
[ -f "$out/asked" ] || { echo "native.sh: firmware.sh did not ask this machine's gcc" >&2; exit 1; }
said=$(qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$PWD/$out" "$out/miend" --version)
[ "$said" = "miend native" ] || { echo "native.sh: the firmware says $said" >&2; exit 1; }
rm -rf "$out"
echo "firmware.sh on arm64 itself: $said"
