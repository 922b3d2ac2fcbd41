#!/bin/sh
# `./dev install PREFIX` as a user does it, into a folder below build/: what is installed works, the
# library is usable by C and C++ programs with pkg-config alone and exports what the headers promise,
# and the whole may be moved elsewhere. Nothing boots: QEMU is the fake one. Prints TAP.
# shellcheck disable=SC2317 # functions are called through check
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
fake=${VMM_BUILD:-$top/build/gcc}/tests/fake/qemu/qemu-system-x86_64
prefix=$top/build/installed # the same each time: then nothing is compiled twice
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" XDG_DATA_HOME="$work/data" LC_ALL=C.UTF-8
unset VMCTL_ACCEL VMCTL_BACKEND VMCTL_TIMEOUT VMCTL_LOG VMM_LIBEXEC DESTDIR PKG_CONFIG_PATH
n=0
failed=0

check() { # name command...: passes when the command does
    n=$((n + 1))
    name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/log"
        failed=1
    fi
}

has() { # text command...
    text=$1
    shift
    "$@" >"$work/out" 2>&1 || { cat "$work/out"; return 1; }
    grep -qF -- "$text" "$work/out" || { cat "$work/out"; return 1; }
}

files_of() {
    (cd "$prefix" && find . ! -type d | LC_ALL=C sort)
}

install_again() {
    files_of >"$work/once"
    "$top/dev" install "$prefix" || return 1
    files_of | diff "$work/once" -
}

# What the public headers mark VMM_EXPORT.
promised() {
    cat "$prefix"/include/vmm/*.h | grep -v '^#' | tr '\n' ' ' | grep -o 'VMM_EXPORT [^;(]*(' |
        sed 's/.*[ *]\([a-z0-9_]*\) *($/\1/' | LC_ALL=C sort
}

exports_what_is_promised() {
    promised >"$work/want"
    [ -s "$work/want" ] || return 1
    nm -D --defined-only "$libdir/libvmm.so" | awk '$2 != "A" { print $3 }' |
        sed -n 's/@@VMM_0\.1$//p' | LC_ALL=C sort | diff "$work/want" -
    # No name without a version either.
    [ "$(nm -D --defined-only "$libdir/libvmm.so" | awk '$2 != "A"' | wc -l)" = "$(wc -l <"$work/want")" ]
}

static_exports_the_same() {
    promised >"$work/want"
    nm -g --defined-only "$libdir/libvmm.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort | diff "$work/want" -
}

soname_is() {
    readelf -d "$libdir/libvmm.so" | grep -F "[$1]"
}

helpers_need_no_library() { # and the tool no library that talks to strangers
    for file in "$prefix"/bin/vmctl "$prefix"/libexec/vmm/*; do
        readelf -d "$file" | grep -E 'RPATH|RUNPATH|libvmm' && return 1
    done
    ! readelf -d "$prefix/bin/vmctl" | grep -E 'libssh|libarchive|libcurl'
}

# compile OUTPUT COMPILER...: with what pkg-config says and nothing else.
compile() {
    output=$1
    shift
    # shellcheck disable=SC2046
    "$@" -Wall -Wextra -Werror -o "$work/$output" $(pkg-config --cflags --libs vmm)
}

link_static() {
    # shellcheck disable=SC2046
    cc -o "$work/static" "$top/tests/docs/library.c" $(pkg-config --cflags vmm) "$libdir/libvmm.a" \
        $(pkg-config --libs jansson libcrypto)
}

runs() { # program
    cat >"$work/VMFile.kdl" <<KDL
vm "one" {
    image "disk.raw"
    vcpus 2
}
vm "two" {
    image "disk.raw"
}
KDL
    truncate -s 1M "$work/disk.raw"
    "$work/$1" "$work/VMFile.kdl" "$work/library" >"$work/out" || return 1
    diff "$work/out" - <<TEXT
one: 2 CPUs, 1024 MB
two: 1 CPUs, 1024 MB
one is running in $work/library/vms/one
one is destroyed
TEXT
}

tells_mistakes() { # program
    echo 'vm "one" { imag "disk.raw" }' >"$work/wrong.kdl"
    ! "$work/$1" "$work/wrong.kdl" "$work/library" 2>"$work/out" || return 1
    grep -F 'wrong.kdl:1:12: unknown node "imag" in vm "one" [vm_manager::vmfile::validation]' "$work/out"
}

renders() { # page words
    if command -v man >/dev/null; then
        has "$2" env MANPAGER=cat MANWIDTH=80 man -l "$1"
    else
        has "$2" mandoc "$1"
    fi
}

# All helpers are used once: keys (vmm-ssh), the seed (vmm-seed), a start (vmm-keeper).
makes_a_vm() { # bin
    mkdir -p "$work/path"
    ln -sf "$fake" "$work/path/qemu-system-x86_64"
    cat >"$work/seeded.kdl" <<KDL
vm "install-test" {
    image "disk.raw"
    accel "tcg"
    cloud-init
    ssh
}
KDL
    PATH="$work/path:$PATH" "$1/vmctl" up --no-wait --file "$work/seeded.kdl" || return 1
    status=0
    [ -s "$XDG_DATA_HOME/vmctl/vms/install-test/seed.iso" ] &&
        [ -s "$XDG_DATA_HOME/vmctl/vms/install-test/id_ed25519_generated" ] &&
        "$1/vmctl" list | grep -E 'install-test +qemu .* running' || status=1
    "$1/vmctl" destroy install-test || status=1
    [ ! -e "$XDG_DATA_HOME/vmctl/vms/install-test" ] || status=1
    return "$status"
}

rm -rf "$prefix"
check "./dev install PREFIX, without root's help" "$top/dev" install "$prefix"
if [ $failed = 1 ]; then
    echo "1..$n"
    exit 1
fi
check "doing it again changes nothing" install_again

pc=$(find "$prefix" -name vmm.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$libdir/pkgconfig" LD_LIBRARY_PATH="$libdir"
check "pkg-config knows vmm 0.1.0" has 0.1.0 pkg-config --modversion vmm
check "pkg-config --libs names nothing private" has -lvmm pkg-config --libs vmm
check "private libraries are in Requires.private" has jansson pkg-config --print-requires-private vmm
check "the soname is libvmm.so.0" soname_is libvmm.so.0
check "the shared library exports the public functions, as VMM_0.1, and no other name" exports_what_is_promised
check "the static library exports the same" static_exports_the_same
check "tools link nothing that talks to strangers" helpers_need_no_library
check "a C program compiles" compile as-c cc -std=c11 "$top/tests/docs/library.c"
check "it runs" runs as-c
check "it tells the mistakes of a file" tells_mistakes as-c
check "a C++ program compiles" compile as-cpp c++ -std=c++17 -x c++ "$top/tests/docs/library.c" -x none
check "it runs" runs as-cpp
check "a program links the static library" link_static
unset LD_LIBRARY_PATH
check "it runs without the shared one" runs static

check "the installed vmctl tells its version" has 'vmctl 0.1.0' "$prefix/bin/vmctl" --version
check "it lists no VMs where there are none" has NAME "$prefix/bin/vmctl" list
if command -v scdoc >/dev/null; then
    check "vmctl(1) renders" renders "$prefix/share/man/man1/vmctl.1" 'vmctl - virtual machines on Linux'
    check "VMFile(5) renders" renders "$prefix/share/man/man5/VMFile.5" 'cloud-init'
else
    n=$((n + 1))
    echo "ok $n - man pages # SKIP scdoc is not installed, so none were made"
fi
check "it makes, starts and deletes a VM with its helpers" makes_a_vm "$prefix/bin"
# Away from where it was compiled for, only bin/../libexec/vmm can be found.
mv "$prefix" "$work/moved"
check "so it does when it was moved" makes_a_vm "$work/moved/bin"
echo "1..$n"
exit $failed
