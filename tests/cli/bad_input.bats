#!/usr/bin/env bats
# What a person or a host can have wrong: one clear error each, with its code and what to do, and
# nothing is left behind or lost.

load helpers

setup() {
    make_home
    vmfile web
}
teardown() {
    remove_public_home
    end_all
}

# After a create that failed: no VM, no folder, no process; the name is free.
nothing_made() {
    is_nobody_left
    run --separate-stderr vmctl list --json
    [ "$status" = 0 ]
    [ "$output" = "[]" ]
    [ -z "$(ls -A "$data/vms" 2>/dev/null)" ]
}

# with_only PROGRAM ARGUMENT...: vmctl with nothing but this program and itself in PATH.
with_only() {
    mkdir -p bin
    ln -s "$(command -v "$1")" bin/
    shift
    run --separate-stderr env PATH="$PWD/bin:$build/tools/vmctl" vmctl "$@"
}

@test "no QEMU" {
    with_only qemu-img up
    [ "$status" = 1 ]
    says 'error[vm_manager::qemu::spawn_failed]: qemu-system-x86_64 was not found'
    says '  help: Install it'
    is_nobody_left
    vmctl up # once it is there
    [ "$(field web state)" = running ]
}

@test "no qemu-img" {
    with_only qemu-system-x86_64 up
    [ "$status" = 1 ]
    says 'error[vm_manager::image::overlay_creation_failed]: '
    says 'there is no qemu-img in PATH'
    says '  help: Install it'
    nothing_made
    vmctl up
}

@test "qemu-img fails: its words, and nothing is left" {
    mkdir bin
    printf '#!/bin/sh\necho "qemu-img: \033[31mno luck today" >&2\nexit 1\n' >bin/qemu-img
    chmod +x bin/qemu-img
    PATH=$PWD/bin:$PATH vmctl_fails 1 vm_manager::image::overlay_creation_failed up
    says 'no luck today'
    lacks "$stderr" $'\e'
    nothing_made
}

@test "an image that is not there: the place in the file" {
    rm disk.qcow2
    vmctl_fails 2 vm_manager::vmfile::validation up
    says "image \"$PWD/disk.qcow2\" does not exist"
    says 'VMFile.kdl:2:11'
    says '^^^^^^^^^^^^ no such file'
    [ ! -e "$data" ]
}

@test "an image one may not read" {
    make_public_home
    vmfile web
    chmod 0 disk.qcow2
    chown root disk.qcow2
    run --separate-stderr as_nobody vmctl up
    [ "$status" = 2 ]
    says 'error[vm_manager::vmfile::validation]'
    says 'Permission denied'
    says 'VMFile.kdl:2:11'
    says '  help: '
    [ ! -e "$data" ]
    is_nobody_left
}

@test "a file that is no image" {
    for content in 'hello, I am a text' '<!DOCTYPE html><html>404</html>'; do
        printf '%s\n' "$content" >disk.qcow2
        vmctl_fails 1 vm_manager::image::format_detection_failed up
        says "$PWD/disk.qcow2"
        nothing_made
    done
    : >disk.qcow2
    vmctl_fails 1 vm_manager::image::format_detection_failed up
    says 'empty file'
    nothing_made
}

@test "an image of another hypervisor" {
    qemu-img create -q -f vmdk disk.vmdk 16M
    mv disk.vmdk disk.qcow2
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says VMDK || says VMware
    says 'qemu-img convert'
    nothing_made
}

@test "an image that reads from another file is refused (security.md E-1)" {
    echo secret >secret.raw
    truncate -s 1M secret.raw
    qemu-img create -q -f qcow2 -F raw -b "$PWD/secret.raw" disk.qcow2
    vmctl_fails 1 vm_manager::image::refused up
    says secret.raw
    nothing_made
    qemu-img create -q -f qcow2 -o data_file="$PWD/data.raw" disk.qcow2 1M
    vmctl_fails 1 vm_manager::image::refused up
    nothing_made
}

@test "a disk smaller than the image" {
    qemu-img create -q -f qcow2 disk.qcow2 3G
    printf 'vm "web" {\n    image "disk.qcow2"\n    disk 2\n}\n' >VMFile.kdl
    vmctl_fails 1 vm_manager::image::disk_too_small up
    says '2 GiB'
    says '3 GiB'
    says '`disk 3`'
    nothing_made
}

@test "a full disk when the VM is made" {
    need_root "a mount"
    unshare -m true 2>/dev/null || skip "no mount namespaces here"
    run --separate-stderr unshare -m sh -c '
        mkdir "$XDG_DATA_HOME"
        mount -t tmpfs -o size=64k tmpfs "$XDG_DATA_HOME" || exit 99
        vmctl up && exit 98
        vmctl list --json
        find "$XDG_DATA_HOME/vmctl/vms" -mindepth 1'
    [ "$status" = 0 ]
    says 'error[vm_manager::host::no_space]'
    says '  help: Free some space'
    [ "$output" = "[]" ]
}

@test "a disk that fills up while a VM runs: it can be looked at, stopped and destroyed" {
    need_root "a mount"
    unshare -m true 2>/dev/null || skip "no mount namespaces here"
    run --separate-stderr unshare -m sh -c '
        mkdir "$XDG_DATA_HOME"
        mount -t tmpfs -o size=1M tmpfs "$XDG_DATA_HOME" || exit 99
        vmctl up 2>/dev/null || exit 98
        cat /dev/zero 2>/dev/null >"$XDG_DATA_HOME/fill"
        vmctl list --json && vmctl stop web && vmctl list --json && vmctl destroy web && vmctl list --json
        echo $?
        ls -A "$XDG_DATA_HOME/vmctl/vms"'
    [ -z "$stderr" ] || [[ $stderr != *error* ]] || {
        echo "$stderr"
        return 1
    }
    [ "$(grep -o '"state": "[a-z]*"' <<<"$output" | tr '\n' ' ')" = '"state": "running" "state": "stopped" ' ]
    [ "${lines[-2]}" = "[]" ]
    [ "${lines[-1]}" = 0 ]
}

@test "a name with a slash, and other names that are none (security.md A-3)" {
    for name in a/b ../x .x -x '' "$(printf 'x%.0s' {1..64})" 'a b' 'ä' 'x,y'; do
        printf 'vm "%s" { image "disk.qcow2"; }\n' "$name" >VMFile.kdl
        vmctl_fails 2 vm_manager::vmfile::validation up
        says 'VMFile.kdl:1:4'
        says 'Use letters, digits'
        [ ! -e "$data" ]
    done
    for name in ../web /etc a/b .x; do
        for command in status stop start destroy log suspend; do
            vmctl_fails 2 vm_manager::vm::invalid_name "$command" "$name"
        done
    done
}

@test "two VMs of one name: the place of both" {
    vmfile web
    vmctl_fails 2 vm_manager::vmfile::validation up
    says 'vm "web" is defined twice'
    says 'VMFile.kdl:4:4'
    says 'the first is on line 1'
    [ ! -e "$data" ]
}

@test "VMFile.kdl is a folder" {
    mv VMFile.kdl file
    mkdir VMFile.kdl
    vmctl_fails 2 vm_manager::vmfile::validation up
    says '"VMFile.kdl" is a folder, not a file'
    mv file VMFile.kdl/VMFile.kdl
    vmctl_fails 2 vm_manager::vmfile::validation up
    says '--file VMFile.kdl/VMFile.kdl'
    [ ! -e "$data" ]
}

@test "VMFile.kdl is a pipe, a device, not UTF-8, huge" {
    rm VMFile.kdl
    mkfifo VMFile.kdl
    start_clock
    vmctl_fails 2 vm_manager::vmfile::validation up
    vmctl_fails 2 vm_manager::vmfile::validation up -f /dev/zero
    took_below 1000
    rm VMFile.kdl
    printf 'vm "web\377" { image "disk.qcow2"; }\n' >VMFile.kdl
    run --separate-stderr vmctl up
    [ "$status" = 2 ]
    says 'VMFile.kdl:1:'
    yes '// a comment' | head -c 5000000 >VMFile.kdl
    start_clock
    run --separate-stderr vmctl up # security.md L-1: 4 MiB
    took_below 2000
    [ "$status" = 2 ] || [ "$status" = 1 ]
    says 'error['
    [ ! -e "$data" ]
}

# ---- vms.json ----------------------------------------------------------------------------------

# damage_is_told: list answers from the copy and says so, up refuses, nothing changes.
damage_is_told() {
    local before
    cp "$data/vms.json" damaged
    before=$(cd "$data" && find . -type f ! -name '*.lock' -exec sha256sum {} + | sort)
    run --separate-stderr vmctl list
    prints web
    says "$data/vms.json\" is damaged"
    says 'vms.json.bak'
    vmfile other
    for command in up "start web" "stop web" "destroy web" down; do
        # shellcheck disable=SC2086
        run --separate-stderr vmctl $command
        [ "$status" = 1 ] || {
            echo "vmctl $command: status $status"
            return 1
        }
        says 'error[vm_manager::store::corrupt]'
        says '  help: '
    done
    cmp damaged "$data/vms.json"
    [ "$(cd "$data" && find . -type f ! -name '*.lock' -exec sha256sum {} + | sort)" = "$before" ]
}

made_vm() {
    vmctl up
    vmctl stop web
    cp "$data/vms.json" good
}

# What the help says, repairs it.
repaired() {
    cp "$data/vms.json.bak" "$data/vms.json"
    vmctl start web
    [ "$(field web state)" = running ]
}

@test "vms.json is cut off" {
    made_vm
    head -c 100 good >"$data/vms.json"
    damage_is_told
    repaired
}

@test "vms.json is garbage" {
    made_vm
    head -c 500 /dev/urandom >"$data/vms.json"
    damage_is_told
    repaired
}

@test "vms.json is empty" {
    made_vm
    : >"$data/vms.json"
    damage_is_told
    repaired
}

@test "vms.json is no object, or is very deep" {
    made_vm
    echo '[]' >"$data/vms.json"
    damage_is_told
    python -c 'print("[" * 100000)' >"$data/vms.json"
    run --separate-stderr vmctl list
    prints web
}

@test "vms.json is damaged: looking at one VM answers from the copy too" {
    made_vm
    : >"$data/vms.json"
    run --separate-stderr vmctl status web
    grep -Eq '^State: +stopped$' <<<"$output"
    says 'is damaged'
}

@test "vms.json is damaged and there is no copy: the help names none" {
    mkdir -p -m 700 "$data"
    echo '{' >"$data/vms.json"
    run --separate-stderr vmctl list
    [ "$status" = 1 ]
    says 'error[vm_manager::store::corrupt]'
    lacks "$stderr" 'run `mv'
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    [ "$(cat "$data/vms.json")" = '{' ]
}

@test "vms.json with things in it that cannot be true (security.md A-5)" {
    made_vm
    mkdir precious
    touch precious/file
    python - "$data/vms.json" "$PWD/precious" <<'PY'
import json, sys
path, precious = sys.argv[1:]
records = json.load(open(path))
web = records["web"]
web["work_dir"] = precious
web["overlay_path"] = precious + "/file"
web["future_key"] = {"kept": [1, 2]}
records["../evil"] = dict(web, name="../evil")
records["odd"] = 7
records["sparse"] = {}
json.dump(records, open(path, "w"))
PY
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    lacks "$output" evil
    prints web
    vmctl_fails 2 vm_manager::vm::invalid_name destroy ../evil
    vmctl start web
    # What a later version wrote is kept.
    [ "$(json 'd["web"]["future_key"]' <"$data/vms.json")" = "{'kept': [1, 2]}" ]
    vmctl destroy web
    [ -f precious/file ]
    [ ! -e "$(vm_dir web)" ]
}

# ---- folders -----------------------------------------------------------------------------------

@test "a data folder one may not write to" {
    make_public_home
    vmfile web
    chown root "$XDG_DATA_HOME"
    run --separate-stderr as_nobody vmctl up
    [ "$status" = 1 ]
    says 'error[vm_manager::io]'
    says "$data"
    says 'Permission denied'
    [ ! -e "$data" ]
    is_nobody_left
}

@test "a data folder of somebody else (security.md A-1)" {
    make_public_home
    vmfile web
    mkdir -m 777 "$data"
    run --separate-stderr as_nobody vmctl up
    [ "$status" = 1 ]
    says "the folder \"$data\" belongs to user 0, not to you"
    says '  help: '
    [ -z "$(ls -A "$data")" ]
}

@test "as an ordinary user everything works" {
    make_public_home
    vmfile web
    as_nobody vmctl up
    [ "$(stat -c %u "/proc/$(qemus)")" = 65534 ]
    as_nobody vmctl stop web
    as_nobody vmctl destroy web
    is_nobody_left
}

@test "a data folder that is open to others is refused, not repaired (security.md A-1)" {
    mkdir -p -m 700 "$data"
    for mode in 755 770 701; do
        chmod "$mode" "$data"
        for command in up list; do
            vmctl_fails 1 vm_manager::io "$command"
            says "(mode $mode)"
            says "chmod 700 $data"
        done
        [ "$(stat -c %a "$data")" = "$mode" ]
        [ -z "$(ls -A "$data")" ]
    done
}

@test "a path no socket can have (security.md A-2)" {
    XDG_DATA_HOME=$PWD/$(printf 'x%.0s' {1..100})
    data=$XDG_DATA_HOME/vmctl
    vmctl_fails 1 vm_manager::host::path_too_long up
    says 'XDG_DATA_HOME'
    nothing_made
}

@test "107 bytes are a path, 108 are none" {
    local tail=/vmctl/vms/web/.serial.sock
    local n=$((107 - ${#tail} - ${#PWD} - 1))
    XDG_DATA_HOME=$PWD/$(printf "%0${n}d" 0)
    data=$XDG_DATA_HOME/vmctl
    vmctl up
    [ "$(field web state)" = running ]
    vmctl destroy web
    XDG_DATA_HOME=${XDG_DATA_HOME}1
    data=$XDG_DATA_HOME/vmctl
    vmctl_fails 1 vm_manager::host::path_too_long up
    says 'paths of 108 bytes'
}

@test "a relative XDG_DATA_HOME is ignored, as its specification says" {
    XDG_DATA_HOME=here VMCTL_BACKEND=noop vmctl up
    [ ! -e here ]
    [ -f "$HOME/.local/share/vmctl/vms.json" ]
}

@test "a folder in the VM's place that is nobody's is left alone" {
    mkdir -p -m 700 "$data" "$data/vms" "$data/vms/web"
    echo precious >"$data/vms/web/overlay.qcow2"
    vmctl_fails 1 vm_manager::vm::already_exists up
    says "$data/vms/web"
    [ "$(cat "$data/vms/web/overlay.qcow2")" = precious ]
    [ "$(vmctl list --json)" = "[]" ]
}

@test "a symbolic link in the VM's place is not followed (security.md A-4)" {
    mkdir precious
    mkdir -p -m 700 "$data" "$data/vms"
    ln -s "$PWD/precious" "$data/vms/web"
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    [ -z "$(ls -A precious)" ]
    rm "$data/vms/web"
    vmctl up
    vmctl stop web
    mv "$(vm_dir web)" moved
    ln -s "$PWD/moved" "$(vm_dir web)"
    run --separate-stderr vmctl destroy web
    [ -f moved/overlay.qcow2 ]
}

# ---- what changed between two starts -----------------------------------------------------------

@test "the image vanished after the VM was made" {
    vmctl up
    vmctl stop web
    mv disk.qcow2 elsewhere
    vmctl_fails 1 vm_manager::image::format_detection_failed start web
    says 'could not start VM "web"'
    says "there is no image \"$PWD/disk.qcow2\""
    [ "$(field web state)" = stopped ]
    is_nobody_left
    mv elsewhere disk.qcow2
    vmctl start web
    vmctl stop web
    rm disk.qcow2
    vmctl destroy web
}

@test "the image became another one after the VM was made (security.md E-2, E-3)" {
    vmctl up
    vmctl stop web
    truncate -s 16M raw
    mv raw disk.qcow2
    vmctl_fails 1 vm_manager::image::refused start web
    says 'was qcow2 and is raw now'
    echo secret >secret
    truncate -s 1M secret
    qemu-img create -q -f qcow2 -F raw -b "$PWD/secret" disk.qcow2
    vmctl_fails 1 vm_manager::image::refused start web
    [ "$(field web state)" = stopped ]
    is_nobody_left
}

@test "an overlay over another file is refused at the next start (security.md E-3)" {
    vmctl up
    vmctl stop web
    echo secret >secret
    truncate -s 1M secret
    cp "$(vm_dir web)/overlay.qcow2" kept
    qemu-img create -q -f qcow2 -F raw -b "$PWD/secret" overlay
    cat overlay >"$(vm_dir web)/overlay.qcow2"
    vmctl_fails 1 vm_manager::image::refused start web
    says "$PWD/secret"
    says 'overlay.qcow2'
    vmctl_fails 1 vm_manager::image::refused up
    [ "$(field web state)" = stopped ]
    is_nobody_left
    cat kept >"$(vm_dir web)/overlay.qcow2"
    vmctl start web
}

@test "the overlay vanished, or is no disk any more" {
    vmctl up
    vmctl stop web
    local overlay
    overlay=$(vm_dir web)/overlay.qcow2
    mv "$overlay" kept
    run --separate-stderr vmctl start web
    [ "$status" = 1 ]
    says "$overlay"
    says '  help: '
    echo nonsense >"$overlay"
    run --separate-stderr vmctl start web
    [ "$status" = 1 ]
    says "$overlay"
    [ "$(field web state)" = stopped ]
    is_nobody_left
    mv kept "$overlay"
    vmctl start web
}

@test "a VM whose folder was deleted by hand can be destroyed and made again" {
    vmctl up
    vmctl stop web
    rm -r "$(vm_dir web)"
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    run --separate-stderr vmctl start web
    [ "$status" = 1 ]
    says 'error['
    vmctl destroy web
    vmctl up
}

@test "an image that cannot be used is pointed at in the file" {
    printf 'vm "a" {\n    image "note.txt"\n}\n' >VMFile.kdl
    echo "just text" >note.txt
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says 'VMFile.kdl:2:11'
    says '  help: '
    qemu-img create -q -f qcow2 big.qcow2 3G
    printf 'vm "a" {\n    image "big.qcow2"\n    disk 2\n}\n' >VMFile.kdl
    run --separate-stderr vmctl up
    [ "$status" = 1 ]
    says 'vm_manager::image::disk_too_small'
    says 'VMFile.kdl:2:11'
    says 'disk 3'
    run vmctl list --json
    [ "$output" = "[]" ]
}
