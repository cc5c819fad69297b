#!/usr/bin/env bash
# Stands in for Weave Net 2.9.0 in tests: builds OUTDIR/weave (the script) and OUTDIR/images.tar (for "docker load"). See README.md.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# usage: build.sh OUTDIR. Needs root, mmdebstrap and this machine's own Debian mirror; no Docker Engine, no registry.
# Does nothing if OUTDIR holds what this recipe makes. The root file system, which rarely changes, is cached on its own.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive

recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${STANDIN_CACHE:-/var/tmp/crosshost-overlay-standin}
version=2.9.0

fail() {
  printf 'standin: %s\n' "$*" >&2
  exit 1
}

[[ $# -eq 1 ]] || fail "usage: build.sh OUTDIR"
mkdir -p "$1" "$cache"
out=$(cd "$1" && pwd)
# shellcheck source=/dev/null
suite=$(. /etc/os-release && [[ $ID == debian ]] && printf '%s' "$VERSION_CODENAME") ||
  fail "the image is built with the Debian packages this machine is configured for, and this is not Debian."

hash_of() {
  {
    printf '%s %s\n' "$suite" "$(dpkg --print-architecture)"
    cd "$recipe"
    find "$@" -type f ! -name '*.pyc' -printf '%P %m\n' | sort
    find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 cat
  } | sha256sum | cut -c 1-12
}

exec 9>/run/lock/crosshost-overlay-standin
flock -w 900 9 || fail "another build has been going on for 15 minutes (lock /run/lock/crosshost-overlay-standin)."

hash=$(hash_of .)
if [[ -s $out/images.tar && -s $out/weave && $(cat "$out/.recipe" 2>/dev/null) == "$hash" ]]; then
  printf '{"changed": false, "script": "%s/weave", "images": "%s/images.tar"}\n' "$out" "$out"
  exit
fi

# $(REPO_URI) and the like are apt's own placeholders.
# shellcheck disable=SC2016
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk -v suite="$suite" '$3 == "main" && $4 == "Debian" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
      print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $1, $2, $3}' | sort -u
}

base=$cache/base-$(hash_of build.sh rootfs.sh packages.txt).tar
if [[ ! -s $base ]]; then
  [[ $EUID -eq 0 ]] || fail "only root can build the root file system."
  command -v mmdebstrap >/dev/null || {
    timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || true
    timeout 300 apt-get -qq -y -o DPkg::Lock::Timeout=120 --no-install-recommends install mmdebstrap >&2
  }
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  {
    apt-config dump | grep -E '^Acquire::(Check-(Valid-Until|Date)|https?::Proxy) ' || true
    [[ -z ${http_proxy:-} ]] || printf 'Acquire::http::Proxy "%s";\n' "$http_proxy"
  } >"$work/machine.conf"
  sources >"$work/sources.list"
  [[ -s $work/sources.list ]] || fail "this machine's apt configuration names no Debian archive for '$suite'."
  # "extract": nothing is configured, no package manager inside; rootfs.sh makes the few links that maintainer scripts would.
  TMPDIR=$work timeout 600 mmdebstrap --mode=root --variant=extract \
    --include="$(grep -v '^#' "$recipe/packages.txt" | paste -sd ,)" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --aptopt="$work/machine.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --extract-hook="$recipe/rootfs.sh" "$suite" "$work/base.tar" - <"$work/sources.list" >&2
  mv "$work/base.tar" "$base"
  find "$cache" -maxdepth 1 -name 'base-*.tar' ! -name "$(basename "$base")" -delete
fi

rm -f "$out/.recipe"
python3 "$recipe/pack.py" "$version" "$base" "$recipe/image" "$out/images.tar"
sed "s/@VERSION@/$version/" "$recipe/weave" >"$out/weave"
chmod 755 "$out/weave"
printf '%s\n' "$hash" >"$out/.recipe"
printf '{"changed": true, "script": "%s/weave", "images": "%s/images.tar"}\n' "$out" "$out"
