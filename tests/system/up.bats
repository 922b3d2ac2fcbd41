#!/usr/bin/env bats
# The main job on a real kernel: the tiny guest.

load helpers

setup() { make_home; }
teardown() { remove_home; }

@test "up boots, provisions in order and lets one in; the status of a command comes through" {
    printf 'uploaded\n' >data.txt
    chmod 0640 data.txt
    printf '#!/bin/sh\necho "script in $0" | sed s,vmctl-provision-[^/]*,X,; exit 0\n' >step.sh
    vmfile web tiny \
        'provision "shell" { inline "echo one; echo err >&2; hostname"; }' \
        'provision "file" { source "data.txt"; destination "/tmp/data.txt"; }' \
        'provision "shell" { script "step.sh"; }'
    run vmctl up
    [ "$status" = 0 ]
    contains one
    contains err
    contains "script in /tmp/X/step-3.sh"

    run vmctl ssh -- 'cat /tmp/data.txt; stat -c %a /tmp/data.txt; hostname; ls /tmp | grep -c vmctl-provision'
    [ "$status" = 1 ] # grep -c found none: the script's folder is gone again
    [ "$output" = $'uploaded\n640\nweb\n0' ]
    run vmctl ssh web -- exit 7
    [ "$status" = 7 ]
    run vmctl ssh --name web -- 'sudo -n id -u'
    [ "$output" = 0 ]

    grep -q '^==> .* step 1 of 3: shell$' "$(vm_dir web)/provision.log"
    grep -q '^one$' "$(vm_dir web)/provision.log"
    run vmctl log web --provision --tail 1
    contains "script in"
    run vmctl log web --console
    contains "Linux version"

    # Running already: nothing is done to it.
    run vmctl up
    [ "$status" = 0 ]
    contains "runs already"
}

@test "private things are private (security.md A-1, K-2, K-9)" {
    vmfile web tiny
    vmctl up
    run find "$XDG_DATA_HOME/vmctl" ! -type l -perm /077
    [ -z "$output" ]
    [ "$(stat -c %a "$(vm_dir web)/id_ed25519_generated")" = 600 ]
    [ "$(stat -c %a "$(vm_dir web)/seed.iso")" = 600 ]
    # No forward and no display is open to the network (0.7).
    pid=$(vmctl status web --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')
    run sh -c "ss -Hltnp | grep 'pid=$pid,'"
    [ -n "$output" ]
    ! printf '%s\n' "$output" | grep -vE '127\.0\.0\.1:[0-9]+ '
    # The process is confined as far as QEMU's own sandbox goes (C-2).
    grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status"
}

@test "a failing step stops the run, says where, and the next up runs the steps again" {
    vmfile web tiny \
        'provision "shell" { inline "echo before"; }' \
        'provision "shell" { inline "echo the reason >&2; exit 3"; }' \
        'provision "shell" { inline "touch /tmp/never"; }'
    run vmctl up
    [ "$status" = 1 ]
    contains "vm_manager::provision::failed"
    contains "step 2 of 3"
    contains "status 3"
    contains "| the reason"
    run vmctl ssh -- test -e /tmp/never
    [ "$status" = 1 ]
    sed -i 's/exit 3/true/' VMFile.kdl
    run vmctl up # as the help of the error says: it goes on although the VM runs
    [ "$status" = 0 ]
    vmctl ssh -- test -e /tmp/never
    run vmctl up
    contains "runs already"
}

@test "a step that prints megabytes is streamed and logged whole" {
    vmfile web tiny 'provision "shell" { inline "seq 1 700000; echo end-of-output"; }'
    vmctl up >out.txt 2>&1
    grep -q 'end-of-output' out.txt
    [ "$(grep -c '^[0-9]*$' "$(vm_dir web)/provision.log")" = 700000 ]
    grep -q '^end-of-output$' "$(vm_dir web)/provision.log"
}

@test "down asks the guest, up starts it again with what was on its disk" {
    vmfile web tiny 'provision "shell" { inline "echo run >>/home/vm/runs; sync"; }'
    vmctl up
    run vmctl down
    [ "$status" = 0 ]
    run vmctl status web
    contains "stopped"
    contains "guest-shutdown"
    [ ! -S "$(vm_dir web)/qmp.sock" ]
    run vmctl ssh web
    [ "$status" = 1 ]
    contains "vmctl start web"
    vmctl up
    run vmctl ssh -- cat /home/vm/runs
    [ "$output" = $'run\nrun' ]
}

@test "down --destroy and destroy leave nothing" {
    vmfile web tiny
    vmfile db tiny
    vmctl up
    vmctl down --destroy --name web
    vmctl destroy db
    run vmctl list --json
    [ "$output" = "[]" ]
    [ -z "$(ls -A "$XDG_DATA_HOME/vmctl/vms")" ]
    [ -e "$guests/tiny.qcow2" ]
    run vmctl down --destroy
    [ "$status" = 0 ]
}

@test "two VMs come up in parallel, each reached on a port of its own" {
    vmfile one tiny
    vmfile two tiny
    vmctl up
    [ "$(vmctl ssh one -- hostname)" = one ]
    [ "$(vmctl ssh two -- hostname)" = two ]
    run vmctl ssh
    [ "$status" = 2 ]
}

@test "a keeper that is killed is replaced and the guest notices nothing" {
    vmfile web tiny
    vmctl up
    pid=$(cat "$(vm_dir web)/pidfile")
    vmctl ssh web -- 'echo ready; cat; echo still-here' >conn.out < <(
        while [ ! -e go ]; do read -rt 0.1 <> <(:) || :; done
        echo through
    ) &
    ssh_job=$!
    for _ in $(seq 100); do grep -q ready conn.out && break; read -rt 0.1 <> <(:) || :; done
    kill -9 "$(cat "$(vm_dir web)/.keep.lock")"
    vmctl list >/dev/null
    for _ in $(seq 100); do grep -q keeper-replaced "$(vm_dir web)/events.log" && break; read -rt 0.1 <> <(:) || :; done
    touch go
    wait "$ssh_job"
    [ "$(cat conn.out)" = $'ready\nthrough\nstill-here' ]
    [ "$(cat "$(vm_dir web)/pidfile")" = "$pid" ]
    # The new one records the console and the end as the first did.
    vmctl ssh web -- 'echo to-the-console | sudo -n tee /dev/ttyS0 >/dev/null'
    for _ in $(seq 50); do grep -q to-the-console "$(vm_dir web)/console.log" && break; read -rt 0.1 <> <(:) || :; done
    grep -q to-the-console "$(vm_dir web)/console.log"
    vmctl down
    grep -q guest-shutdown "$(vm_dir web)/ended.json"
}

@test "a host key that changes is refused (security.md K-1)" {
    vmfile web tiny
    vmctl up
    ssh-keygen -q -t ed25519 -N '' -f other
    sed -i "s|^web .*|web $(cut -d' ' -f1,2 other.pub)|" "$(vm_dir web)/known_hosts"
    VMCTL_TIMEOUT=3 run vmctl ssh -- true
    [ "$status" != 0 ]
    contains "host_key"
}

@test "a key and a user of one's own are used" {
    ssh-keygen -q -t ed25519 -N '' -f mykey
    cat >VMFile.kdl <<KDL
vm "web" {
    image "$guests/tiny.qcow2"
    memory 256
    cloud-init { ssh-key "mykey.pub"; }
    ssh { user "alice"; private-key "mykey"; }
    provision "shell" { inline "whoami"; }
}
KDL
    run vmctl up
    [ "$status" = 0 ]
    contains alice
    [ ! -e "$(vm_dir web)/id_ed25519_generated" ]
    [ "$(vmctl ssh -- whoami)" = alice ]
}

@test "disk grows the disk the guest sees" {
    vmfile web tiny 'disk 3'
    vmctl up
    [ "$(vmctl ssh -- cat /sys/block/vda/size)" = $((3 * 1024 * 1024 * 1024 / 512)) ]
}
