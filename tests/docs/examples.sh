#!/bin/sh
# The examples of README.md and of the man pages: every command is run, in its order, and every VMFile
# checked. Nothing boots (VMCTL_BACKEND=noop), nothing outside a temporary folder is touched. What cannot
# be run so stands in `reason_not_to_run`, with the reason. Prints TAP.
# usage: examples.sh [README.md|PAGE.scd...]   (other documents: to see the test fail)
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${VMM_BUILD:-$top/build/gcc}/tools/vmctl
[ $# -gt 0 ] || set -- "$top/README.md" "$top/docs/man/vmctl.1.scd" "$top/docs/man/VMFile.5.scd"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_DATA_HOME="$work/data" VMCTL_BACKEND=noop LC_ALL=C.UTF-8
export PATH="$bin:$PATH"
unset VMCTL_ACCEL VMCTL_TIMEOUT VMCTL_LOG VMM_LIBEXEC
n=0
failed=0

result() { # status name reason-to-skip log
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2${3:+ # SKIP $3}"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$4"
        failed=1
    fi
}

reason_not_to_run() {
    case $1 in
    './dev demo' | './dev check') echo "builds and boots for minutes; whoever runs this test ran it" ;;
    './dev install '*) echo "tests/docs/install.sh does that, into a folder of its own" ;;
    'cc '*) echo "tests/docs/install.sh compiles such a program" ;;
    'vmctl ssh'*) echo "enters a guest: tests/system" ;;
    *'| jq '*) command -v jq >/dev/null || echo "jq is not installed" ;;
    esac
}

# Blocks of a document, one file each: N.sh for commands, N.kdl for VMFiles.
take_blocks() { # document folder
    awk -v dir="$2" '
        /^```/ && !inside { kind = substr($0, 4); inside = 1; count++; text = ""; next }
        /^```/ {
            inside = 0
            if (kind == "") kind = text ~ /^\$ / ? "sh" : "kdl"
            printf "%s", text > sprintf("%s/%03d.%s", dir, count, kind)
            next
        }
        inside { line = $0; sub(/^\t/, "", line); text = text line "\n" }
    ' "$1"
}

# A folder as the examples take it to be: images, keys, scripts, and a VMFile for the commands.
make_project() {
    rm -rf "$HOME" "$XDG_DATA_HOME" "$work/project"
    mkdir -p "$HOME/.ssh" "$HOME/images" "$work/project/project"
    cd "$work/project"
    mkdir images config scripts path path/to
    for image in debian-12.qcow2 images/debian-12.qcow2 "$HOME/images/debian-12.qcow2"; do
        truncate -s 1M "$image"
    done
    echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me' \
        >"$HOME/.ssh/id_ed25519.pub"
    echo 'not a real key' >"$HOME/.ssh/id_ed25519"
    echo '#cloud-config' >cloud-config.yaml
    echo '#!/bin/sh' >scripts/setup.sh
    : >config/app.conf
    for vm in dev web db; do
        printf 'vm "%s" {\n    image "%s"\n}\n' $vm "$work/project/debian-12.qcow2" >>VMFile.kdl
    done
    cp VMFile.kdl project/VMFile.kdl
}

run_line() { # document line
    command=$(printf '%s\n' "$2" | sed -e 's/^\$ //' -e 's/  *#.*//')
    [ -n "$command" ] || return 0
    reason=$(reason_not_to_run "$command")
    if [ -n "$reason" ]; then
        result 0 "$1: $command" "$reason"
        return 0
    fi
    status=0
    sh -euc "$command" >"$work/log" 2>&1 </dev/null || status=$?
    result "$status" "$1: $command" '' "$work/log"
}

check_vmfile() { # document file
    cp "$2" "$work/project/example.kdl"
    status=0
    vmctl validate --file example.kdl >"$work/log" 2>&1 || status=$?
    result "$status" "$1: $(sed -n 's/^\(vm "[^"]*"\).*/\1/p' "$2" | paste -sd ' ')" '' "$work/log"
}

for document; do
    name=$(basename "$document")
    blocks=$work/blocks-$name
    mkdir -p "$blocks"
    take_blocks "$document" "$blocks"
    make_project
    for block in "$blocks"/*; do
        case $block in
        *.sh)
            while IFS= read -r line; do run_line "$name" "$line"; done <"$block"
            ;;
        *.kdl) check_vmfile "$name" "$block" ;;
        *.text) ;;
        *) echo "no kind of block: $block" >"$work/log" && result 1 "$name: $(basename "$block")" '' "$work/log" ;;
        esac
    done
done
echo "1..$n"
exit $failed
