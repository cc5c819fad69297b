#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Removes what carries the label of one lab, and nothing else. Prints one line per object removed.
# usage: remove.sh LAB_NAME                          everything
#        remove.sh LAB_NAME IMAGE CONTAINER...       all but the networks and those containers, with their volumes, that are of this image
set -euo pipefail

label="crosshost.overlay.lab=$1"
image=${2:-}
declare -A wanted=() keep=()
for name in "${@:3}"; do
  wanted[$name]=1
done

# list KIND FORMAT OPTION...: what there is with the label.
list() {
  timeout 60 docker "$1" ls --filter "label=$label" --format "$2" "${@:3}"
}

# remove KIND OPTION...: all the names on standard input that are not to be kept, with one command.
remove() {
  local name names=()
  while read -r name; do
    [[ -n ${keep[$name]:-} ]] || names+=("$name")
  done
  [[ ${#names[@]} -eq 0 ]] || timeout 300 docker "$1" rm "${@:2}" "${names[@]}" | sed "s/^/$1 /"
}

while read -r name from; do
  [[ -z ${wanted[$name]:-} || $from != "$image" ]] || keep[$name]=1 keep[$name-docker]=1
done < <(list container '{{.Names}} {{.Image}}' --all)

list container '{{.Names}}' --all | remove container --force --volumes
list volume '{{.Name}}' | remove volume
[[ $# -gt 1 ]] || list network '{{.Name}}' | remove network
