#!/usr/bin/env bash
# Says in a sentence when Go is missing or older than go.mod asks for. Go 1.21
# and later fetch what go.mod asks for themselves, unless GOTOOLCHAIN=local.
set -euo pipefail
cd "${0%/*}/../.." # no dirname: make demo asks for nothing but what LEAN lists

while read -r word rest; do [ "$word" != go ] || want=$rest; done <go.mod
how="get it from go.dev/dl, or any Go from 1.21 on, which fetches that one itself"
command -v go >/dev/null || { echo "go.sh: Go is missing; mien wants Go $want or later: $how" >&2; exit 1; }
# An old Go cannot read go.mod and says so in riddles; then it is asked outside.
have=$(go env GOVERSION 2>/dev/null) || have=$(cd / && go version | cut -d' ' -f3)
have=${have#go}

# VERSION -> a number that compares; a missing part is 0.
number() { local IFS=.; set -- ${1%%[a-z-]*}; echo $(($1 * 1000000 + ${2:-0} * 1000 + ${3:-0})); }

if [ "$(number "$have")" -lt "$(number "$want")" ]; then
    echo "go.sh: Go $have is too old; mien wants Go $want or later: $how" >&2
    exit 1
fi
