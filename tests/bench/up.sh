#!/bin/sh
# `vmctl up` of the tiny guest to ssh-ready, against a bare script that does the same. Wanted: 1.05.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
vmctl=$VMM_BUILD/tools/vmctl/vmctl
work=$(mktemp -d /tmp/vmm-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME=$work/data VMCTL_ACCEL=tcg
mkdir "$work/data"
cat >"$work/VMFile.kdl" <<KDL
vm "bench" {
    image "$top/build/guests/tiny.qcow2"
    memory 256
    cloud-init { hostname "bench"; }
    ssh { user "vm"; }
}
KDL
bare="sh $top/tests/bench/bare_up.sh $work/bare $(realpath "$top/build/guests/tiny.qcow2")"
python3 "$top/tests/bench/pair.py" -n "${RUNS:-5}" \
    --clean "$vmctl destroy bench 2>/dev/null; $bare down; true" \
    "vmctl up, tiny guest" "$vmctl up --file $work/VMFile.kdl" \
    "bare script, tiny guest" "$bare up"
