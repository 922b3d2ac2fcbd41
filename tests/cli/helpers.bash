# For tests of the command line against a QEMU that has no machine (tests/fake/qemu). Everything a
# test makes is below its own folder; every process it started, directly or not, carries that
# folder's XDG_DATA_HOME in its environment, and none outlives the test.

bats_require_minimum_version 1.5.0

build=$(cd "${VMM_BUILD:?folder of the build to test}" && pwd)
fake_dir=$build/tests/fake/qemu

# In setup: a home with nothing in it, and the fake as the only QEMU there is.
make_home() {
    test_dir=$BATS_TEST_TMPDIR
    export HOME=$test_dir/home XDG_DATA_HOME=$test_dir/data
    data=$XDG_DATA_HOME/vmctl
    mkdir -p "$HOME" "$test_dir/work"
    export PATH=$fake_dir:$build/tools/vmctl:/usr/bin:/bin:/usr/sbin:/sbin
    export VMCTL_ACCEL=tcg
    export VMCTL_TIMEOUT=20 # no wait that should have ended long ago holds the suite up for minutes
    unset VMM_LIBEXEC VMCTL_LOG VMCTL_BACKEND NO_COLOR CLICOLOR_FORCE FAKE_QEMU
    cd "$test_dir/work" || return
    [ -f "$BATS_RUN_TMPDIR/disk.qcow2" ] || qemu-img create -q -f qcow2 "$BATS_RUN_TMPDIR/disk.qcow2" 16M
    cp "$BATS_RUN_TMPDIR/disk.qcow2" .
}

# ---- processes ---------------------------------------------------------------------------------

# Pids of all processes that were started by the test, whoever's children they are now.
ours() {
    local pid
    env -u XDG_DATA_HOME grep -lzsFx "XDG_DATA_HOME=$XDG_DATA_HOME" /proc/[0-9]*/environ >"$test_dir/ours" || :
    while IFS=/ read -r _ _ pid _; do
        echo "$pid"
    done <"$test_dir/ours"
}

# Those of ours whose program's name begins with NAME.
ours_named() {
    local pid name
    for pid in $(ours); do
        name=
        read -r name 2>/dev/null <"/proc/$pid/comm" || :
        case $name in
        "$1"*) echo "$pid" ;;
        esac
    done
}

qemus() { ours_named qemu-system-x86; }
keepers() { ours_named vmm-keeper; }

is_nobody_left() { [ -z "$(ours)" ]; }

# In teardown. Keepers see their QEMU go, write that down and end by themselves: whatever else is
# still there then was left behind, which is a failure.
end_all() {
    local pid left
    for pid in $(qemus); do
        kill -KILL "$pid" 2>/dev/null || :
    done
    await 5 is_nobody_left && return
    left=$(ours)
    for pid in $left; do
        echo "left behind: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        kill -KILL "$pid" 2>/dev/null || :
    done
    return 1
}

# Dead is gone: who reaps an orphan, and when, is not up to us.
is_gone() {
    local stat=
    read -r stat 2>/dev/null <"/proc/$1/stat" || :
    case ${stat##*) } in
    "" | Z* | X*) ;;
    *) return 1 ;;
    esac
}

# await SECONDS COMMAND...: until the command succeeds.
await() {
    local seconds=$1 end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        if ((${EPOCHREALTIME/./} > end)); then
            echo "not within $seconds s: $*" >&2
            return 1
        fi
        read -rt 0.01 <> <(:) || :
    done
}

# took_below MILLISECONDS: since `started`.
start_clock() { started=${EPOCHREALTIME/./}; }
took_below() {
    local ms=$(((${EPOCHREALTIME/./} - started) / 1000))
    ((ms < $1)) || {
        echo "took $ms ms, $1 allowed"
        return 1
    }
}

# ---- VMs ---------------------------------------------------------------------------------------

# vmfile NAME [LINE...]: adds a VM to VMFile.kdl, with more lines inside of its block.
vmfile() {
    local name=$1 line
    shift
    {
        echo "vm \"$name\" {"
        echo '    image "disk.qcow2"'
        for line in "$@"; do
            echo "    $line"
        done
        echo "}"
    } >>VMFile.kdl
}

# A VM that `up` waits for: nobody ever answers on the fake's port 22.
with_ssh='ssh { user "vm"; }'

# script RULE...: how the fakes started from now on misbehave; none: not at all.
script() {
    printf '%s\n' "$@" >"$HOME/.fake-qemu"
}

vm_dir() { echo "$data/vms/$1"; }

python() { /usr/bin/python3 -SE "$@"; }

# json EXPRESSION: of the document `d` on standard input.
json() { python -c "import json, sys; d = json.load(sys.stdin); print(($1))"; }

# field NAME KEY: what status says.
field() { vmctl status "$1" --json | json "d.get('$2')"; }

# ask SOCKET COMMAND...: a person's QMP client; prints what QEMU says.
qmp() { python "$BATS_TEST_DIRNAME/client.py" qmp "$@"; }

# ---- what was said -----------------------------------------------------------------------------

# vmctl_fails STATUS CODE [ARGUMENT...]: one error, with this code and a help line.
vmctl_fails() {
    local want=$1 code=$2
    shift 2
    run --separate-stderr vmctl "$@"
    [ "$status" = "$want" ] || {
        echo "vmctl $*: status $status, not $want"
        echo "$output"
        echo "$stderr"
        return 1
    }
    says "error[$code]: "
    says "  help: "
    [ "$(grep -c '^error\[' <<<"$stderr")" = 1 ] || {
        echo "more than one error: $stderr"
        return 1
    }
}

holds() { # TEXT WHAT
    case $1 in
    *"$2"*) ;;
    *)
        echo "expected: $2"
        echo "in: $1"
        return 1
        ;;
    esac
}

prints() { holds "$output" "$1"; }
says() { holds "$stderr" "$1"; }

lacks() { # TEXT WHAT
    case $1 in
    *"$2"*)
        echo "not expected: $2"
        echo "in: $1"
        return 1
        ;;
    esac
}

# ---- other users -------------------------------------------------------------------------------

# Root may read everything: what is refused to a user can only be seen as one.
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

need_root() {
    [ "$(id -u)" = 0 ] || skip "$1 needs root"
}

# A home for nobody, with a copy of the programs: the build folder may be closed to others.
make_public_home() {
    need_root "another user"
    as_nobody sh -c '[ "$(id -u)" != 0 ]'
    public_dir=$(mktemp -d /tmp/vmm-cli-XXXXXX)
    chmod 755 "$public_dir"
    mkdir -p "$public_dir"/{build/vmctl,build/qemu,libexec,home,data,work}
    cp "$build"/tools/vmctl/vmctl "$public_dir/build/vmctl/"
    cp "$fake_dir"/qemu-system-x86_64 "$public_dir/build/qemu/"
    find "$build/tools/libexec" -maxdepth 1 -type f -name 'vmm-*' -exec cp -t "$public_dir/libexec" {} +
    cp disk.qcow2 "$public_dir/work/"
    chmod -R go+rX "$public_dir"
    chown -R 65534:65534 "$public_dir"/{home,data,work}
    export HOME=$public_dir/home XDG_DATA_HOME=$public_dir/data
    export PATH=$public_dir/build/qemu:$public_dir/build/vmctl:/usr/bin:/bin
    export VMM_LIBEXEC=$public_dir/libexec
    data=$XDG_DATA_HOME/vmctl
    cd "$public_dir/work" || return
}

remove_public_home() {
    cd /
    [ -z "${public_dir:-}" ] || rm -rf "$public_dir"
}
