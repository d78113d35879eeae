#!/bin/sh
# Runs on the board, as root and as one piece. Either it installs PACKAGE, sees
# whether the firmware comes up, stays up and reads as it did before, and goes
# back to what was there when it does not:
#
#   sh -s PACKAGE SHA256 SECONDS
#
# or, at each start of the board, it puts right what was cut short:
#
#   deploy recover
#
# It goes on when the connection is lost: all of it is read before any of it
# runs, and what it prints goes to a file until the end. When the power goes,
# the packages that are kept say how far it came. Each gets its name when all
# of it is on the disk: new.deb is being tried, current.deb proved itself last,
# previous.deb did before that.
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

# put never asks, for nobody is there to answer: a configuration that somebody
# changed stays.
put() { dpkg --force-confold --force-downgrade -i "$1"; }

main() {
    if ! echo "$sum  $package" | sha256sum -c - >/dev/null 2>&1; then
        say "the package arrived damaged; nothing is changed"
        rm -f "$package"
        return 3
    fi
    if ! flock -n 9; then
        say "another installation is under way; nothing is changed"
        rm -f "$package"
        return 3
    fi
    recover
    before=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' mien 2>/dev/null || true)
    flowing=$(status)
    case $before in # other hands may have installed another one since
    ii*) [ "$(dpkg-deb -f "$kept/current.deb" Version 2>/dev/null)" = "${before#ii }" ] || rm -f "$kept/current.deb" ;;
    esac
    if ! cp "$package" "$kept/new.part" || ! sync "$kept/new.part" || ! mv -f "$kept/new.part" "$kept/new.deb" || ! sync "$kept"; then
        say "the package finds no room in $kept; nothing is changed"
        rm -f "$package" "$kept/new.part" "$kept/new.deb"
        return 3
    fi
    rm -f "$package"
    if put "$kept/new.deb" && systemctl restart miend.service && healthy; then
        # At every moment one of the two names is that of the package to go back to.
        [ ! -f "$kept/current.deb" ] || ln -f "$kept/current.deb" "$kept/previous.deb"
        mv -f "$kept/new.deb" "$kept/current.deb"
        sync "$kept"
        say "healthy for $seconds s"
        return 0
    fi
    say "the new firmware does not come up healthy:"
    journalctl -u miend.service -n 15 --no-pager -o cat 2>/dev/null || true
    back
    code=$?
    rm -f "$kept/new.deb"
    return "$code"
}

back() { # to the package that was there
    case $before in
    ii*)
        if [ ! -f "$kept/current.deb" ]; then
            say "there is no package of the version before (${before#ii }) in $kept: it was not installed by mien deploy; install it again"
            return 5
        fi
        if put "$kept/current.deb" && systemctl restart miend.service && healthy; then
            say "rolled back to ${before#ii }, which is healthy"
            return 4
        fi
        say "rolled back to ${before#ii }, which is not healthy either"
        return 5
        ;;
    *)
        dpkg -r mien
        say "removed; there was no version before"
        return 4
        ;;
    esac
}

# recover goes back to the package that proved itself last when a new one was
# being tried, or puts the new one there when that is all there is. An
# installation by other hands is finished as far as dpkg can.
recover() {
    if [ -f "$kept/new.deb" ]; then
        for name in current new; do
            if [ -f "$kept/$name.deb" ] && put "$kept/$name.deb"; then
                rm -f "$kept/new.deb"
                dpkg --force-confold --configure -a # what waited for it, such as the manual's index
                say "an installation was cut short; the $name package is there again"
                return 0
            fi
        done
        say "an installation was cut short, and neither package of $kept can be installed"
        return 1
    fi
    whole && return 0
    say "an installation was cut short"
    dpkg --force-confold --configure -a
    whole || { [ -f "$kept/current.deb" ] && put "$kept/current.deb"; } || {
        say "dpkg cannot finish it: install the package again (mien deploy, or apt install ./mien_...deb)"
        return 1
    }
}

whole() { # is the package there with all that it has, or not there?
    case $(dpkg-query -W -f '${db:Status-Status}' mien 2>/dev/null) in
    '' | installed | not-installed | config-files) return 0 ;;
    *) return 1 ;;
    esac
}

{
    mkdir -p "$kept"
    exec 9>"$kept/lock"
    if [ "$1" = recover ]; then
        flock 9
        recover </dev/null
        exit
    fi
    package=$1 sum=$2 seconds=$3
    told=$(mktemp /tmp/mien-XXXXXX.log)
    main >"$told" 2>&1 </dev/null
    code=$?
    cat "$told" 2>/dev/null
    rm -f "$told"
    exit "$code"
}
