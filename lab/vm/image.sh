#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Has QEMU on this machine, and the kernel and disk of the lab's virtual machines, built from image/ and ../image/ unless this
# recipe has been built before. Prints where they are, and whether to use KVM or emulation, as JSON.
# usage: image.sh STATE_DIR    (the lab's own directory; as long as it exists, its image is kept)
#        image.sh --clean      (removes all images that no lab uses)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lab/vm/debian.sh
. "$here/debian.sh"

store=/var/cache/crosshost-overlay-lab
lock=/run/lock/crosshost-overlay-lab.vm-image
work=$store/build
container=$here/../image
# Sparse: what is there to be filled by a host, not what the file takes.
disk_size=8G

# remove_unused KEEP: every image but KEEP that no existing lab names. A lab's link dangles once lab-down has removed its directory.
remove_unused() {
  local image
  for image in "$store"/vm-*; do
    [[ -d $image && $image != "$1" ]] || continue
    [[ -n $(find -L "$image/labs" -mindepth 1 -maxdepth 1 -type d 2>/dev/null) ]] || rm -rf --one-file-system "$image"
  done
}

exec 9>"$lock"
flock -w 1500 9 || fail "another lab has been building the image for 25 minutes (lock $lock)."

if [[ $1 == --clean ]]; then
  remove_unused none
  exit 0
fi

state=$1
[[ $(uname -m) == x86_64 ]] || fail "the virtual machines are x86_64 and so must be this machine; it is $(uname -m)."
need qemu-system-x86 qemu-system-x86_64
need qemu-utils qemu-img

suite=$(suite)
changed=${updated:-false}
recipe=("$container/packages.txt" "$container/cached.txt" "$container/customize.sh" "$container/rootfs/usr/local/sbin/lab-ready"
  "$container/rootfs/usr/local/lib/lab/lab_bytecode.py" "$container/rootfs/etc/ssh")
hash=$({
  printf '%s %s\n' "$suite" "$disk_size"
  cat "$here/image.sh"
  find "$here/image" "${recipe[@]}" -type f -printf '%f %m\n' | sort
  find "$here/image" "${recipe[@]}" -type f -print0 | sort -z | xargs -0 cat
} | sha256sum | cut -c 1-12)
image=$store/vm-$hash

if [[ ! -e $image/complete ]]; then
  [[ $EUID -eq 0 ]] || fail "only root can build the image."
  need mmdebstrap mmdebstrap
  need e2fsprogs mkfs.ext4
  [[ -n ${updated:-} ]] || timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
  [[ -n $(sources "$suite") ]] || fail "this machine's apt configuration names no Debian archive for '$suite' ('apt-get indextargets' lists what it has)."

  rm -rf --one-file-system "$work" "$image"
  mkdir -p "$work/recipe/rootfs/usr/local/sbin" "$work/recipe/rootfs/usr/local/lib/lab" "$work/recipe/rootfs/etc"
  chmod 755 "$store" "$work"
  trap 'rm -rf --one-file-system "$work"' EXIT

  # The container lab's recipe, without what is there only because a container is not a machine.
  cat "$container/cached.txt" "$here/image/cached.txt" >"$work/recipe/cached.txt"
  cp -R "$container/rootfs/etc/ssh" "$work/recipe/rootfs/etc/"
  cp "$container/rootfs/usr/local/sbin/lab-ready" "$work/recipe/rootfs/usr/local/sbin/"
  cp "$container/rootfs/usr/local/lib/lab/lab_bytecode.py" "$work/recipe/rootfs/usr/local/lib/lab/"
  cp -R "$here/image/rootfs/." "$work/recipe/rootfs/"
  apt_settings >"$work/machine.conf"
  sources "$suite" >"$work/sources.list"

  # --skip: the package lists stay, so that a host installs from the packages the image carries without asking a mirror.
  # INITRD=No: drivers of the disk and of ext4 are in this kernel.
  INITRD=No TMPDIR=$work LAB_RECIPE=$work/recipe timeout 1200 mmdebstrap --mode=root --format=directory --variant=minbase --skip=cleanup/apt \
    --include="$(grep -hv '^#' "$container/packages.txt" "$here/image/packages.txt" | paste -sd ,)" \
    --aptopt="$work/machine.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$container/customize.sh" --customize-hook="$here/image/customize.sh" \
    "$suite" "$work/root" - <"$work/sources.list" >&2

  mkdir "$work/image" "$work/image/labs"
  cp "$work"/root/boot/vmlinuz-* "$work/image/vmlinuz"
  # As a file, without mounting anything.
  truncate --size="$disk_size" "$work/image/disk.raw"
  timeout 600 mkfs.ext4 -q -F -L lab -m 0 -E lazy_itable_init=1,lazy_journal_init=1 -d "$work/root" "$work/image/disk.raw" >&2
  touch "$work/image/complete"
  mv "$work/image" "$image"
  changed=true
fi

ln -sfn "$(realpath "$state")" "$image/labs/$(realpath "$state" | sha256sum | cut -c 1-12)"
remove_unused "$image"

printf '{"changed": %s, "directory": "%s", "accel": "%s"}\n' "$changed" "$image" "$("$here/accel.sh" "$image")"
