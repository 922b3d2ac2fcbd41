#!/usr/bin/env bats
# A QEMU that misbehaves: every start ends with one error that says why, every stop ends, and what is
# left afterwards is a VM that can be started.

load helpers

setup() {
    make_home
    vmfile web
}
teardown() { end_all; }

# After a start that failed: no process, no socket, a VM that is stopped or prepared, and `up` works
# once QEMU behaves.
nothing_left() {
    await 5 is_nobody_left || {
        echo "still there: $(ours)"
        return 1
    }
    run find "$data" -type s -o -name pidfile
    [ -z "$output" ] || {
        echo "left: $output"
        return 1
    }
    [[ $(field web state) =~ ^(prepared|stopped)$ ]]
    [ "$(field web pid)" = None ]
}

up_works_again() {
    script
    run --separate-stderr vmctl up
    [ "$status" = 0 ] || {
        echo "$stderr"
        return 1
    }
    [ "$(field web state)" = running ]
    # And it can be entered by its monitor, seen and stopped like any other.
    vmctl suspend web
    vmctl stop web
}

@test "QEMU ends before it is ready: its own words are shown" {
    script 'exit-before-socket:1:-device virtio-blk-pci: Failed to get "write" lock'
    vmctl_fails 1 vm_manager::qemu::spawn_failed up
    says 'QEMU for VM "web" ended with status 1 before it was ready'
    says '| qemu-system-x86_64: -device virtio-blk-pci: Failed to get "write" lock'
    nothing_left
    up_works_again
}

@test "QEMU's last words reach no terminal as they are (security.md D-3)" {
    script $'exit-before-socket:1:\e[31mred\a'
    vmctl_fails 1 vm_manager::qemu::spawn_failed up
    lacks "$stderr" $'\e'
    lacks "$stderr" $'\a'
    says red
}

@test "QEMU is killed before it is ready" {
    script 'die-mid-reply:qmp_capabilities'
    vmctl_fails 1 vm_manager::qemu::spawn_failed up
    says 'was killed by signal 9'
    nothing_left
    up_works_again
}

@test "QEMU dies in the middle of its answer to cont" {
    script 'die-mid-reply:cont'
    start_clock
    vmctl_fails 1 vm_manager::qemu::spawn_failed up
    took_below 3000
    nothing_left
    up_works_again
}

@test "QEMU refuses to go on" {
    script 'error:cont:GenericError:disk0: I/O error'
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says 'disk0: I/O error'
    lacks "$stderr" 'does not answer' # it did
    nothing_left
    up_works_again
}

@test "QEMU answers with garbage, a foreign id, a flood (security.md C-6)" {
    script garbage:cont
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    lacks "$stderr" $'\e'
    nothing_left
    script wrong-id:cont
    up_works_again
    vmctl destroy web
    script event-flood:cont:3000
    vmctl up
    [ "$(field web state)" = running ]
    (($(cat "$(vm_dir web)"/events.log* | wc -c) < 3 << 20))
}

@test "a QEMU that says no word: Ctrl-C ends the command within a second, nothing is left" {
    script no-greeting
    vmctl up 2>err 3>&- &
    local up=$!
    has_qemu() { [ -n "$(qemus)" ]; }
    await 5 has_qemu
    start_clock
    kill -INT "$up"
    await 5 is_gone "$up" || kill -KILL "$up"
    local code=0
    wait "$up" || code=$?
    [ "$code" = 130 ]
    took_below 1500
    nothing_left
    up_works_again
}

@test "a monitor that hangs does not make a list hang" {
    script hang:query-status
    vmctl up
    start_clock
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    prints running
    took_below 2000
}

@test "a VM that is stopped by a signal is listed, and its neighbours too" {
    vmfile db
    vmctl up
    local pid
    pid=$(field web pid)
    kill -STOP "$pid"
    start_clock
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 3 ]
    took_below 2000
    kill -CONT "$pid"
}

@test "stop: a guest that does not hear the button is switched off in time" {
    script ignore-powerdown
    vmctl up
    start_clock
    run --separate-stderr vmctl stop web --timeout 1
    [ "$status" = 0 ]
    took_below 3000
    [ "$(field web state)" = stopped ]
    [ "$(vmctl status web --json | json 'd["ended"]["how"]')" = host-signal ]
    nothing_left
}

@test "stop --timeout 0 asks nobody" {
    script powerdown-ms:60000
    vmctl up
    start_clock
    vmctl stop web --timeout 0
    took_below 1500
    nothing_left
}

# These take as long as they may, so all at the same time.
@test "what only time can end: QEMU that hangs on cont, that minds no signal, that is frozen; a lock" {
    vmfile hanging
    vmfile frozen
    vmfile locked
    local jobs=() codes=() name code
    vmctl up --name hanging --name locked
    vmctl down --name hanging --name locked
    script ignore-powerdown ignore-sigterm
    vmctl up --name web --name frozen
    echo hang:cont >"$(vm_dir hanging)/fake-qemu.script"
    kill -STOP "$(field frozen pid)"
    exec 8>"$data/vms/.locked.lock"
    flock 8
    start_clock
    vmctl start hanging 2>said-hanging 3>&- 8>&- &
    jobs+=($!)
    vmctl stop frozen --timeout 1 2>said-frozen 3>&- 8>&- &
    jobs+=($!)
    vmctl start locked 2>said-locked 3>&- 8>&- &
    jobs+=($!)
    vmctl stop web --timeout 1
    took_below 8000 # 1 s for the guest, 5 s for QEMU
    for job in "${jobs[@]}"; do
        code=0
        wait "$job" || code=$?
        codes+=("$code")
    done
    took_below 14000
    exec 8>&-
    [ "${codes[*]}" = "1 0 1" ]

    # 10 s for QEMU's answer.
    stderr=$(<said-hanging)
    says 'error[vm_manager::qemu::qmp_'
    says 'VM "hanging"'
    says 'did not answer "cont"'
    # 10 s for who holds the lock.
    stderr=$(<said-locked)
    says 'error[vm_manager::vm::busy]: VM "locked" is being worked on'
    # The frozen one: 5 s until its monitor is given up, 5 s from SIGTERM to SIGKILL.
    for name in web frozen; do
        [ "$(vmctl status $name --json | json 'd["ended"]["how"], d["ended"]["signal"]')" = "('killed', 9)" ]
    done
    nothing_left
    rm "$(vm_dir hanging)/fake-qemu.script"
    up_works_again
}

@test "destroy does not ask: a hanging QEMU is gone at once" {
    script hang:query-status ignore-powerdown ignore-sigterm
    vmctl up
    kill -STOP "$(qemus)"
    start_clock
    run --separate-stderr vmctl destroy web
    [ "$status" = 0 ]
    took_below 2000
    is_nobody_left
    [ -z "$(ls -A "$data/vms")" ]
}

@test "QEMU dies in the middle of an answer to suspend: said, and the state is true" {
    script die-mid-reply:stop
    vmctl up
    run --separate-stderr vmctl suspend web
    [ "$status" = 1 ]
    says "error["
    await 5 is_nobody_left
    [ "$(field web state)" = stopped ]
    [ "$(vmctl status web --json | json 'd["ended"]["how"]')" = killed ]
    up_works_again
}

@test "suspend that QEMU refuses" {
    script 'error:stop:GenericError:not now'
    vmctl up
    run --separate-stderr vmctl suspend web
    [ "$status" = 1 ]
    says 'not now'
    [ "$(field web state)" = running ]
}

@test "the port is taken between looking and QEMU's start: said, and the next up works" {
    # A QEMU that finds its forward taken says so in these words.
    script "exit-before-socket:1:-netdev user,id=net0,hostfwd=tcp:127.0.0.1:10022-:22: Could not set up host forwarding rule 'tcp:127.0.0.1:10022-:22'"
    vmctl_fails 1 vm_manager::host::port_unavailable up
    nothing_left
    up_works_again
}

@test "one VM that fails does not keep the others from coming up" {
    vmfile db
    vmfile log
    # The fake reads its script from the folder of its VM as well.
    vmctl up
    vmctl down
    printf 'exit-before-socket:1:told to\n' >"$(vm_dir db)/fake-qemu.script"
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says 'QEMU for VM "db" ended with status 1'
    says "web: up"
    says "log: up"
    says "db: failed"
    [ "$(vmctl list --json | json '[v["state"] for v in d]')" = "['stopped', 'running', 'running']" ]
}
