#!/usr/bin/env bats
# The real thing: systemd, cloud-init, OpenSSH.

load helpers

setup() { make_home; }
teardown() { remove_home; }

@test "a Debian guest comes up, cloud-init is content, provisioners run" {
    printf '#!/bin/sh\nset -e\nsudo -n true\ncloud-init status\n' >check.sh
    vmfile web debian 'disk 4' 'vcpus 2' \
        'provision "shell" { inline "cat /etc/debian_version; id -un"; }' \
        'provision "shell" { script "check.sh"; }'
    sed -i 's/memory 256/memory 1024/; s/user "vm"/user "debian"/' VMFile.kdl
    run vmctl up
    [ "$status" = 0 ]
    contains "status: done"
    # The host key the guest uses is the one it was given, and root is not let in (K-1, seed).
    run vmctl ssh -- 'sudo cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d" " -f2; ls /etc/ssh/ssh_host_*_key; hostname; df --output=size -BM / | tail -n 1'
    [ "$status" = 0 ]
    contains "$(cut -d' ' -f2 "$(vm_dir web)/host_key.pub")"
    contains web
    size=$(printf '%s\n' "$output" | tail -n 1 | tr -dc 0-9)
    [ "$size" -gt 3500 ]
    run vmctl ssh --user root web -- true
    [ "$status" != 0 ]
    run vmctl down
    [ "$status" = 0 ]
    grep -q guest-shutdown "$(vm_dir web)/ended.json"
}

@test "when cloud-init fails, up fails with the module and its log lines" {
    ssh-keygen -q -t ed25519 -N '' -f key
    cat >user-data <<YAML
#cloud-config
users:
  - name: deploy
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: [$(cat key.pub)]
runcmd:
  - exit 9
YAML
    cat >VMFile.kdl <<KDL
vm "web" {
    image "$guests/debian.qcow2"
    memory 1024
    vcpus 2
    cloud-init { user-data "user-data"; }
    ssh { user "deploy"; private-key "key"; }
    provision "shell" { inline "touch /tmp/never"; }
}
KDL
    run vmctl up
    [ "$status" = 1 ]
    contains "vm_manager::cloudinit::failed"
    contains "scripts-user"
    # Raw user-data is passed as it is, and the connection was pinned all the same (K-1, K-8).
    run vmctl ssh -- 'sudo cat /var/lib/cloud/instance/user-data.txt'
    [ "$status" = 0 ]
    [ "$output" = "$(cat user-data)" ]
    run vmctl ssh -- test -e /tmp/never
    [ "$status" = 1 ]
}
