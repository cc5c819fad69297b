#!/usr/bin/env bash
# Every check that needs no hosts: dev/check.sh [GATE...]   (no argument: all, in the order below)
# Two at a time (another number: JOBS=1): the longest mostly keeps one processor busy, and the others take about as long together.
# One line per gate; its output only when it fails; after one that fails no other is started. The logs stay in .cache/check/.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
collections=$root/.venv/collections
logs=$root/.cache/check
export PATH=$root/.venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$collections ANSIBLE_NOCOLOR=1 PY_COLORS=0 NO_COLOR=1
mkdir -p "$logs"

gates=(
    ansible-test-sanity
    format lint types yaml shell changelog inventories syntax unit docs ansible-lint package
    ansible-test-units
)
jobs=${JOBS:-2}
limit=1200 # seconds for one gate; the slowest, a first ansible-test-sanity, takes three to four minutes beside others

# The Pythons of managed hosts that this machine has, oldest first, as ansible-test wants them.
target_pythons() {
    dev/pythons.sh | while read -r version folder; do
        if [[ $folder != missing ]]; then printf '%s@%s/\n' "$version" "$folder"; fi
    done
}

shell_files() {
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        if [[ -f $file && ! -L $file ]] && head -c 64 "$file" | grep -qaE '^#!.*\b(ba|da)?sh\b'; then printf '%s\0' "$file"; fi
    done
}

gate_format() { ruff format --check --diff .; }
gate_lint() { ruff check .; }
gate_types() {
    local scripts
    mapfile -t scripts < <(compgen -G 'dev/*.py' && compgen -G 'lab/*.py' && compgen -G 'lab/vm/*.py')
    mypy --config-file pyproject.toml --cache-dir .cache/mypy "${scripts[@]}"
    MYPYPATH=dev/bench mypy --config-file pyproject.toml --cache-dir .cache/mypy dev/bench/*.py
    cd "$collections"
    mypy --config-file "$root/pyproject.toml" --cache-dir "$root/.cache/mypy" ansible_collections/crosshost/overlay/plugins
}
gate_yaml() { yamllint --strict .; }
gate_shell() { shell_files | xargs --null --no-run-if-empty shellcheck --severity=style; }
gate_unit() { PYTHONPATH=$collections pytest --quiet tests/unit; }
gate_changelog() { antsibull-changelog lint; }
gate_inventories() {
    local inventory
    for inventory in inventories/*; do
        if [[ $inventory == inventories/lab ]]; then continue; fi
        echo "$inventory"
        ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true ansible-inventory -i "$inventory" --list >/dev/null
    done
}
gate_syntax() {
    local playbook names=()
    for playbook in playbooks/*.yml; do
        names+=("crosshost.overlay.$(basename "$playbook" .yml)")
    done
    ansible-playbook -i localhost, --syntax-check "${names[@]}"
}
gate_ansible-lint() {
    # It leaves things below HOME.
    mkdir -p .cache/lint_home
    HOME=$root/.cache/lint_home ansible-lint --profile production --offline --nocolor
}
gate_docs() {
    # In a copy: the tool copies the folder it is in, .venv and .cache included.
    cd "$(dev/collection_copy.sh docs)"
    # The tool copies the collections in .venv too, but only what git tracks, which is nothing: hide our repository.
    GIT_CEILING_DIRECTORIES=$root/.venv antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=dependent \
        --disallow-unknown-collection-refs --skip-rstcheck .
}
gate_ansible-test-units() {
    # On the oldest and the newest Python there is, each in a fresh virtual environment; "unit" runs on one in between.
    local found targets=()
    mapfile -t found < <(target_pythons)
    targets=(--target-python "venv/${found[0]}")
    if ((${#found[@]} > 1)); then targets+=(--target-python "venv/${found[-1]}"); fi
    dev/ansible_test.sh units "${targets[@]}"
}
gate_ansible-test-sanity() {
    # The tests "compile" and "import" on every Python there is, the others on the control node's.
    local python targets=()
    for python in $(target_pythons); do targets+=(--target-python "$python"); done
    dev/ansible_test.sh sanity "${targets[@]}"
}
gate_package() {
    local output=$root/.cache/build tarball contents
    rm -rf "$output"
    ansible-galaxy collection build --output-path "$output"
    tarball=$(compgen -G "$output/crosshost-overlay-*.tar.gz")
    contents=$(tar --list --gzip --file "$tarball" | cut -d/ -f1 | sort -u | paste -sd ' ')
    if [[ $contents != "$(sort dev/package_contents.txt | paste -sd ' ')" ]]; then
        echo "The built collection holds other top-level entries than dev/package_contents.txt: $contents"
        return 1
    fi
    # The importer's ansible-lint finds a playbook that another one imports by its full name only if the collection is
    # installed below HOME; and it installs there itself, which would outlive this check. So give it a HOME of its own.
    export HOME=$output/home GALAXY_IMPORTER_CONFIG=$root/importer.cfg
    ansible-galaxy collection install --force --offline --no-deps --collections-path "$HOME/.ansible/collections" "$tarball"
    cd "$output"
    python -m galaxy_importer.main "$tarball" 2>&1 | tee importer.log
    # The importer succeeds whatever its linters say.
    ! grep -E '^(WARNING|ERROR)' importer.log
}

# What pytest says at its end, for a reader who wants to know how many tests there are.
count_of() {
    if [[ $1 == unit ]]; then printf '  (%s)' "$(tail -n 1 "$logs/unit.log")"; fi
}

# A gate runs as a process of its own, under a time limit and with "set -e" in force.
if [[ ${1-} == --run ]]; then
    "gate_$2"
    exit
fi

if (($#)); then gates=("$@"); fi
declare -A gate_of=() started=()
passed=0
failed=()

# Wait for one of those that run, and tell how it ended.
finish() {
    local pid status=0 gate seconds
    wait -n -p pid "${!gate_of[@]}" || status=$?
    gate=${gate_of[$pid]}
    unset "gate_of[$pid]"
    seconds=$(awk -v a="${started[$gate]}" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')
    if ((status)); then
        cat "$logs/$gate.log"
        printf 'FAILED  %-20s %6s s (status %d)\n' "$gate" "$seconds" "$status"
        failed+=("$gate")
    else
        printf 'ok      %-20s %6s s%s\n' "$gate" "$seconds" "$(count_of "$gate")"
        passed=$((passed + 1))
    fi
}

for gate in "${gates[@]}"; do
    if ! declare -F "gate_$gate" >/dev/null; then
        echo "No gate called $gate. There are: $(declare -F | sed -n 's/^declare -f gate_//p' | paste -sd ' ')" >&2
        exit 2
    fi
done
for gate in "${gates[@]}"; do
    if ((${#gate_of[@]} >= jobs)); then finish; fi
    if ((${#failed[@]})); then break; fi
    timeout "$limit" dev/check.sh --run "$gate" </dev/null >"$logs/$gate.log" 2>&1 &
    gate_of[$!]=$gate
    started[$gate]=$EPOCHREALTIME
done
while ((${#gate_of[@]})); do finish; done
if ((${#failed[@]})); then
    printf 'check: %d passed, %d failed (%s)\n' "$passed" "${#failed[@]}" "${failed[*]}"
    exit 1
fi
not_here=$(dev/pythons.sh | awk '$2 == "missing" {print $1}' | paste -sd ' ')
if [[ -n $not_here ]]; then
    echo "skipped ansible-test on Python $not_here: not on this machine"
fi
printf 'check: %d passed, 0 failed\n' "$passed"
