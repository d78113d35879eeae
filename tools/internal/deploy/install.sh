# Runs on the board, as one piece: install PACKAGE, see whether the firmware
# comes up, stays up and reads as it did before, and go back to what was there
# when it does not.
#
#   sh -s PACKAGE SHA256 SECONDS
#
# It goes on when the connection is lost: all of it is read before any of it
# runs, and what it prints goes to a file until the end.
set -u
trap '' HUP PIPE
kept=/var/cache/mien
say() { echo "board: $*"; }

status() { systemctl show -p StatusText --value miend.service 2>/dev/null; }

healthy() { # is it up, does it stay up without restarts, do frames flow as before?
    restarts=$(systemctl show -p NRestarts --value miend.service) || return 1
    n=0
    while [ "$n" -lt "$seconds" ]; do
        sleep 1
        n=$((n + 1))
        systemctl is-active --quiet miend.service || return 1
        [ "$(systemctl show -p NRestarts --value miend.service)" = "$restarts" ] || return 1
    done
    [ "$flowing" = "frames flow" ] || return 0
    while [ "$(status)" != "frames flow" ]; do # told every few seconds
        [ "$n" -lt "$((seconds + 15))" ] || { say "frames flowed before; now: $(status)"; return 1; }
        sleep 1
        n=$((n + 1))
    done
}

main() {
    root=
    [ "$(id -u)" = 0 ] || root="sudo -n"
    if ! $root true 2>/dev/null; then
        say "this user may not become root without a password (sudo -n)"
        rm -f "$package"
        return 2
    fi
    if ! echo "$sum  $package" | sha256sum -c - >/dev/null 2>&1; then
        say "the package arrived damaged; nothing is changed"
        rm -f "$package"
        return 3
    fi
    before=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' mien 2>/dev/null || true)
    flowing=$(status)
    $root mkdir -p "$kept"
    if $root dpkg -i "$package" && $root systemctl restart miend.service && healthy; then
        [ ! -f "$kept/current.deb" ] || $root mv -f "$kept/current.deb" "$kept/previous.deb"
        $root mv -f "$package" "$kept/current.deb"
        say "healthy for $seconds s"
        return 0
    fi
    say "the new firmware does not come up healthy:"
    $root journalctl -u miend.service -n 15 --no-pager -o cat 2>/dev/null || true
    rm -f "$package"
    back
}

back() { # to the package that was there
    case $before in
    ii*)
        if [ ! -f "$kept/current.deb" ]; then
            say "there is no package of the version before (${before#ii }) in $kept: it was not installed by mien deploy; install it again"
            return 5
        fi
        if $root dpkg -i --force-downgrade "$kept/current.deb" && $root systemctl restart miend.service && healthy; then
            say "rolled back to ${before#ii }, which is healthy"
            return 4
        fi
        say "rolled back to ${before#ii }, which is not healthy either"
        return 5
        ;;
    *)
        $root dpkg -r mien
        say "removed; there was no version before"
        return 4
        ;;
    esac
}

{
    package=$1 sum=$2 seconds=$3
    told=$(mktemp /tmp/mien-XXXXXX.log)
    main >"$told" 2>&1 </dev/null
    code=$?
    cat "$told" 2>/dev/null
    rm -f "$told"
    exit "$code"
}
