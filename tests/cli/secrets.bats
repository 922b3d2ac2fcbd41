#!/usr/bin/env bats
# What is secret stays in its file: not in a command line, an environment, a log, a message or
# vms.json (security.md A6, M-1, K-2, C-9).

load helpers

setup() { make_home; }
teardown() { end_all; }

# What only the owner may know, one a line: from each private key the bytes that are in no public one.
collect_secrets() {
    python - "$(vm_dir web)" >secrets <<'PY'
import re, sys
work_dir = sys.argv[1]
seed = open(work_dir + "/seed.iso", "rb").read().decode("latin-1")
own = open(work_dir + "/id_ed25519_generated").read()
texts = [own] + re.findall(r'"ed25519_private": "([^"]+)"', seed)
assert len(texts) == 2, texts
for text in texts:
    body = re.search(r"PRIVATE KEY-----(.*)-----END", text.replace("\\n", ""), re.S).group(1).replace("\n", "")
    print(body[216:276])
print(open(work_dir + "/vnc-password").read())
PY
    [ "$(wc -l <secrets)" = 3 ]
}

# Fails when a line of `secrets` is in one of these files.
tells_none() {
    local found
    found=$(grep -laFf secrets "$@" || :)
    [ -z "$found" ] || {
        echo "a secret is in: $found"
        return 1
    }
}

vm_with_secrets() {
    vmfile web 'cloud-init { hostname "web"; }' "$with_ssh"
}

@test "no key and no password is in vms.json, in a log or in what is said" {
    vm_with_secrets
    VMCTL_LOG=trace VMCTL_TIMEOUT=1 run --separate-stderr vmctl up
    [ "$status" = 124 ]
    printf '%s\n' "$output" "$stderr" >said
    collect_secrets
    tells_none said "$data"/vms.json* "$(vm_dir web)"/*.log
    vmctl status web >said
    vmctl status web --json >>said
    vmctl list --json >>said
    tells_none said
    vmctl stop web
    tells_none "$data"/vms.json* "$(vm_dir web)"/*.log "$(vm_dir web)/ended.json"
}

@test "no key and no password is in a command line or an environment" {
    vm_with_secrets
    vmctl up 2>err 3>&- &
    local up=$!
    await 5 grep -q 'waiting for sshd' err
    collect_secrets
    # vmctl with its ssh helper, the keeper and QEMU are all there now.
    [ "$(ours | wc -w)" -ge 4 ]
    local pid
    for pid in $(ours); do
        cat "/proc/$pid/cmdline" "/proc/$pid/environ" 2>/dev/null
    done | tr '\0' '\n' >processes
    grep -q vnc-password processes # the file's name is there
    tells_none processes
    kill -INT "$up"
    wait "$up" || :
}

@test "a key of the user's own is used where it is and copied nowhere" {
    ssh-keygen -q -t ed25519 -N '' -f "$HOME/own_key"
    vmfile web "cloud-init { ssh-key \"$HOME/own_key.pub\"; }" "ssh { user \"vm\"; private-key \"$HOME/own_key\"; }"
    VMCTL_TIMEOUT=1 run --separate-stderr vmctl up
    [ "$status" = 124 ]
    grep -v -- '-----' "$HOME/own_key" | tail -n +2 >secrets
    [ -s secrets ]
    run grep -rlaFf secrets "$data"
    [ -z "$output" ]
    [ ! -e "$(vm_dir web)/id_ed25519_generated" ]
    # Its name is no secret.
    grep -q own_key "$data/vms.json"
}

@test "user-data goes into the seed and nowhere else" {
    printf '#cloud-config\npassword: hunter2-canary\n' >user-data
    vmfile web 'cloud-init { user-data "user-data"; }'
    VMCTL_LOG=trace run --separate-stderr vmctl up
    [ "$status" = 0 ]
    echo hunter2-canary >secrets
    printf '%s\n' "$output" "$stderr" >said
    tells_none said
    [ "$(grep -rlaFf secrets "$data")" = "$(vm_dir web)/seed.iso" ]
    [ "$(stat -c %a "$(vm_dir web)/seed.iso")" = 600 ]
}

@test "each VM has keys of its own" {
    vmfile web 'cloud-init { hostname "a"; }'
    vmfile db 'cloud-init { hostname "b"; }'
    vmctl up
    run ! cmp -s "$(vm_dir web)/id_ed25519_generated" "$(vm_dir db)/id_ed25519_generated"
    run ! cmp -s "$(vm_dir web)/host_key.pub" "$(vm_dir db)/host_key.pub"
    # Nothing of ours is put among the user's own.
    [ ! -e "$HOME/.ssh" ]
}

@test "a private key where a public one belongs is refused before anything is made" {
    ssh-keygen -q -t ed25519 -N '' -f "$HOME/own_key"
    vmfile web "cloud-init { ssh-key \"$HOME/own_key\"; }"
    vmctl_fails 2 vm_manager::vmfile::validation up
    says 'is a private key'
    says 'VMFile.kdl:3:'
    grep -v -- '-----' "$HOME/own_key" | tail -n +2 >secrets
    echo "$stderr" >said
    tells_none said
    [ ! -e "$data" ]
}

@test "the VNC password is new for each start" {
    vmfile web
    vmctl up
    local first
    first=$(<"$(vm_dir web)/vnc-password")
    [ "${#first}" = 8 ]
    vmctl stop web
    vmctl start web
    [ "$(<"$(vm_dir web)/vnc-password")" != "$first" ]
}
