#!/bin/sh
# The main job, start to end. Run by `./dev demo`, with vmctl in PATH.
set -eu
cd "$(dirname "$0")"

step() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# A run that was broken off may have left its VM.
vmctl down --destroy 2>/dev/null || true

step vmctl up
step vmctl list
step vmctl ssh -- 'cat /etc/motd; . /etc/os-release; echo "this is $PRETTY_NAME, kernel $(uname -r)"'
cat <<'TEXT'

It works. To go in yourself:

    cd examples/quickstart
    export PATH="$(cd ../../build/main/tools/vmctl && pwd):$PATH"
    vmctl up && vmctl ssh

Now it is deleted again.
TEXT
step vmctl down --destroy
