#!/usr/bin/env bash
# Run ansible-test on a fresh copy of the collection: dev/ansible_test.sh sanity --python 3.11
# Fails when ansible-test says that it left something out, which ansible-test itself takes for a success.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# ansible-test keeps virtual environments and downloads below HOME. A HOME in .cache goes away with "make clean"
# and leaves the user's own alone; pip keeps the user's settings and cache. "units" and "sanity" may run at the same time: each has its own.
export PIP_CACHE_DIR=${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pip}
for config in "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    if [[ -z ${PIP_CONFIG_FILE:-} && -f $config ]]; then export PIP_CONFIG_FILE=$config; fi
done

# It takes every python3.X on PATH at its word, also a pyenv shim that only says that this version is not active.
pythons=$root/.cache/pythons
mkdir -p "$pythons"
dev/pythons.sh | while read -r version folder; do
    if [[ $folder != missing ]]; then ln -sfn "$folder/python$version" "$pythons/python$version"; fi
done
export HOME=$root/.cache/home/$1 PATH=$root/.venv/bin:$pythons:$PATH
unset ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH
mkdir -p "$HOME"
python dev/get_pip_workaround.py

copy=$(dev/collection_copy.sh "$1")
log=$(mktemp "$root/.cache/ansible-test.XXXXXX")
trap 'rm -f "$log"' EXIT
cd "$copy"
ansible-test "$@" --color no </dev/null 2>&1 | tee "$log"
# To ansible-test a missing tool, an unusable Python or an unknown target is only a warning. The one about the locale
# is harmless here, and the other one counts the warnings.
if grep --extended-regexp 'All targets skipped|^WARNING: ' "$log" | grep --invert-match --extended-regexp '^WARNING: (Using locale|Reviewing previous)'; then
    echo "ansible-test $1 succeeded in spite of these warnings; they say that something was left out." >&2
    exit 1
fi
