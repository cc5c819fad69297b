#!/bin/sh
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Last step of the image, run by mmdebstrap on the machine with the root file system as its argument.
set -eu
root=$1
recipe=$LAB_RECIPE

cp -R "$recipe/rootfs/." "$root/"
chown -R 0:0 "$root/usr/local" "$root/etc/ssh/sshd_config.d"

# Ansible's modules are compiled at their first call, not at each. That it can be imported is seen here: at its start Python only complains.
site=$(chroot "$root" python3 -c 'import site; print(site.getsitepackages()[0])')
mkdir -p "$root$site" "$root/var/cache/lab-bytecode"
ln -s /usr/local/lib/lab/lab_bytecode.py "$root$site/lab_bytecode.py"
echo 'import lab_bytecode' >"$root$site/lab_bytecode.pth"
chroot "$root" python3 -c 'import lab_bytecode, zipimport; assert zipimport._compile_source is lab_bytecode.compiled'

# Whoever signs this machine's https connections is known in the hosts, too.
for crt in /usr/local/share/ca-certificates/*.crt; do
    [ -e "$crt" ] || continue
    cp "$crt" "$root/usr/local/share/ca-certificates/"
done
chroot "$root" update-ca-certificates >/dev/null

# Packages the roles will ask for. Those of the base system itself are not needed again.
chroot "$root" apt-get clean
grep -v '^#' "$recipe/cached.txt" | while read -r packages; do
    # shellcheck disable=SC2086
    chroot "$root" apt-get -qq -y --download-only install $packages
done

# Timers that would take apt's lock at a moment of their own choosing, and consoles nobody sits at.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer console-getty.service getty@tty1.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Hosts are told apart by what they make for themselves at their first boot.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_*
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
install -d -m 700 "$root/root/.ssh"
