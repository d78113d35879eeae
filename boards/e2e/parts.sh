#!/usr/bin/env bash
# Fetches what the virtual board boots: Debian's own arm64 kernel, into
# build/e2e/parts. The current one, for point releases drop the older ones.
# apt runs on a state of its own, so this machine's packages and architectures
# stay as they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
dest=build/e2e/parts
[ -f "$dest/complete" ] && exit 0

mkdir -p build/e2e
tmp=$(mktemp -d "$PWD/build/e2e/parts.XXXXXX")
chmod 755 "$tmp"
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{state/lists/partial,cache/archives/partial,sources,new}
: >"$tmp/status"

# This machine's own Debian mirrors; the project's when it has none.
. /etc/os-release
key=/usr/share/keyrings/debian-archive-keyring.gpg
{
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk -v key="$key" '$1 == "Debian" && $2 ~ /^https?:/ { print "deb [arch=arm64 signed-by=" key "] " $2, $3, "main" }' | sort -u
} >"$tmp/sources/debian.list"
if ! [ -s "$tmp/sources/debian.list" ]; then
    [ "$ID" = debian ] || VERSION_CODENAME=bookworm
    echo "deb [arch=arm64 signed-by=$key] http://deb.debian.org/debian $VERSION_CODENAME main" >"$tmp/sources/debian.list"
fi
options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$tmp/state" -o "Dir::State::lists=$tmp/state/lists"
    -o "Dir::State::status=$tmp/status" -o "Dir::Cache=$tmp/cache" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$tmp/sources"
    -o APT::Sandbox::User=)
apt-get "${options[@]}" update
kernel=$(apt-cache "${options[@]}" depends linux-image-arm64 | awk '/Depends:/ { print $2; exit }')
[ -n "$kernel" ] || { echo "parts.sh: linux-image-arm64 depends on no kernel; sources: $(cat "$tmp/sources/debian.list")" >&2; exit 1; }
echo "fetching $kernel for the virtual board" >&2
(cd "$tmp/new" && apt-get "${options[@]}" download "$kernel" && dpkg --fsys-tarfile "$kernel"_*.deb | tar -x --wildcards \
    './boot/vmlinuz-*' './lib/modules/*' './usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb' && rm "$kernel"_*.deb)
echo "$kernel" >"$tmp/new/complete"
rm -rf "$dest"
mv -T "$tmp/new" "$dest"
