#!/usr/bin/env bats
# Real guests that do not come up: each is told at once and by name, not at a time-out.

load helpers

setup() { make_home; }
teardown() { remove_home; }

seconds() {
    start=$(date +%s)
    "$@" || rc=$?
    took=$(($(date +%s) - start))
    return "${rc:-0}"
}

@test "a kernel panic is reported at once" {
    vmfile web tiny-panic
    run seconds vmctl up
    [ "$status" = 1 ]
    contains "vm_manager::guest::failed"
    contains "its kernel panicked"
    contains "Kernel panic - not syncing"
}

@test "an initramfs shell is reported at once" {
    vmfile web tiny-initramfs
    run vmctl up
    [ "$status" = 1 ]
    contains "initramfs shell"
    contains "Dropping to a shell"
}

@test "a disk that does not boot is reported at once" {
    vmfile web empty
    qemu-img create -q -f qcow2 empty.qcow2 64M
    sed -i "s|$guests/empty|empty|" VMFile.kdl
    run vmctl up
    [ "$status" = 1 ]
    contains "no bootable disk"
}

@test "a guest without sshd: the wait names the rung, shows the console and exits 124" {
    vmfile web tiny-nosshd
    VMCTL_TIMEOUT=8 run vmctl up
    [ "$status" = 124 ]
    contains "vm_manager::wait::timed_out"
    contains "it stands at: "
    contains "sshd"
    contains "| "
}

@test "a guest that powers off while it boots is no time-out" {
    vmfile web tiny-nosshd
    vmctl up --no-wait
    vmctl ssh web -- true >out 2>&1 &
    job=$!
    for _ in $(seq 300); do grep -q 'userspace up' "$(vm_dir web)/console.log" && break; read -rt 0.1 <> <(:) || :; done
    kill -9 "$(cat "$(vm_dir web)/pidfile")"
    ! wait "$job"
    grep -q 'ended while it was booting' out
    grep -q killed "$(vm_dir web)/ended.json"
}
