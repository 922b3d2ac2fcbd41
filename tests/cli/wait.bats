#!/usr/bin/env bats
# Waiting for a guest one can log in to, with consoles of guests that never let one in. The fake's
# port 22 takes connections and says nothing, as QEMU's forward does before there is an sshd.

load helpers

setup() {
    make_home
    vmfile web "$with_ssh"
}
teardown() { end_all; }

linux_lines=$'[    0.000000] Linux version 6.1.0-13-amd64\r\n[    0.4] Run /init as init process\r\n'

plays() { # CONSOLE
    printf '%s' "$1" >console
    script "console:$PWD/console"
}

# What all of them have in common: at once, with the reason, the last lines and what to look at.
fails_at_once() {
    start_clock
    vmctl_fails 1 vm_manager::guest::failed up
    took_below 3000
    says "web: failed"
    says 'vmctl log web --console'
    # The guest is left as it is, for a look; and it is no secret that it runs.
    [ "$(field web state)" = running ]
}

@test "a kernel panic is told at once" {
    plays "${linux_lines}[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"$'\r\n[    1.3] ---[ end Kernel panic ]---\r\n'
    fails_at_once
    says 'VM "web" cannot boot: its kernel panicked'
    says '| [    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs'
}

@test "an initramfs shell is told at once" {
    plays "${linux_lines}"$'ALERT!  UUID=1234 does not exist.  Dropping to a shell!\r\n\r\nBusyBox v1.35.0 (Debian) built-in shell (ash)\r\n\r\n(initramfs) '
    fails_at_once
    says 'initramfs shell'
    says '| ALERT!  UUID=1234 does not exist.'
}

@test "a disk that does not boot is told at once" {
    printf 'SeaBIOS (version 1.16.2)\nBooting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device.\n' >firmware
    : >console
    script "console:$PWD/console" "firmware:$PWD/firmware"
    fails_at_once
    says 'its firmware found no bootable disk'
}

@test "emergency mode is told at once" {
    plays "${linux_lines}"$'[    2.0] systemd[1]: Started something.\r\nYou are in emergency mode. After logging in, type "journalctl -xb".\r\n'
    fails_at_once
    says 'emergency mode'
}

@test "a panic that QEMU tells" {
    script panic
    start_clock
    vmctl_fails 1 vm_manager::guest::failed up
    took_below 3000
    says 'its kernel panicked'
}

@test "what a dead guest printed reaches no terminal as it is (security.md D-3)" {
    plays "${linux_lines}"$'\e]0;title\a\e[31m\u202eKernel panic - not syncing: \e[0m\r\n'
    fails_at_once
    lacks "$stderr" $'\e'
    lacks "$stderr" $'\a'
    lacks "$stderr" $'\u202e'
}

@test "the next boot is judged by itself" {
    plays "${linux_lines}"$'Kernel panic - not syncing: first\r\n'
    fails_at_once
    vmctl stop web --timeout 0
    printf 'No bootable device.\n' >firmware
    : >console
    script "firmware:$PWD/firmware" "console:$PWD/console"
    fails_at_once
    says 'no bootable disk'
    lacks "$stderr" panic
    vmctl stop web --timeout 0
    plays "${linux_lines}"
    VMCTL_TIMEOUT=1 run --separate-stderr vmctl up
    [ "$status" = 124 ]
    lacks "$stderr" panic
    lacks "$stderr" bootable
}

@test "QEMU dies during the wait: told at once, with how" {
    plays "${linux_lines}"
    vmctl up 2>err 3>&- &
    local up=$!
    await 5 grep -q 'waiting for the kernel to start userspace' err
    start_clock
    kill -KILL "$(qemus)"
    local code=0
    wait "$up" || code=$?
    [ "$code" = 1 ]
    took_below 2000
    stderr=$(<err)
    says 'error[vm_manager::guest::failed]: VM "web" ended while it was booting (killed); it had come to: kernel'
    says '| [    0.4] Run /init as init process'
    says '  help: '
    [ "$(field web state)" = stopped ]
}

@test "the guest powers off during the wait: told at once" {
    plays "${linux_lines}"
    vmctl up 2>err 3>&- &
    local up=$!
    await 5 grep -q 'waiting for the kernel to start userspace' err
    qmp "$(vm_dir web)/qmp.sock" system_powerdown
    local code=0
    wait "$up" || code=$?
    [ "$code" = 1 ]
    stderr=$(<err)
    says 'ended while it was booting (guest-shutdown)'
}

@test "VMCTL_TIMEOUT: a silent guest, 124, and the rung it stands on" {
    : >console
    : >firmware
    script "console:$PWD/console" "firmware:$PWD/firmware"
    start_clock
    VMCTL_TIMEOUT=1 vmctl_fails 124 vm_manager::wait::timed_out up
    took_below 3000
    says 'VM "web" makes no progress; it stands at: process, waiting for the firmware'
    [ "$(field web state)" = running ]
}

@test "VMCTL_TIMEOUT: the rung is as far as the guest has come, with its last lines" {
    plays "${linux_lines}"
    VMCTL_TIMEOUT=1 vmctl_fails 124 vm_manager::wait::timed_out up
    says 'it stands at: kernel'
    says '| [    0.4] Run /init as init process'
    vmctl destroy web
    plays "${linux_lines}"$'systemd[1]: Reached target Multi-User.\r\ndebian login: '
    VMCTL_TIMEOUT=1 vmctl_fails 124 vm_manager::wait::timed_out up
    says 'it stands at: userspace, waiting for sshd'
    says '| debian login:'
}

@test "progress is talked about, on standard error, line by line where there is no terminal" {
    plays "${linux_lines}"
    VMCTL_TIMEOUT=1 run --separate-stderr vmctl up
    [ -z "$output" ]
    says "web: creating"
    says "web: starting"
    says "web: waiting for "
    lacks "$stderr" $'\r'
    lacks "$stderr" $'\e'
}

@test "--no-wait returns when the VM runs" {
    start_clock
    run --separate-stderr vmctl up --no-wait
    [ "$status" = 0 ]
    took_below 2000
    [ "$(field web state)" = running ]
}

# QEMU with its keeper, and no helper of the command.
only_vm_left() { [ "$(ours | wc -w)" = 2 ]; }

# interrupted SIGNAL: how `up` that waits for a silent guest takes it.
interrupted() {
    vmctl up 2>err 3>&- &
    local up=$!
    await 5 grep -q 'waiting for sshd' err
    start_clock
    kill "-$1" "$up"
    code=0
    wait "$up" || code=$?
    took_below 1500
}

@test "Ctrl-C during the wait: 130 within a second, and the VM is on record (K-5)" {
    interrupted INT
    [ "$code" = 130 ]
    stderr=$(<err)
    says 'error[vm_manager::interrupted]'
    says 'VM "web"; it stands at: '
    [ "$(field web state)" = running ]
    [ "$(field web pid)" = "$(qemus)" ]
    await 2 only_vm_left
    vmctl stop web
    is_nobody_left
}

@test "SIGTERM during the wait is taken like Ctrl-C" {
    interrupted TERM
    [ "$code" = 130 ]
    [ "$(field web state)" = running ]
}

@test "SIGKILL during the wait: the VM runs on and its helpers end" {
    interrupted KILL
    [ "$code" = 137 ]
    [ "$(field web state)" = running ]
    await 5 only_vm_left
}

@test "ssh waits the same way, and says so" {
    plays "${linux_lines}"$'Kernel panic - not syncing: no\r\n'
    vmctl up --no-wait
    start_clock
    vmctl_fails 1 vm_manager::guest::failed ssh web
    took_below 8000 # what was said before it came may be mended: a few seconds for that
    says 'its kernel panicked'
}

@test "one VM that dies does not end the wait for the other" {
    vmfile ok
    plays "${linux_lines}"$'Kernel panic - not syncing: no\r\n'
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says "ok: up"
    says "web: failed"
}
