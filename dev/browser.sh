#!/usr/bin/env bash
# Open the report's page in headless Chromium: dev/browser.sh [PYTEST ARGUMENT...]
# CHROMIUM names the program; without it, Debian's is taken, and installed if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

log=.cache/browser.log
mkdir -p .cache
if [[ -z ${CHROMIUM-} ]] && ! command -v chromium >/dev/null; then
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Missing on this machine: chromium (Debian's package name). Install it, or set CHROMIUM, then run make again." >&2
        exit 1
    fi
    echo "Installing Debian packages: chromium fonts-dejavu-core"
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 apt-get -o DPkg::Lock::Timeout=300 update -qq
    timeout 900 apt-get -o DPkg::Lock::Timeout=300 install -qq --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
export CHROMIUM=${CHROMIUM:-chromium}
status=0
PYTHONPATH=.venv/collections timeout 900 .venv/bin/pytest -c tests/browser/pytest.ini --quiet --color=no "$@" tests/browser >"$log" 2>&1 ||
    status=$?
# What pytest counts in its last line; a test that was skipped has shown nothing, and counts as failed.
count() { tail -n 1 "$log" | awk -v words="^($1),?$" '{for (i = 2; i <= NF; i++) if ($i ~ words) n += $(i - 1)} END {print n + 0}'; }
passed=$(count passed) failed=$(count 'failed|errors?|skipped')
if ((status || failed || !passed)); then
    cat "$log"
    echo "browser: $passed passed, $((failed ? failed : 1)) failed"
    exit $((status ? status : 1))
fi
printf 'ok      report in %s\n' "$("$CHROMIUM" --version 2>/dev/null)"
echo "browser: $passed passed, 0 failed"
