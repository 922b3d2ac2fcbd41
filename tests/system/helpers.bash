# For tests that boot real guests. Everything a test makes is below its own folder, and every QEMU and
# keeper it started is gone at its end.

build=${VMM_BUILD:?folder of the build to test}
top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
guests=$top/build/guests
export PATH=$build/tools/vmctl:$PATH
export VMCTL_ACCEL=${VMCTL_ACCEL:-tcg}

# In setup_file or setup. The folder's path is short: sockets live below it.
make_home() {
    test_home=$(mktemp -d /tmp/vmm-sys-XXXXXX)
    export test_home HOME=$test_home XDG_DATA_HOME=$test_home/data
    mkdir -p "$test_home/data" "$test_home/work"
    cd "$test_home/work" || exit 1
}

# Ends what a failing test has left, by the pids in its own folder only.
remove_home() {
    for vm in "$test_home"/data/vmctl/vms/*/; do
        [ -d "$vm" ] || continue
        vmctl destroy "$(basename "$vm")" >/dev/null 2>&1 || true
    done
    cd /
    leftover=$(pgrep -f "$test_home" || true)
    rm -rf "$test_home"
    [ -z "$leftover" ] || { echo "left running: $leftover"; return 1; }
}

# vmfile NAME IMAGE [LINE...]: a VM with cloud-init and ssh, and more lines inside of its block.
vmfile() {
    name=$1 image=$2
    shift 2
    {
        echo "vm \"$name\" {"
        echo "    image \"$guests/$image.qcow2\""
        echo "    memory 256"
        echo "    cloud-init { hostname \"$name\"; }"
        echo "    ssh { user \"vm\"; }"
        for line in "$@"; do echo "    $line"; done
        echo "}"
    } >>VMFile.kdl
}

vm_dir() {
    echo "$XDG_DATA_HOME/vmctl/vms/$1"
}

contains() {
    case $output in
    *"$1"*) ;;
    *)
        echo "expected to find: $1"
        echo "in: $output"
        return 1
        ;;
    esac
}
