#!/usr/bin/env bash
# Fetches ONNX Runtime for Node.js into build/onnx, to run the ONNX files that
# mien writes by a program that mien's authors did not write. Tests alone use it.
# Does nothing when it is there; it appears whole or not at all.
set -euo pipefail
cd "$(dirname "$0")/../.."

dest=build/onnx
hashes="aca88b04a478f9c09e3f9d80294ae315e4e654ca92e60dda0dec805c4a3b84c5  onnxruntime-node-1.14.0.tgz
b3c49d192bb8b9d872a53e37fd7636f69e3b3cdf26f49fc50390a801b7462a10  onnxruntime-common-1.14.0.tgz"

[ -f "$dest/complete" ] && [ "$(cat "$dest/complete")" = "$hashes" ] && exit 0
command -v npm >/dev/null || { echo "onnx.sh: npm is missing: apt-get install npm" >&2; exit 1; }

mkdir -p build
tmp=$(mktemp -d build/onnx.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
echo "fetching ONNX Runtime for Node.js (onnxruntime-node@1.14.0)" >&2
(cd "$tmp" && npm pack --silent onnxruntime-node@1.14.0 onnxruntime-common@1.14.0 >/dev/null)
(cd "$tmp" && sha256sum --check --quiet - <<<"$hashes") || { echo "onnx.sh: the registry serves something else; not used" >&2; exit 1; }
for name in onnxruntime-node onnxruntime-common; do
    mkdir -p "$tmp/new/node_modules/$name"
    tar -xzf "$tmp/$name-1.14.0.tgz" -C "$tmp/new/node_modules/$name" --strip-components=1 --no-same-owner
done
chmod -R u=rwX,go=rX "$tmp/new"
printf '%s\n' "$hashes" >"$tmp/new/complete"
rm -rf "$dest"
mv -T "$tmp/new" "$dest"
