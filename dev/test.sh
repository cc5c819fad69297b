#!/usr/bin/env bash
# All that CI runs: dev/test.sh
# First "check" and, beside it, "integration" and "browser", which keep one processor busy; then "molecule", if all of them passed.
# Not beside the scenarios: while integration tests run, no service that is installed starts, and the labs may have to install Docker.
set -euo pipefail
cd "$(dirname "$0")/.."

log=.cache/beside.log
mkdir -p .cache
set -m # a process group of its own, to be ended as one
make integration browser </dev/null >"$log" 2>&1 &
set +m
beside=$!
trap 'kill -TERM -- "-$beside" 2>/dev/null || true' EXIT
status=0
make check || status=$?
wait "$beside" || status=$?
cat "$log"
if ((status)); then exit "$status"; fi
make molecule
