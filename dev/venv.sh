#!/usr/bin/env bash
# Make .venv: the pinned tools of requirements-dev.txt, and this repository in it as the collection crosshost.overlay.
# Called by "make .venv" when a requirements file is newer than .venv/.stamp.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .cache
exec 9>.cache/venv.lock
flock --timeout 900 9
if [[ -e .venv/.stamp && -z $(find requirements.txt requirements-dev.txt constraints-dev.txt -newer .venv/.stamp) ]]; then
    exit 0 # another process made it while this one waited
fi

# ansible-core 2.19 needs one of these on the control node. The distribution's own comes first: it is the one that users have,
# and what version managers build is often slower. One that can make virtual environments is better than one that cannot yet.
find_python() {
    local name needed
    for needed in ensurepip sys; do
        for name in ${PYTHON:-/usr/bin/python3 python3.11 python3.12 python3.13 python3}; do
            if "$name" -c "import sys, $needed; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null; then
                echo "$name"
                return
            fi
        done
    done
    return 1
}

# Debian packages that are missing here; the tools need git and ssh, the virtual environment ensurepip.
missing=()
if ! python=$(find_python); then
    missing+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=(python3-venv)
fi
command -v git >/dev/null || missing+=(git)
command -v ssh-keygen >/dev/null || missing+=(openssh-client)
if ((${#missing[@]})); then
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Missing on this machine: ${missing[*]} (Debian's package names). Install them, then run make again." >&2
        exit 1
    fi
    echo "Installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 apt-get update -qq
    timeout 600 apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
fi
python=$(find_python) || {
    echo "No Python 3.11, 3.12 or 3.13 on this machine (looked for ${PYTHON:-/usr/bin/python3, python3.11, python3.12, python3.13, python3})." >&2
    exit 1
}

echo "Making .venv with $("$python" --version) ..."
rm -rf .venv
"$python" -m venv .venv
# Most of it is never imported; what is, Python compiles then.
timeout 900 .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --no-input -r requirements-dev.txt
# Ansible starts a process for each task and host, and each of them looks for garbage while it only begins: a tenth of its time.
echo 'import gc; gc.set_threshold(100_000, 50, 1000)' >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/seldom_gc.pth"

# Ansible finds a collection only below ansible_collections/<namespace>/<name>.
mkdir -p .venv/collections/ansible_collections/crosshost
ln -sfn ../../../.. .venv/collections/ansible_collections/crosshost/overlay
touch .venv/.stamp
