#!/bin/sh
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Last step of the image, run by mmdebstrap on the machine with the root file system as its argument.
set -eu
root=$1

chown -R 0:0 "$root/etc/systemd" "$root/etc/initramfs-tools"
for driver in BLK_DEV_NVME EXT4_FS; do
    grep -q "^CONFIG_$driver=y" "$root"/boot/config-* || {
        echo "lab: this suite's kernel has no built-in $driver, and the lab boots it without an initial RAM disk." >&2
        exit 1
    }
done

# Nothing to check: after a power cut the kernel replays the journal when it mounts.
echo '/dev/nvme0n1 / ext4 noatime 0 0' >"$root/etc/fstab"
# A package that asks for a new initial RAM disk would keep an emulated host busy for a minute.
sed -i 's/^update_initramfs=.*/update_initramfs=no/' "$root/etc/initramfs-tools/update-initramfs.conf"

# AppArmor is on, for Docker and whoever brings a profile; those that come with it would take an emulated host ten seconds to compile.
for profile in "$root"/etc/apparmor.d/*; do
    [ ! -f "$profile" ] || ln -s "/etc/apparmor.d/${profile##*/}" "$root/etc/apparmor.d/disable/"
done

# Nobody sits at the console; and addresses are static, there is nothing to wait for.
for unit in serial-getty@.service systemd-networkd-wait-online.service e2scrub_reap.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl -q enable systemd-networkd.service
# There, but not in force before somebody wants it.
chroot "$root" systemctl -q disable firewalld.service
# Each machine's own: Open vSwitch makes them anew at its first start.
rm -f "$root/etc/openvswitch/system-id.conf" "$root/etc/openvswitch/conf.db"
