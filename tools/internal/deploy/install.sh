# Runs on the board, as one piece: install PACKAGE, see whether the firmware
# comes up and stays up, and go back to what was there when it does not. It
# goes on when the connection is lost.
#
#   sh -s PACKAGE SHA256 SECONDS
set -u
trap '' HUP
package=$1 sum=$2 seconds=$3
kept=/var/cache/mien
say() { echo "board: $*"; }

root=
[ "$(id -u)" = 0 ] || root="sudo -n"
if ! $root true 2>/dev/null; then
    say "this user may not become root without a password (sudo -n)"
    rm -f "$package"
    exit 2
fi
if ! echo "$sum  $package" | sha256sum -c - >/dev/null 2>&1; then
    say "the package arrived damaged; nothing is changed"
    rm -f "$package"
    exit 3
fi

before=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' mien 2>/dev/null || true)
$root mkdir -p "$kept"

healthy() { # is it up, and does it stay up without restarts?
    restarts=$(systemctl show -p NRestarts --value miend.service) || return 1
    n=0
    while [ "$n" -lt "$seconds" ]; do
        sleep 1
        n=$((n + 1))
        systemctl is-active --quiet miend.service || return 1
        [ "$(systemctl show -p NRestarts --value miend.service)" = "$restarts" ] || return 1
    done
}

if $root dpkg -i "$package" && $root systemctl restart miend.service && healthy; then
    [ ! -f "$kept/current.deb" ] || $root mv -f "$kept/current.deb" "$kept/previous.deb"
    $root mv -f "$package" "$kept/current.deb"
    say "healthy for $seconds s"
    exit 0
fi

say "the new firmware does not come up healthy:"
$root journalctl -u miend.service -n 15 --no-pager -o cat 2>/dev/null || true
rm -f "$package"
case $before in
ii*)
    if [ ! -f "$kept/current.deb" ]; then
        say "there is no package of the version before (${before#ii }) in $kept: it was not installed by mien deploy; install it again"
        exit 5
    fi
    if $root dpkg -i --force-downgrade "$kept/current.deb" && $root systemctl restart miend.service && healthy; then
        say "rolled back to ${before#ii }, which is healthy"
        exit 4
    fi
    say "rolled back to ${before#ii }, which is not healthy either"
    exit 5
    ;;
*)
    $root dpkg -r mien
    say "removed; there was no version before"
    exit 4
    ;;
esac
