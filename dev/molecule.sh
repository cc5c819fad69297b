#!/usr/bin/env bash
# Run molecule scenarios one after another; stop at the first that fails: dev/molecule.sh [SCENARIO...]
# One line per scenario; its output only when it fails. The logs stay in .cache/molecule/.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.venv/collections ANSIBLE_NOCOLOR=1 NO_COLOR=1
limit=3600 # seconds for one scenario; one of virtual machines without KVM takes up to half of that

scenarios=("$@")
if ((!$#)); then
    for file in molecule/*/molecule.yml; do
        if [[ $file != molecule/shared/* ]]; then scenarios+=("$(basename "$(dirname "$file")")"); fi
    done
fi

mkdir -p .cache/molecule
passed=0
for scenario in "${scenarios[@]}"; do
    log=.cache/molecule/$scenario.log start=$SECONDS status=0
    timeout --kill-after=60 "$limit" molecule test -s "$scenario" </dev/null >"$log" 2>&1 || status=$?
    if ((status)); then
        cat "$log"
        printf 'FAILED  %-20s %6d s (status %d)\n' "$scenario" $((SECONDS - start)) "$status"
        echo "molecule: $passed passed, 1 failed ($scenario)"
        exit 1
    fi
    printf 'ok      %-20s %6d s\n' "$scenario" $((SECONDS - start))
    passed=$((passed + 1))
done
echo "molecule: $passed passed, 0 failed"
