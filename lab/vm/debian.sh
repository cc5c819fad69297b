#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Sourced by the scripts next to it: which Debian this machine has, and how it gets at packages.
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive

fail() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

# need PACKAGE COMMAND: installs the Debian package unless its command is there. Sets "updated" when it did.
need() {
  ! command -v "$2" >/dev/null || return 0
  [[ $EUID -eq 0 ]] || fail "'$1' is not installed, and only root can install it. Run this as root, or 'apt-get install $1'."
  # A third party's broken archive does not matter here; without Debian's the installation says what is missing.
  [[ -n ${updated:-} ]] || timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
  updated=true
  timeout 600 apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 --no-install-recommends install "$1" >&2
}

# The suite of this machine, whose packages the image is made of.
suite() {
  # shellcheck source=/dev/null
  (. /etc/os-release && [[ $ID == debian ]] && printf '%s' "$VERSION_CODENAME") ||
    fail "the image is built with the Debian packages this machine is configured for, and this is not Debian."
}

# sources SUITE: the lines of a sources.list with the Debian archives that this machine uses.
# $(REPO_URI) and the like are apt's own placeholders.
# shellcheck disable=SC2016
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk -v suite="$1" '$3 == "main" && $4 == "Debian" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
      print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $1, $2, $3}' | sort -u
}

# The settings of this machine's apt that decide whether it reaches an archive.
apt_settings() {
  apt-config dump | grep -E '^Acquire::(Check-(Valid-Until|Date)|https?::Proxy) ' || true
  [[ -z ${http_proxy:-} ]] || printf 'Acquire::http::Proxy "%s";\n' "$http_proxy"
}
