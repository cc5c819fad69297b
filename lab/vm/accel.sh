#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints "kvm" if a virtual machine of this image boots with it on this machine, else "tcg". A /dev/kvm alone says little:
# within a virtual machine it can be there and not work. The answer is kept, for this image and the running kernel.
# usage: accel.sh IMAGE_DIRECTORY
set -euo pipefail
image=$1
limit=30 # seconds; with KVM it takes two or three

if [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
  echo tcg
  exit 0
fi

known=$image/accel-$(uname -r)
if [[ ! -s $known ]]; then
  console=$(mktemp)
  trap 'rm -f "$console"' EXIT
  # lab-init sees LAB_PROBE, prints the words and restarts, which -no-reboot makes the end.
  # In braces, so that the shell does not report it when QEMU aborts.
  { timeout --kill-after=5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M pc -accel kvm -cpu host -m 512 \
    -kernel "$image/vmlinuz" -append "root=/dev/nvme0n1 ro quiet panic=-1 console=ttyS0 init=/usr/local/sbin/lab-init LAB_PROBE=1" \
    -drive "file=$image/disk.raw,format=raw,if=none,id=disk,snapshot=on" -device nvme,drive=disk,serial=lab \
    -serial "file:$console" >/dev/null </dev/null; } 2>/dev/null || true
  accel=tcg
  ! grep -qa 'lab-probe: it works' "$console" || accel=kvm
  # Somebody else's image: the answer cannot be kept there.
  echo "$accel" >"$known" 2>/dev/null || true
  echo "$accel"
else
  cat "$known"
fi
