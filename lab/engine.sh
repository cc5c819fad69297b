#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a Docker Engine answer on this machine, then prints what the lab has to know about the machine as JSON.
# An engine that answers is used as it is: never restarted, reconfigured or pruned.
# usage: engine.sh [--no-install]    (with --no-install a machine without an engine is reported, not changed)
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive

log=/var/log/crosshost-overlay-lab-dockerd.log
changed=false

fail() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

answers() {
  timeout 20 docker info >/dev/null 2>&1
}

# A pid file that outlived its process, whose number something else now has, stops dockerd from starting.
drop_stale_pid_file() {
  local file=$1 name=$2 pid
  [[ -s $file ]] || return 0
  pid=$(<"$file")
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$name" ]] || rm -f "$file"
}

install_engine() {
  [[ $EUID -eq 0 ]] || fail "no Docker Engine answers and only root can install one. Run this as root, or start Docker."
  # A third party's broken archive does not matter here; without Debian's the installation says what is missing.
  timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
  timeout 600 apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 --no-install-recommends install docker.io iptables >&2
}

start_engine() {
  [[ $EUID -eq 0 ]] || fail "the Docker Engine is installed but does not answer, and only root can start it. Run this as root."
  if [[ -d /run/systemd/system ]]; then
    timeout 120 systemctl start docker >&2
  else
    drop_stale_pid_file /run/docker.pid dockerd
    drop_stale_pid_file /run/docker/containerd/containerd.pid containerd
    # A session of its own: it outlives this shell, and Ctrl-C in the terminal does not reach it.
    setsid dockerd </dev/null >>"$log" 2>&1 9>&- &
  fi
}

# Two labs may come up at the same time; only one of them installs and starts the engine.
exec 9>/run/lock/crosshost-overlay-lab.engine
flock -w 900 9 || fail "another lab has been setting up the Docker Engine for 15 minutes (lock /run/lock/crosshost-overlay-lab.engine)."

if ! answers; then
  if ! command -v dockerd >/dev/null; then
    if [[ ${1:-} == --no-install ]]; then
      printf '{"changed": false, "engine": ""}\n'
      exit 0
    fi
    # The package may start a daemon, which must not inherit the lock.
    install_engine 9>&-
  fi
  answers || start_engine
  for ((try = 0; try < 120; try++)); do
    answers && break
    sleep 0.5
  done
  answers || fail "the Docker Engine did not answer within 60 s. $(timeout 20 docker info 2>&1 | tail -n 1)" \
    $'\nIts last words ('"$log"$' or "journalctl -u docker"):\n'"$(tail -n 15 "$log" 2>/dev/null)"
  changed=true
fi

mapfile -t names < <(grep -v '^#' "$(dirname "${BASH_SOURCE[0]}")/image/rootfs/usr/local/lib/lab/capabilities.txt")
# Docker refuses a capability that the engine itself lacks, and 20.10 does not know those after AUDIT_READ (SYS_ADMIN covers them).
# Never given: SYS_TIME, the clock is the machine's; SYS_RESOURCE, so are its limits.
status=/proc/$(cat /run/docker.pid 2>/dev/null || echo self)/status
[[ -r $status ]] || status=/proc/self/status
bounding=$((16#$(awk '/^CapBnd:/ {print $2}' "$status")))
capabilities=()
for ((number = 0; number <= 37; number++)); do
  [[ ${names[number]} == SYS_RESOURCE || ${names[number]} == SYS_TIME ]] || ((!(bounding >> number & 1))) ||
    capabilities+=("\"${names[number]}\"")
done

# Hosts ask the machine's name servers themselves: Docker's resolver in a container hangs on iptables rules
# inside that container, which the tests are free to flush. One on loopback cannot be reached from there.
resolv=/etc/resolv.conf
grep -qE '^nameserver +127\.' "$resolv" && [[ -s /run/systemd/resolve/resolv.conf ]] && resolv=/run/systemd/resolve/resolv.conf
nameservers=$(awk '$1 == "nameserver" && $2 !~ /^127\.|:/ {print $2}' "$resolv" | paste -sd ' ')

printf '{"changed": %s, "engine": "%s", "capabilities": [%s], "nameservers": "%s"}\n' \
  "$changed" "$(docker version --format '{{.Server.Version}}')" "$(IFS=,; printf '%s' "${capabilities[*]}")" "$nameservers"
