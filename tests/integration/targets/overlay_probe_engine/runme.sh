#!/usr/bin/env bash
# Real packets between network namespaces, without Docker: the engine that overlay_probe runs in a container's namespace.
set -eux
prefix=xoprobe$$

clean_up() {
    for space in $(ip netns list | awk -v prefix="$prefix" 'index($1, prefix) == 1 {print $1}'); do
        ip netns delete "$space"
    done
}
trap clean_up EXIT

# ansible-test names the folder that holds ansible_collections.
PYTHONPATH=${ANSIBLE_COLLECTIONS_PATH%%:*} timeout 120 python engine.py "$prefix"
