#!/usr/bin/env bash
# Run the integration targets of ansible-test, on this machine: dev/integration.sh [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

log=.cache/integration.log
version=$(.venv/bin/python -c 'import sys; print("{}.{}".format(*sys.version_info))')
status=0
mkdir -p .cache
timeout 1800 dev/ansible_test.sh integration --python "$version" "$@" >"$log" 2>&1 || status=$?
passed=$(grep --count --extended-regexp '^Running .* integration test (role|script)$' "$log") || true
if ((status)); then
    cat "$log"
    # ansible-test stops at the first target that fails.
    echo "integration: $((passed > 0 ? passed - 1 : 0)) passed, 1 failed"
    exit "$status"
fi
sed --quiet --regexp-extended 's/^Running (.*) integration test (role|script)$/ok      \1/p' "$log"
echo "integration: $passed passed, 0 failed"
