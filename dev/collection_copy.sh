#!/usr/bin/env bash
# Copy the repository (tracked and new files, not the ignored ones) to .cache/copies/NAME/ansible_collections/crosshost/overlay and
# print that path: dev/collection_copy.sh NAME. ansible-test accepts neither a symlink nor a folder that is not called like this.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$PWD/.cache/copies/$1/ansible_collections/crosshost/overlay
rm -rf "$copy"
mkdir -p "$copy"
# A file that git lists but that is deleted in the work tree is left out.
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
        if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
    done |
    tar --create --null --files-from=- | tar --extract --directory="$copy"

# Without a git repository of its own, the copy lies in an ignored folder of ours: ansible-test would find
# no files at all, say "All targets skipped" and succeed.
git -C "$copy" init --quiet
git -C "$copy" add --all --force
printf '%s\n' "$copy"
