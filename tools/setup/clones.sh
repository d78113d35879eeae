#!/usr/bin/env bash
# Proves that a build does not depend on its folder: clones the commit twice,
# once into a folder with a space, builds programs and a package in both, and
# compares the bytes. Then make install is tried in the latter.
set -euo pipefail
cd "$(dirname "$0")/../.."
BOARD=rpi3

rm -rf build/clones
mkdir -p build/clones
for name in one "an other"; do
    clone="build/clones/$name"
    git clone -q . "$clone"
    mkdir "$clone/build"
    cp -r build/tflite "$clone/build/"
    [ ! -d build/zig ] || cp -r build/zig "$clone/build/"
    make --no-print-directory -C "$clone" all deb BOARD=$BOARD >"$clone/build/log" 2>&1 || { cat "$clone/build/log" >&2; exit 1; }
done
cd build/clones
for file in bin/mien bin/miend "build/$BOARD/miend" "$(cd one && echo build/$BOARD/mien_*.deb)"; do
    cmp "one/$file" "an other/$file"
    echo "the same from two folders: $file"
done

cd "an other"
make --no-print-directory install DESTDIR="$PWD/root" PREFIX=/usr >build/log 2>&1 || { cat build/log >&2; exit 1; }
mv build/tflite build/away # the library has to be found where it was installed
root/usr/bin/mien --version
gzip -dc root/usr/share/man/man1/mien.1.gz | grep '^.SH EXAMPLES' >/dev/null
bash -n root/usr/share/bash-completion/completions/mien
cd ..
rm -rf one "an other"
