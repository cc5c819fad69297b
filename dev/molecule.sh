#!/usr/bin/env bash
# Run molecule scenarios, three at a time; after one that fails no other is started: dev/molecule.sh [SCENARIO...]
# Each waits for its hosts now and then, and their labs share nothing; more at a time take longer (another number: JOBS=1).
# One line per scenario; its output only when it fails. The logs stay in .cache/molecule/.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.venv/collections ANSIBLE_NOCOLOR=1 NO_COLOR=1
limit=3600 # seconds for one scenario; one of virtual machines without KVM takes up to half of that
jobs=${JOBS:-3}
# Virtual machines count for two: emulated, they hardly ever wait.
declare -A weight=([vm]=2)

# Those that take longest come first, or the last of them would run alone; others follow.
longest=(promises vm firewall weave default doctor)
scenarios=("$@")
if ((!$#)); then
    scenarios=("${longest[@]}")
    for file in molecule/*/molecule.yml; do
        scenario=$(basename "$(dirname "$file")")
        if [[ " ${longest[*]} " != *" $scenario "* ]]; then scenarios+=("$scenario"); fi
    done
    # Others each time; a seed that is printed has the same ones again.
    export OVERLAY_FAULTS=${OVERLAY_FAULTS:-8}
fi

declare -A scenario_of=() started=()
busy=0
passed=0
failed=()

start() {
    timeout --kill-after=60 "$limit" molecule test -s "$1" </dev/null >".cache/molecule/$1.log" 2>&1 &
    scenario_of[$!]=$1
    busy=$((busy + ${weight[$1]:-1}))
    started[$1]=$SECONDS
}

# Wait for one of those that run, and tell how it ended.
finish() {
    local pid status=0 scenario
    wait -n -p pid "${!scenario_of[@]}" || status=$?
    scenario=${scenario_of[$pid]}
    unset "scenario_of[$pid]"
    busy=$((busy - ${weight[$scenario]:-1}))
    if ((status)); then
        cat ".cache/molecule/$scenario.log"
        printf 'FAILED  %-20s %6d s (status %d)\n' "$scenario" $((SECONDS - started[$scenario])) "$status"
        failed+=("$scenario")
    else
        printf 'ok      %-20s %6d s\n' "$scenario" $((SECONDS - started[$scenario]))
        passed=$((passed + 1))
    fi
}

mkdir -p .cache/molecule
for scenario in "${scenarios[@]}"; do
    while ((${#scenario_of[@]} && busy + ${weight[$scenario]:-1} > jobs)); do finish; done
    if ((${#failed[@]})); then break; fi
    start "$scenario"
done
while ((${#scenario_of[@]})); do finish; done
echo "molecule: $passed passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}"
((!${#failed[@]}))
