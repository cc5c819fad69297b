#!/usr/bin/env bash
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the image of a lab host from image/ unless this recipe has been built before, and prints its name as JSON.
# Suite, mirror, proxy and local certificate authorities are those this machine itself uses.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive

recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")/image" && pwd)
work=/var/tmp/crosshost-overlay-lab.build

fail() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

# shellcheck source=/dev/null
suite=$(. /etc/os-release && [[ $ID == debian ]] && printf '%s' "$VERSION_CODENAME") ||
  fail "the image is built with the Debian packages this machine is configured for, and this is not Debian."

hash=$({
  printf '%s %s\n' "$suite" "$(dpkg --print-architecture)"
  cd "$recipe"
  find . -type f -printf '%P %m\n' | sort
  find . -type f -print0 | sort -z | xargs -0 cat
} | sha256sum | cut -c 1-12)
image="crosshost-overlay-lab:$hash"

# $(REPO_URI) and the like are apt's own placeholders.
# shellcheck disable=SC2016
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk -v suite="$suite" '$3 == "main" && $4 == "Debian" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
      print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $1, $2, $3}' | sort -u
}

exec 9>/run/lock/crosshost-overlay-lab.image
flock -w 1200 9 || fail "another lab has been building the image for 20 minutes (lock /run/lock/crosshost-overlay-lab.image)."

changed=false
if ! docker image inspect "$image" >/dev/null 2>&1; then
  [[ $EUID -eq 0 ]] || fail "only root can build the image."
  # A third party's broken archive does not matter here; sources() below finds out whether Debian's is there.
  timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
  command -v mmdebstrap >/dev/null ||
    timeout 300 apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 --no-install-recommends install mmdebstrap >&2
  [[ -n $(sources) ]] || fail "this machine's apt configuration names no Debian archive for '$suite' ('apt-get indextargets' lists what it has)."

  rm -rf --one-file-system "$work"
  mkdir -m 755 "$work"
  trap 'rm -rf --one-file-system "$work"' EXIT
  {
    apt-config dump | grep -E '^Acquire::(Check-(Valid-Until|Date)|https?::Proxy) ' || true
    [[ -z ${http_proxy:-} ]] || printf 'Acquire::http::Proxy "%s";\n' "$http_proxy"
  } >"$work/machine.conf"
  sources >"$work/sources.list"

  # --skip: the package lists stay, so that a host installs from the packages the image carries without asking a mirror.
  TMPDIR=$work LAB_RECIPE=$recipe timeout 1200 mmdebstrap --mode=root --variant=minbase --skip=cleanup/apt \
    --include="$(grep -v '^#' "$recipe/packages.txt" | paste -sd ,)" \
    --aptopt="$work/machine.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$recipe/customize.sh" \
    "$suite" "$work/image.tar" - <"$work/sources.list" >&2
  timeout 600 docker import --change 'CMD ["/usr/local/sbin/lab-init"]' "$work/image.tar" "$image" >&2
  changed=true
fi
printf '{"changed": %s, "image": "%s"}\n' "$changed" "$image"
