#!/usr/bin/env bats
# The process that stays with a running VM: it loses nothing when it is killed, shares the console,
# bounds the logs, leaves qmp.sock to people and writes down how the VM ended.

load helpers

setup() {
    make_home
    vmfile web
}
teardown() { end_all; }

has_keeper_but() { [ -n "$(keepers)" ] && [ "$(keepers)" != "$1" ]; }
ended_how() { vmctl status web --json | json 'd["ended"]["how"]'; }
is_recorded() { [ -f "$(vm_dir web)/ended.json" ]; }
has_stopped() { [ "$(field web state)" = stopped ]; }

kill_keeper() {
    keeper=$(keepers)
    kill -KILL "$keeper"
    await 5 is_gone "$keeper"
}

no_runtime_files() {
    run find "$data" -type s -o -name pidfile
    [ -z "$output" ] || {
        echo "left: $output"
        return 1
    }
}

@test "a killed keeper: QEMU runs on, and the next command starts a new one" {
    vmctl up
    local qemu
    qemu=$(qemus)
    kill_keeper
    [ "$(qemus)" = "$qemu" ]
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    prints running
    await 5 has_keeper_but "$keeper"
    [ "$(qemus)" = "$qemu" ]
    [ "$(field web pid)" = "$qemu" ]
    # It does all that the first one did.
    await 5 grep -q keeper-replaced "$(vm_dir web)/events.log"
    grep -q 'the console was not recorded for a moment' "$(vm_dir web)/console.log"
    python "$BATS_TEST_DIRNAME/client.py" type "$(vm_dir web)/console.sock" after-the-kill >/dev/null
    await 5 grep -q after-the-kill "$(vm_dir web)/console.log"
    vmctl stop web
    [ "$(ended_how)" = guest-shutdown ]
    no_runtime_files
}

@test "a killed keeper, many commands at once: one new keeper" {
    vmctl up
    kill_keeper
    local jobs=() i
    for i in 1 2 3 4 5 6; do
        vmctl list >/dev/null 3>&- &
        jobs+=($!)
    done
    wait "${jobs[@]}"
    await 5 grep -q keeper-replaced "$(vm_dir web)/events.log"
    run vmctl status web
    [ "$status" = 0 ]
    vmctl stop web
    # Those who came second see that there is nothing to keep.
    await 12 is_nobody_left
    [ "$(grep -c keeper-replaced "$(vm_dir web)/events.log")" = 1 ]
    [ "$(grep -c '"event":"ended"' "$(vm_dir web)/events.log")" = 1 ]
    no_runtime_files
}

@test "a killed keeper and QEMU's end unseen: the state is true, and up works" {
    vmctl up
    kill_keeper
    kill -KILL "$(qemus)"
    await 5 has_stopped
    run --separate-stderr vmctl up
    [ "$status" = 0 ]
    [ "$(field web state)" = running ]
    [ "$(qemus | wc -w)" = 1 ]
}

@test "a killed keeper, then stop at once: nothing is left and the end is recorded" {
    vmctl up
    kill_keeper
    vmctl stop web
    [ "$(field web state)" = stopped ]
    [ -z "$(qemus)" ]
    await 5 is_nobody_left
    no_runtime_files
    [ "$(ended_how)" = guest-shutdown ]
}

@test "a killed keeper, then suspend, resume and destroy" {
    vmctl up
    kill_keeper
    vmctl suspend web
    [ "$(field web state)" = suspended ]
    kill -KILL $(keepers)
    vmctl resume web
    [ "$(field web state)" = running ]
    kill -KILL $(keepers)
    vmctl destroy web
    await 5 is_nobody_left
    [ -z "$(ls -A "$data/vms")" ]
}

@test "a stopped keeper holds nobody up" {
    vmctl up
    kill -STOP "$(keepers)"
    start_clock
    run vmctl list
    [ "$status" = 0 ]
    prints running
    vmctl suspend web
    vmctl resume web
    took_below 2000
    kill -CONT "$(keepers)"
    vmctl stop web
    [ "$(ended_how)" = guest-shutdown ]
}

@test "the console from its first byte, for the log and for every viewer alike" {
    seq -f 'line %g' 2000 | sed 's/$/\r/' >console
    script "console:$PWD/console"
    vmctl up
    local viewers=() i
    for i in 1 2 3; do
        python "$BATS_TEST_DIRNAME/client.py" view "$(vm_dir web)/console.sock" >"seen-$i" 3>&- &
        viewers+=($!)
    done
    for i in 1 2 3; do
        await 5 grep -q 'line 2000' "seen-$i"
    done
    # What one types arrives and comes back to all.
    python "$BATS_TEST_DIRNAME/client.py" type "$(vm_dir web)/console.sock" typed-by-one >/dev/null
    for i in 1 2 3; do
        await 5 grep -q typed-by-one "seen-$i"
    done
    vmctl stop web
    wait "${viewers[@]}"
    { cat console; printf typed-by-one; } >want
    for i in 1 2 3; do
        cmp want "seen-$i"
    done
    cmp want "$(vm_dir web)/console.log"
}

@test "a viewer that does not read holds nobody up (security.md D-2)" {
    vmctl up
    python -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print("in", flush=True); sys.stdin.read()' \
        "$(vm_dir web)/console.sock" >in < <(await 60 test -e done) 3>&- &
    local idle=$!
    await 5 grep -q in in
    vmctl stop web
    head -c 6000000 /dev/zero | tr '\0' 'x' >console
    printf '\nthe end\r\n' >>console
    script "console:$PWD/console"
    vmctl up
    await 10 grep -q 'the end' "$(vm_dir web)/console.log"
    touch done
    wait "$idle"
}

@test "console.log is bounded (security.md D-2)" {
    yes 'a line of a guest that does not stop talking' | head -c 30000000 >console
    printf '\r\nthe last line\r\n' >>console
    script "console:$PWD/console"
    vmctl up
    await 20 grep -q 'the last line' "$(vm_dir web)/console.log"
    local total
    total=$(cat "$(vm_dir web)"/console.log* | wc -c)
    ((total <= 16 << 20)) # console.log and console.log.1
    ((total > 8 << 20))
    run vmctl log web --console -n 1
    [ "$output" = "the last line" ]
    [ "$(ls "$(vm_dir web)" | grep -c '^console\.log')" = 2 ]
}

@test "each start has a console.log of its own, the one before is kept" {
    vmctl up
    await 5 grep -q 'fake login' "$(vm_dir web)/console.log"
    vmctl stop web
    printf 'second boot\r\n' >console
    script "console:$PWD/console"
    vmctl up
    await 5 grep -q 'second boot' "$(vm_dir web)/console.log"
    lacks "$(cat "$(vm_dir web)/console.log")" "fake login"
    grep -q 'fake login' "$(vm_dir web)/console.log.1"
}

@test "events.log: one JSON a line, with firmware and events, whatever the guest says" {
    printf 'SeaBIOS (version 1)\n\033]0;evil\007 \377\376 "quoted" \\\n' >firmware
    script "firmware:$PWD/firmware"
    vmctl up
    await 5 grep -q quoted "$(vm_dir web)/events.log"
    vmctl stop web
    python -c 'import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert all({"event", "time", "vm"} <= e.keys() for e in events), events
kinds = [e["event"] for e in events]
assert kinds[0] == "started" and kinds[-1] == "ended", kinds
assert "firmware" in kinds and "qmp" in kinds, kinds
assert [e["name"] for e in events if e["event"] == "qmp"][-1] == "SHUTDOWN"' "$(vm_dir web)/events.log"
}

@test "firmware that does not stop talking is bounded (security.md D-2)" {
    yes 'a line of firmware' | head -c 4000000 >firmware
    script "firmware:$PWD/firmware"
    vmctl up
    vmctl stop web
    # What matters more is not lost among it.
    local lines
    lines=$(cat "$(vm_dir web)"/events.log* | grep -c '"event":"firmware"')
    ((lines >= 100 && lines <= 400))
    grep -q SHUTDOWN "$(vm_dir web)/events.log"
}

@test "qmp.sock is for people: held, it holds nobody up" {
    vmctl up
    python "$BATS_TEST_DIRNAME/client.py" hold "$(vm_dir web)/qmp.sock" >held < <(await 60 test -e done) 3>&- &
    local holder=$!
    await 5 grep -q held held
    start_clock
    run vmctl list
    prints running
    vmctl suspend web
    [ "$(field web state)" = suspended ]
    vmctl resume web
    touch done
    wait "$holder"
    [ "$(sed -n 2p held | json 'd["return"]["status"]')" = running ]
    rm done
    python "$BATS_TEST_DIRNAME/client.py" hold "$(vm_dir web)/qmp.sock" >held < <(await 60 test -e done) 3>&- &
    holder=$!
    await 5 grep -q held held
    vmctl stop web
    took_below 5000
    touch done
    wait "$holder" || : # its QEMU is gone
    [ "$(field web state)" = stopped ]
}

@test "how it ended: the guest powered off" {
    vmctl up
    qmp "$(vm_dir web)/qmp.sock" system_powerdown
    await 5 is_recorded
    [ "$(ended_how)" = guest-shutdown ]
    run vmctl status web
    [[ $output =~ Ended:\ +guest-shutdown\ at\ 20 ]]
    [ "$(field web state)" = stopped ]
    await 5 is_nobody_left
    no_runtime_files
}

@test "how it ended: QEMU was killed" {
    vmctl up
    kill -KILL "$(qemus)"
    await 5 is_recorded
    [ "$(ended_how)" = killed ]
    [ "$(vmctl status web --json | json 'd["ended"]["signal"]')" = 9 ]
    run vmctl status web
    [[ $output =~ Ended:\ +killed ]]
    await 5 is_nobody_left
    no_runtime_files
}

@test "how it ended: QEMU was terminated by somebody" {
    vmctl up
    kill -TERM "$(qemus)"
    await 5 is_recorded
    [ "$(ended_how)" = host-signal ]
}

@test "how it ended: QEMU crashed, with its last words" {
    script 'crash:query-uuid:virtio: bogus descriptor or out of resources'
    vmctl up
    qmp "$(vm_dir web)/qmp.sock" query-uuid
    await 5 is_recorded
    [ "$(ended_how)" = crashed ]
    [ "$(vmctl status web --json | json 'd["ended"]["exit_status"]')" = 1 ]
    vmctl status web --json | json 'd["ended"]["stderr"]' | grep -q 'bogus descriptor'
    grep -q 'bogus descriptor' "$(vm_dir web)/qemu.log"
}

@test "how it ended is told until the next start" {
    vmctl up
    vmctl stop web
    is_recorded
    vmctl start web
    run ! is_recorded
    run vmctl status web
    lacks "$output" Ended
}

@test "a guest that panics: the VM has failed, not ended" {
    script panic
    vmctl up
    await 5 grep -q GUEST_PANICKED "$(vm_dir web)/events.log"
    [ "$(field web state)" = failed ]
    vmctl_fails 1 vm_manager::vm::invalid_state up
    says failed
    vmctl stop web --timeout 0
    [ "$(field web state)" = stopped ]
}

@test "a pid that is another process by now is left alone (security.md C-8, 3.2)" {
    vmctl up
    kill_keeper
    kill -KILL "$(qemus)"
    await 5 has_stopped
    # A stranger that has the pid on record, and the pid file says so as well.
    tail -f /dev/null 3>&- &
    local stranger=$!
    python - "$data/vms.json" "$stranger" <<'PY'
import json, sys
path, pid = sys.argv[1], int(sys.argv[2])
records = json.load(open(path))
records["web"]["pid"] = pid
records["web"]["state"] = "running"
json.dump(records, open(path, "w"))
PY
    echo "$stranger" >"$(vm_dir web)/pidfile"
    run vmctl list
    prints stopped
    vmctl stop web --timeout 0
    vmctl destroy web
    kill -0 "$stranger"
    kill "$stranger"
}

@test "viewers that come and go while the guest prints: the keeper stays" {
    python -c 'print("0123456789" * 40000 * 10)' >flood
    script "console:$PWD/flood"
    vmctl up
    keeper=$(keepers)
    python - "$(vm_dir web)/console.sock" <<'PY'
import socket, sys
for _ in range(200):
    viewers = []
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        viewers.append(s)
    viewers[0].send(b"typed")
    viewers[1].recv(100)
    for s in viewers:
        s.close()
PY
    [ "$(keepers)" = "$keeper" ]
    vmctl stop web
    [ "$(ended_how)" = guest-shutdown ]
}

# security.md O2, O4: keeper and tool were killed before either could write the pid down.
@test "a QEMU that no file knows of: not started beside, stopped and destroyed all the same" {
    vmctl up
    qemu=$(qemus)
    kill_keeper
    python - "$data/vms.json" <<'PY'
import json, sys
vms = json.load(open(sys.argv[1]))
for key in ("pid", "pid_start_ticks", "boot_id"):
    del vms["web"][key]
vms["web"]["state"] = "prepared"
json.dump(vms, open(sys.argv[1], "w"))
PY
    rm "$(vm_dir web)/pidfile"
    vmctl_fails 1 vm_manager::vm::busy up
    says "$qemu"
    says 'vmctl stop web'
    [ "$(qemus)" = "$qemu" ]
    vmctl stop web
    is_nobody_left
    no_runtime_files
    vmctl up
    vmctl destroy web
    is_nobody_left
}
