#!/usr/bin/env bash
# Run the integration targets of ansible-test, on this machine: dev/integration.sh [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

log=.cache/integration.log
version=$(.venv/bin/python -c 'import sys; print("{}.{}".format(*sys.version_info))')
status=0
mkdir -p .cache
timeout 1800 dev/ansible_test.sh integration --python "$version" "$@" >"$log" 2>&1 || status=$?
passed=$(grep --count '^Running .* integration test role$' "$log") || true
if ((status)); then
    cat "$log"
    # ansible-test stops at the first target that fails.
    echo "integration: $((passed > 0 ? passed - 1 : 0)) passed, 1 failed"
    exit "$status"
fi
grep '^Running .* integration test role$' "$log" | sed 's/^Running \(.*\) integration test role$/ok      \1/'
echo "integration: $passed passed, 0 failed"
