#!/bin/sh
# `vmctl list` with 100 VMs recorded, against `virsh list` of libvirt's built-in test driver, which
# knows one VM. Whole processes. Wanted: at most 0.3.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
vmctl=$VMM_BUILD/tools/vmctl/vmctl
work=$(mktemp -d /tmp/vmm-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
virsh=$(sh "$top/tests/bench/virsh.sh" "$top/build/peers/virsh")
# The wrapper's environment, without its shell: only virsh itself is timed.
LD_LIBRARY_PATH=$virsh/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
export XDG_DATA_HOME=$work/data HOME=$work
mkdir -p "$work/data/vmctl/vms"
chmod 700 "$work/data/vmctl" "$work/data/vmctl/vms"
python3 - "$work/data/vmctl/vms.json" <<'PY'
import json, sys, uuid
vms = {}
for i in range(100):
    name = f"vm-{i:03}"
    vms[name] = {"id": str(uuid.uuid4()), "name": name, "backend": "qemu", "state": "stopped",
                 "vcpus": 2, "memory_mb": 2048, "network": {"type": "User"},
                 "ssh_host_port": 10022 + i, "mac_addr": f"52:54:00:00:00:{i:02x}",
                 "image_path": "/images/debian.qcow2", "image_format": "qcow2"}
json.dump(vms, open(sys.argv[1], "w"))
PY
chmod 600 "$work/data/vmctl/vms.json"
[ "$("$vmctl" list | wc -l)" = 101 ]
python3 "$top/tests/bench/pair.py" -n "${RUNS:-41}" \
    "vmctl list, 100 VMs" "$vmctl list" \
    "virsh list --all, test driver" "$virsh/root/usr/bin/virsh -c test:///default list --all"
