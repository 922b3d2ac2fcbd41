#!/usr/bin/env bats
# A VM from up to destroy when nothing goes wrong.

load helpers

setup() { make_home; }
teardown() { end_all; }

state_is() { [ "$(field "$1" state)" = "$2" ]; }

@test "up makes and starts a VM; results and talk go where they belong" {
    vmfile web
    run --separate-stderr vmctl up
    [ "$status" = 0 ]
    [ -z "$output" ]
    says "web: up"
    lacks "$stderr" error
    state_is web running
    [ "$(field web pid)" = "$(qemus)" ]
    [ "$(qemus)" = "$(cat "$(vm_dir web)/pidfile")" ]
    [ "$(keepers | wc -w)" = 1 ]
}

@test "up starts a VM as its VMFile says (security.md C-1, C-4, E-2, 0.7)" {
    vmfile web 'vcpus 3' 'memory 700'
    vmctl up
    tr '\0' '\n' <"/proc/$(qemus)/cmdline" >argv
    for word in -nodefaults -no-user-config q35,accel=tcg "web,debug-threads=on"; do
        grep -qFx -- "$word" argv
    done
    grep -A1 -Fx -- -smp argv | grep -Fx 3
    grep -A1 -Fx -- -m argv | grep -Fx 700
    grep -A1 -Fx -- -sandbox argv | grep -q '^on,'
    grep -q '"driver":"qcow2".*"backing":{"driver":"qcow2","read-only":true' argv
    [ "$(grep -c '^user,id=net0,hostfwd=tcp:127\.0\.0\.1:[0-9]*-:22$' argv)" = 1 ]
    # The keeper has no business with our terminal, nor QEMU with our environment (A-8).
    lacks "$(tr '\0' '\n' <"/proc/$(qemus)/environ")" BATS
    for fd in 0 1 2; do
        [[ $(readlink "/proc/$(keepers)/fd/$fd") = /dev/null ]]
    done
}

@test "everything of a VM is private (security.md A-1)" {
    umask 0
    vmfile web 'ssh { user "vm"; }' 'cloud-init { hostname "web"; }'
    vmctl up --no-wait
    run find "$data" ! -type l -perm /077
    [ -z "$output" ]
    # And so is what either would make without thinking of it.
    grep -qx $'Umask:\t0077' "/proc/$(keepers)/status"
    grep -qx $'Umask:\t0077' "/proc/$(qemus)/status"
}

@test "list shows every VM" {
    vmfile web
    vmfile db 'vcpus 2' 'memory 2048' 'network "none"'
    vmctl up
    vmctl stop db
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    [[ ${lines[0]} = NAME*BACKEND*VCPUS*MEM*NETWORK*PID*SSH*STATE ]]
    [[ ${lines[1]} =~ ^db\ +qemu\ +2\ +2048\ +none\ .*\ stopped$ ]]
    [[ ${lines[2]} =~ ^web\ +qemu\ +1\ +1024\ +user\ .*\ running$ ]]
    [ "${#lines[@]}" = 3 ]
}

@test "list --json and status --json have the documented keys" {
    vmfile web
    vmctl up
    local keys='{"name","id","backend","state","vcpus","memory_mb","disk_gb","network","pid",
        "ssh_host_port","mac_addr","work_dir","overlay_path","image_path","image_format","vmfile_path"}'
    run --separate-stderr vmctl list --json
    [ "$status" = 0 ]
    [ "$(json "len(d), $keys <= d[0].keys()" <<<"$output")" = "(1, True)" ]
    [ "$(json 'd[0]["name"], d[0]["state"], d[0]["vcpus"], d[0]["memory_mb"], d[0]["network"]["type"]' <<<"$output")" = \
        "('web', 'running', 1, 1024, 'user')" ]
    run --separate-stderr vmctl status web --json
    [ "$(json "$keys <= d.keys()" <<<"$output")" = True ]
    [ "$(json 'd["work_dir"], d["vmfile_path"]' <<<"$output")" = "('$data/vms/web', '$PWD/VMFile.kdl')" ]
}

@test "status in words" {
    vmfile web
    vmctl up
    run --separate-stderr vmctl status web
    [ "$status" = 0 ]
    grep -Eq '^Name: +web$' <<<"$output"
    grep -Eq '^State: +running$' <<<"$output"
    grep -Eq "^PID: +$(qemus)$" <<<"$output"
    grep -Eq '^SSH port: +[0-9]+$' <<<"$output"
    grep -Eq '^Accelerator: +tcg$' <<<"$output"
}

@test "a second up leaves a running VM alone" {
    vmfile web
    vmctl up
    local pid
    pid=$(qemus)
    run --separate-stderr vmctl up
    [ "$status" = 0 ]
    says "web: runs already"
    [ "$(qemus)" = "$pid" ]
}

@test "up starts a stopped VM again, on the same disk" {
    vmfile web
    vmctl up
    local inode id
    inode=$(stat -c %i "$(vm_dir web)/overlay.qcow2")
    id=$(field web id)
    vmctl stop web
    run --separate-stderr vmctl up
    [ "$status" = 0 ]
    says "web: up"
    state_is web running
    [ "$(stat -c %i "$(vm_dir web)/overlay.qcow2")" = "$inode" ]
    [ "$(field web id)" = "$id" ]
}

@test "stop and start" {
    vmfile web
    vmctl up
    run --separate-stderr vmctl stop web
    [ "$status" = 0 ]
    [ -z "$output$stderr" ]
    state_is web stopped
    [ "$(field web pid)" = None ]
    is_nobody_left
    # Nothing of a run lies about after it.
    run find "$data" -type s -o -name pidfile
    [ -z "$output" ]
    run --separate-stderr vmctl stop web # is no mistake
    [ "$status" = 0 ]
    run --separate-stderr vmctl start web
    [ "$status" = 0 ]
    state_is web running
}

@test "suspend and resume" {
    vmfile web
    vmctl up
    vmctl suspend web
    state_is web suspended
    [ "$(qmp "$(vm_dir web)/qmp.sock" query-status | json 'd["return"]["status"]')" = paused ]
    vmctl resume web
    state_is web running
    [ "$(qmp "$(vm_dir web)/qmp.sock" query-status | json 'd["return"]["status"]')" = running ]
}

@test "a suspended VM can be stopped" {
    vmfile web
    vmctl up
    vmctl suspend web
    start_clock
    vmctl stop web
    took_below 3000
    [ "$(vmctl status web --json | json 'd["ended"]["how"]')" = guest-shutdown ]
}

@test "what cannot be done in a state names the state and the next command" {
    vmfile web
    vmctl up
    vmctl_fails 1 vm_manager::vm::invalid_state start web
    says '"web"'
    says running
    says 'vmctl stop web'
    run --separate-stderr vmctl resume web
    [ "$status" = 1 ]
    says 'error[vm_manager::vm::invalid_state]: VM "web" cannot be resumed: it is running'
    vmctl suspend web
    vmctl_fails 1 vm_manager::vm::invalid_state suspend web
    says suspended
    says 'vmctl resume web'
    vmctl_fails 1 vm_manager::vm::invalid_state start web
    says 'vmctl resume web'
    vmctl_fails 1 vm_manager::vm::invalid_state up
    says 'vmctl resume web'
    vmctl_fails 1 vm_manager::vm::invalid_state ssh web
    says 'vmctl resume web'
    vmctl stop web
    vmctl_fails 1 vm_manager::vm::invalid_state suspend web
    says stopped
    says 'vmctl start web'
    vmctl_fails 1 vm_manager::vm::invalid_state resume web
    says 'vmctl start web'
    vmctl_fails 1 vm_manager::vm::invalid_state ssh web
    says 'vmctl start web'
}

@test "down stops, up brings back, down --destroy deletes" {
    vmfile web
    vmfile db
    vmctl up
    run --separate-stderr vmctl down
    [ "$status" = 0 ]
    says "web: stopped"
    says "db: stopped"
    is_nobody_left
    [ "$(vmctl list --json | json '[v["state"] for v in d]')" = "['stopped', 'stopped']" ]
    run --separate-stderr vmctl down
    [ "$status" = 0 ]
    says "web: was not up"
    vmctl up
    run --separate-stderr vmctl down --destroy
    [ "$status" = 0 ]
    says "web: destroyed"
    is_nobody_left
    [ "$(vmctl list --json)" = "[]" ]
    [ -z "$(ls -A "$data/vms")" ]
    [ -f disk.qcow2 ]
}

@test "down without a VM is fine" {
    vmfile web
    run --separate-stderr vmctl down
    [ "$status" = 0 ]
    run --separate-stderr vmctl down --destroy
    [ "$status" = 0 ]
    says "was not up"
}

@test "--name picks VMs" {
    vmfile web
    vmfile db
    vmfile log
    vmctl up --name db
    [ "$(vmctl list --json | json '[v["name"] for v in d]')" = "['db']" ]
    vmctl up --name web --name log
    [ "$(qemus | wc -w)" = 3 ]
    vmctl down --name web
    [ "$(vmctl list --json | json '[v["state"] for v in d]')" = "['running', 'running', 'stopped']" ]
}

@test "destroy deletes all a VM had, and its name is free again" {
    vmfile web
    vmctl up
    local id
    id=$(field web id)
    run --separate-stderr vmctl destroy web
    [ "$status" = 0 ]
    is_nobody_left
    [ ! -e "$(vm_dir web)" ]
    [ -z "$(ls -A "$data/vms")" ]
    vmctl_fails 1 vm_manager::vm::not_found destroy web
    vmctl up
    [ "$(field web id)" != "$id" ]
}

@test "an unknown VM: a guess" {
    vmfile web
    vmctl up
    for command in status stop start suspend resume destroy log ssh; do
        vmctl_fails 1 vm_manager::vm::not_found "$command" wbe
        says 'there is no VM "wbe"'
        says 'Did you mean "web"?'
    done
    state_is web running
}

@test "the image is not written to, and one image serves many VMs" {
    local before
    before=$(sha256sum disk.qcow2)
    vmfile web
    vmfile db
    vmctl up
    [ "$(sha256sum disk.qcow2)" = "$before" ]
    vmctl down --destroy
    [ "$(sha256sum disk.qcow2)" = "$before" ]
}

@test "disk: the overlay has the size asked for" {
    vmfile web 'disk 3'
    vmctl up
    [ "$(field web disk_gb)" = 3 ]
    vmctl stop web
    [ "$(qemu-img info --output=json -f qcow2 "$(vm_dir web)/overlay.qcow2" | json 'd["virtual-size"], d["backing-filename-format"]')" = \
        "($((3 << 30)), 'qcow2')" ]
}

@test "a raw image is passed on as raw" {
    truncate -s 16M disk.raw
    printf 'vm "web" { image "disk.raw"; }\n' >VMFile.kdl
    vmctl up
    [ "$(field web image_format)" = raw ]
    tr '\0' '\n' <"/proc/$(qemus)/cmdline" | grep -q '"backing":{"driver":"raw"'
}

@test "network none: no forward" {
    vmfile web 'network "none"'
    vmctl up
    [ "$(field web ssh_host_port)" = None ]
    lacks "$(tr '\0' '\n' <"/proc/$(qemus)/cmdline")" hostfwd
}

@test "a taken ssh port: the VM gets another and is told so" {
    local name=web-$BASHPID # the port comes from the name: not one that another run has as well
    vmfile "$name"
    vmctl up
    local port
    port=$(field "$name" ssh_host_port)
    vmctl stop "$name"
    python -c 'import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("taken", flush=True); sys.stdin.read()' "$port" \
        > >(cat >taken) < <(await 20 test -e done) 3>&- &
    local holder=$!
    await 5 grep -q taken taken
    run --separate-stderr vmctl up
    touch done
    [ "$status" = 0 ]
    says "port $port is taken"
    [ "$(field "$name" ssh_host_port)" != "$port" ]
    wait "$holder"
}

@test "log: all, the console, the last lines; nothing in it reaches a terminal (security.md D-3)" {
    printf 'one\r\n\033[31mtwo\033]0;title\007\r\n\342\200\256three\r\nfour' >console
    script "console:$PWD/console"
    vmfile web
    vmctl up
    await 5 grep -q four "$(vm_dir web)/console.log"
    run --separate-stderr vmctl log web
    [ "$status" = 0 ]
    lacks "$output" $'\e'
    lacks "$output" $'\a'
    lacks "$output" $'\u202e'
    prints one
    prints four
    run --separate-stderr vmctl log web --console -n 1
    [ "$output" = four ]
    run --separate-stderr vmctl log web --provision
    [ "$status" = 0 ]
    [ -z "$output" ]
}

@test "VMCTL_BACKEND=noop keeps books and starts nothing" {
    export VMCTL_BACKEND=noop
    vmfile web
    vmctl up
    state_is web running
    [ -z "$(qemus)" ]
    vmctl suspend web
    state_is web suspended
    vmctl resume web
    vmctl stop web
    state_is web stopped
    vmctl destroy web
    [ "$(vmctl list --json)" = "[]" ]
}

@test "VMCTL_ACCEL: an unknown one is refused" {
    vmfile web
    VMCTL_ACCEL=warp vmctl_fails 2 vm_manager::usage up
    says warp
    is_nobody_left
}

@test "a VM of a data folder below HOME when XDG_DATA_HOME is not set" {
    vmfile web
    VMCTL_BACKEND=noop env -u XDG_DATA_HOME vmctl up
    [ -f "$HOME/.local/share/vmctl/vms.json" ]
    [ ! -e "$data" ]
}
