#!/bin/sh
# What a person without us would write: keys, overlay, seed, QEMU and a loop around ssh, for the tiny
# guest. usage: bare_up.sh FOLDER IMAGE up|down
set -eu
dir=$1
image=$2
port=23022

case $3 in
up)
    mkdir -p "$dir"
    cd "$dir"
    ssh-keygen -q -t ed25519 -N '' -C bench -f key
    ssh-keygen -q -t ed25519 -N '' -C bench -f host
    python3 - <<'PY'
import json
key = open("key.pub").read().strip()
host = open("host").read()
open("meta-data", "w").write(json.dumps({"instance-id": "bench", "local-hostname": "bench"}))
open("user-data", "w").write("#cloud-config\n" + json.dumps({
    "users": [{"name": "vm", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash",
               "ssh_authorized_keys": [key]}],
    "hostname": "bench", "disable_root": True, "ssh_pwauth": False,
    "ssh_keys": {"ed25519_private": host, "ed25519_public": open("host.pub").read().strip()}}))
PY
    echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 host.pub)" >known_hosts
    qemu-img create -q -f qcow2 -F qcow2 -b "$image" overlay.qcow2
    genisoimage -quiet -o seed.iso -V cidata -J -r user-data meta-data
    qemu-system-x86_64 -nodefaults -machine q35,accel=tcg -cpu max -smp 1 -m 256 -display none \
        -drive file=overlay.qcow2,if=virtio,format=qcow2 \
        -drive file=seed.iso,if=virtio,format=raw,readonly=on \
        -netdev user,id=n,hostfwd=tcp:127.0.0.1:$port-:22 -device virtio-net-pci,netdev=n \
        -device virtio-rng-pci -serial file:console.log -daemonize -pidfile pid
    until ssh -F none -i key -o BatchMode=yes -o ConnectTimeout=1 -o UserKnownHostsFile=known_hosts \
        -o StrictHostKeyChecking=yes -p $port vm@127.0.0.1 true 2>/dev/null; do
        sleep 0.1
    done
    ;;
down)
    [ ! -f "$dir/pid" ] || kill -9 "$(cat "$dir/pid")"
    rm -rf "$dir"
    ;;
esac
