#!/usr/bin/env bash
# Proves that the generated files are what their generators write: runs
# go generate and fails when that changes the working tree.
set -euo pipefail
cd "$(dirname "$0")/../.."

state() { git diff HEAD --stat=200 -- . && git diff HEAD | sha256sum && git ls-files --others --exclude-standard; }

before=$(state)
go generate ./...
after=$(state)
if [ "$before" != "$after" ]; then
    echo "generated.sh: go generate changes the tree; run make generate and commit:" >&2
    diff <(echo "$before") <(echo "$after") >&2 || true
    exit 1
fi
