#!/bin/sh
# Stands in for Weave Net 2.9.0 in tests: last step of the image's root file system, run by mmdebstrap with its folder.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
set -eu
root=$1

for name in sh env cat ls ps kill sleep grep hostname; do
    [ -e "$root/usr/bin/$name" ] || ln -s busybox "$root/usr/bin/$name"
done
[ -e "$root/usr/bin/busybox" ] || ln -s ../../bin/busybox "$root/usr/bin/busybox"
ln -sf python3 "$root/usr/bin/python"
# As in the real 2.9.0 image: nft unless asked for legacy.
for tool in iptables iptables-save iptables-restore; do
    ln -sf "xtables-nft-multi" "$root/usr/sbin/$tool"
done

rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" "$root/usr/share/info" "$root/usr/share/bash-completion" \
    "$root/usr/share/lintian" "$root/usr/share/perl5" "$root/usr/share/zoneinfo"
rm -rf "$root"/usr/lib/python3*/test "$root"/usr/lib/python3*/lib2to3 "$root"/usr/lib/python3*/pydoc_data "$root"/usr/lib/python3*/ensurepip \
    "$root"/usr/lib/python3*/distutils "$root"/usr/lib/python3*/unittest "$root"/usr/lib/x86_64-linux-gnu/gconv "$root"/usr/bin/perl*
