#!/usr/bin/env bash
# Print "3.X /folder/of/python3.X" for every Python of managed hosts that works on this machine, and "3.X missing" for
# the others. Looks on PATH and among pyenv's versions.
set -euo pipefail

for version in 3.8 3.9 3.10 3.11 3.12 3.13; do
    found=missing
    while IFS= read -r candidate; do
        # A pyenv shim of a version that is not active exists and fails; so ask the interpreter where it is.
        if path=$("$candidate" -c 'import sys, ensurepip, venv; print(sys.executable)' 2>/dev/null); then
            found=$(dirname "$path")
            break
        fi
    done < <(
        type -ap "python$version" || true
        compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version" || true
    )
    printf '%s %s\n' "$version" "$found"
done
