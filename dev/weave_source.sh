#!/usr/bin/env bash
# Which Weave Net the lab runs: dev/weave_source.sh VARS   writes the role's variables to the file VARS, and says on one line what they name.
# WEAVE_SCRIPT and WEAVE_IMAGE_ARCHIVE (files) name a real one; without them it is the stand-in, built if need be.
set -euo pipefail
cd "$(dirname "$0")/.."

script=${WEAVE_SCRIPT-} images=${WEAVE_IMAGE_ARCHIVE-}
what="$script and $images, as WEAVE_SCRIPT and WEAVE_IMAGE_ARCHIVE say"
if [[ -z $script && -z $images ]]; then
    molecule/weave/standin/build.sh .cache/weave >/dev/null
    script=$PWD/.cache/weave/weave images=$PWD/.cache/weave/images.tar
    what="the stand-in of molecule/weave/standin (a real one: WEAVE_SCRIPT=... WEAVE_IMAGE_ARCHIVE=...)"
fi
for file in "$script" "$images"; do
    if [[ ! -r $file ]]; then
        echo "WEAVE_SCRIPT and WEAVE_IMAGE_ARCHIVE belong together; there is no file '$file'." >&2
        exit 1
    fi
done
script=$(realpath "$script") images=$(realpath "$images")
mkdir -p "$(dirname "$1")"
printf -- '---\nweave_script_file: "%s"\nweave_image_archive: "%s"\n' "$script" "$images" >"$1"
echo "Weave Net: $what"
