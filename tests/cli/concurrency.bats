#!/usr/bin/env bats
# Many commands at once, and commands that are killed in the middle: nothing is lost, nothing is there
# twice, and the next command goes on from what there is.

load helpers

setup() { make_home; }
teardown() { end_all; }

# at_once COMMANDS: runs each line of standard input as a command; `codes` are their exit codes.
at_once() {
    local jobs=() line n=0
    while read -r line; do
        n=$((n + 1))
        bash -c "$line" >"out-$n" 2>&1 3>&- &
        jobs+=($!)
    done
    codes=
    for job in "${jobs[@]}"; do
        local code=0
        wait "$job" || code=$?
        codes+="$code "
    done
}

# What holds between any two commands (security.md 4.4, I1-I4): every VM on record has its folder and
# the other way round, and no two have a thing in common that one only can have.
registry_is_sound() {
    python - "$data" <<'PY'
import json, os, sys
data = sys.argv[1]
records = json.load(open(data + "/vms.json"))
folders = {f for f in os.listdir(data + "/vms") if not f.startswith(".")}
assert folders == set(records), (folders, set(records))
for key in "id", "mac_addr", "ssh_host_port":
    values = [r[key] for r in records.values() if r.get(key)]
    assert len(values) == len(set(values)), (key, values)
left = [f for f in os.listdir(data) + os.listdir(data + "/vms") if f.endswith(".tmp") or f.endswith(".new")]
assert not left, left
PY
}

names() { vmctl list --json | json '" ".join(v["name"] for v in d)'; }
states() { vmctl list --json | json '" ".join(sorted(set(v["state"] for v in d)))'; }

@test "32 commands make a VM each at the same time: all 32 are there (security.md 0.10)" {
    export VMCTL_BACKEND=noop
    for i in $(seq -w 32); do
        printf 'vm "vm%s" { image "disk.qcow2"; }\n' "$i" >"$i.kdl"
        echo "vmctl up -f $i.kdl"
    done >commands
    at_once <commands
    [ "$codes" = "$(printf '0 %.0s' {1..32})" ]
    [ "$(names)" = "$(for i in $(seq -w 32); do printf 'vm%s ' "$i"; done | sed 's/ $//')" ]
    registry_is_sound
    # And away with them, while somebody looks.
    for i in $(seq -w 32); do
        echo "vmctl destroy vm$i"
        echo "vmctl list --json"
    done >commands
    at_once <commands
    [ "$codes" = "$(printf '0 %.0s' {1..64})" ]
    [ "$(vmctl list --json)" = "[]" ]
    registry_is_sound
}

# Names whose looking for a port begins at the same one.
same_port="vm1 vm105 vm201 vm303 vm355 vm367 vm427 vm477"

@test "8 commands start a VM each at the same time: no two share a port" {
    for name in $same_port; do
        printf 'vm "%s" { image "disk.qcow2"; }\n' "$name" >"$name.kdl"
        echo "vmctl up -f $name.kdl"
    done >commands
    at_once <commands
    [ "$codes" = "$(printf '0 %.0s' {1..8})" ]
    [ "$(states)" = running ]
    [ "$(qemus | wc -w)" = 8 ]
    registry_is_sound
    # The port on record is the one that QEMU forwards.
    for pid in $(qemus); do
        tr '\0' '\n' <"/proc/$pid/cmdline" | grep -o 'hostfwd=tcp:127.0.0.1:[0-9]*'
    done | grep -o '[0-9]*$' | sort >forwarded
    vmctl list --json | json '"\n".join(str(v["ssh_host_port"]) for v in d)' | sort | cmp - forwarded
}

@test "one up of 8 VMs, stopped and started again: no two share a port" {
    for name in $same_port; do
        vmfile "$name"
    done
    vmctl up
    registry_is_sound
    vmctl down
    is_nobody_left
    # Also with those that do not run: what is promised is promised.
    vmfile web58
    vmctl up --name web58
    registry_is_sound
    vmctl up
    [ "$(states)" = running ]
    [ "$(qemus | wc -w)" = 9 ]
    registry_is_sound
}

@test "16 times up of one VM at the same time: one VM, one QEMU" {
    vmfile web
    for i in $(seq 16); do
        echo "vmctl up"
    done >commands
    at_once <commands
    [ "$(qemus | wc -w)" = 1 ]
    [ "$(keepers | wc -w)" = 1 ]
    [ "$(names)" = web ]
    [ "$(field web state)" = running ]
    [ "$(field web pid)" = "$(qemus)" ]
    registry_is_sound
    grep -lx 'web: up' out-* | wc -l | grep -qx 1
    # The 15 others find it running: that is what they were asked for.
    [ "$codes" = "$(printf '0 %.0s' {1..16})" ]
}

@test "up and destroy of one VM at the same time end in one of the two" {
    vmfile web
    vmctl up
    printf '%s\n' 'vmctl destroy web' 'vmctl up' 'vmctl stop web --timeout 1' 'vmctl up' 'vmctl destroy web' 'vmctl list' >commands
    at_once <commands
    registry_is_sound
    (($(qemus | wc -w) <= 1))
    run vmctl up
    [ "$status" = 0 ]
    [ "$(field web state)" = running ]
    vmctl destroy web
    is_nobody_left
}

@test "a lock that somebody holds: who acts waits for it, who looks does not" {
    vmfile web
    vmctl up
    vmctl stop web
    exec 8>"$data/vms/.web.lock"
    flock 8
    vmctl start web 2>err 3>&- 8>&- &
    local start=$!
    start_clock
    vmctl list
    vmctl status web
    took_below 2000
    [ "$(field web state)" = stopped ]
    run ! is_gone "$start"
    exec 8>&-
    wait "$start"
    [ "$(field web state)" = running ]
}

# A qemu-img that says it is there and hangs.
hanging_qemu_img() {
    mkdir bin
    printf '#!/bin/sh\necho $$ >"$HOME/qemu-img.pid"\nexec sleep 600\n' >bin/qemu-img
    chmod +x bin/qemu-img
}

@test "up killed while it makes the VM: half a VM is none, and the next up makes it whole" {
    vmfile web
    hanging_qemu_img
    PATH=$PWD/bin:$PATH vmctl up 2>err 3>&- &
    local up=$!
    await 5 test -s "$HOME/qemu-img.pid"
    # Meanwhile it is being made, for whoever looks ...
    run vmctl list
    prints preparing
    kill -KILL "$up"
    wait "$up" || :
    # ... and its qemu-img goes with the command.
    await 5 is_nobody_left
    run vmctl list
    lacks "$output" running
    lacks "$output" stopped
    lacks "$output" prepared
    for command in start suspend; do
        run --separate-stderr vmctl "$command" web
        [ "$status" = 1 ]
    done
    run --separate-stderr vmctl up
    [ "$status" = 0 ]
    [ "$(field web state)" = running ]
    [ "$(qemus | wc -w)" = 1 ]
    run find "$data" -name '*.tmp'
    [ -z "$output" ]
    registry_is_sound
}

@test "up killed while it makes the VM: destroy clears it away" {
    vmfile web
    hanging_qemu_img
    PATH=$PWD/bin:$PATH vmctl up 2>err 3>&- &
    local up=$!
    await 5 test -s "$HOME/qemu-img.pid"
    kill -KILL "$up"
    wait "$up" || :
    vmctl destroy web
    await 5 is_nobody_left
    [ "$(vmctl list --json)" = "[]" ]
    registry_is_sound
}

@test "Ctrl-C while it makes the VM: 130 within a second, nothing is left (K-5)" {
    vmfile web
    hanging_qemu_img
    PATH=$PWD/bin:$PATH vmctl up 2>err 3>&- &
    local up=$! code=0
    await 5 test -s "$HOME/qemu-img.pid"
    start_clock
    kill -INT "$up"
    await 3 is_gone "$up" || kill -KILL "$up"
    wait "$up" || code=$?
    [ "$code" = 130 ]
    took_below 1500
    await 2 is_nobody_left
    [ "$(vmctl list --json)" = "[]" ]
}

@test "killed anywhere: the next up goes on (security.md 4.4)" {
    vmfile web
    for ms in 1 2 3 4 5 6 7 8 9 10 12 14 16 18 20 23 26 30 35 40; do
        { timeout -s KILL "$(printf '0.%03d' "$ms")" vmctl up 3>&- || :; } 2>/dev/null
        vmctl list --json >/dev/null
        run --separate-stderr vmctl up
        [ "$status" = 0 ] || {
            echo "after a kill at $ms ms: $stderr"
            return 1
        }
        [ "$(qemus | wc -w)" = 1 ]
        { timeout -s KILL "$(printf '0.%03d' "$ms")" vmctl destroy web 3>&- || :; } 2>/dev/null
        run --separate-stderr vmctl destroy web
        [ "$status" = 0 ] || says 'not_found'
        await 12 is_nobody_left
        [ "$(vmctl list --json)" = "[]" ]
        [ -z "$(ls "$data/vms")" ]
    done
}

@test "what a killed writer of vms.json had in hand goes with the next change" {
    vmfile web
    export VMCTL_BACKEND=noop
    vmctl up
    echo half >"$data/.vms.json.0123456789abcdef.tmp" # the name it has between its making and the rename
    vmctl stop web
    run find "$data" -name '*.tmp'
    [ -z "$output" ]
}
