#!/bin/sh
# The SSH room against a real OpenSSH server.
#
#   ssh_openssh.sh DRIVER HELPER_DIR [CACHE_DIR]
#
# DRIVER is tests/system/ssh_driver.c built; HELPER_DIR holds vmm-ssh. The server is unpacked from its
# .deb into CACHE_DIR (default: a temporary folder), never installed: its package carries a service.
# It listens on 127.0.0.1 only, on a port the kernel had free. Run as root it lives in a mount
# namespace of its own, because sshd wants an account and a folder that the host need not have; run as
# a user it serves that user. Skipped (77) where the packages cannot be had.
set -eu

driver=$(readlink -f "$1")
VMM_LIBEXEC=$(readlink -f "$2")
export VMM_LIBEXEC
work=$(mktemp -d "${TMPDIR:-/tmp}/vmm-ssh-openssh.XXXXXX")
cache=${3:-$work/cache}
mkdir -p "$cache"
cache=$(readlink -f "$cache")
sshd_pid=
checks=0

finish() {
    [ -z "$sshd_pid" ] || kill "$sshd_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

skip() { echo "SKIP: $*"; exit 77; }
ok() { checks=$((checks + 1)); echo "ok $checks - $*"; }
fail() {
    echo "not ok - $*"
    sed 's/^/  driver: /' "$work/err" 2>/dev/null | tail -20
    sed 's/^/  sshd: /' "$work/sshd.log" 2>/dev/null | tail -5
    exit 1
}

# ---- The server -------------------------------------------------------------------------------

root=$cache/openssh
if [ ! -x "$root/usr/sbin/sshd" ]; then
    command -v apt-get >/dev/null || skip "no apt-get to fetch openssh-server with"
    (cd "$cache" && apt-get -q download openssh-server openssh-sftp-server libwrap0 >"$work/apt.log" 2>&1) ||
        skip "openssh-server cannot be downloaded"
    for deb in "$cache"/*.deb; do
        dpkg-deb -x "$deb" "$root"
    done
fi
libraries=$(echo "$root"/usr/lib/*-linux-gnu)

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

ssh-keygen -q -t ed25519 -N '' -f "$work/host_a"
ssh-keygen -q -t ed25519 -N '' -f "$work/host_b"
ssh-keygen -q -t rsa -b 2048 -N '' -f "$work/host_rsa"
"$driver" keygen 2 "$work/key" 2>"$work/err" || fail "keys are made"
[ "$(ssh-keygen -yf "$work/key.0")" = "$(cut -d' ' -f1,2 "$work/key.0.pub")" ] || fail "ssh-keygen reads our key"
ok "ssh-keygen reads the keys that were made"
ssh-keygen -q -t rsa -b 2048 -N '' -m PEM -f "$work/key.rsa"
ssh-keygen -q -t ecdsa -N '' -f "$work/key.ecdsa"
ssh-keygen -q -t ed25519 -N secret -f "$work/key.locked"
cat "$work/key.0.pub" "$work/key.rsa.pub" "$work/key.ecdsa.pub" "$work/key.locked.pub" >"$work/authorized"

# start HOSTKEY [MORE CONFIG [PORT]]
start() {
    port=${3:-$(free_port)}
    cat >"$work/sshd_config" <<EOF
ListenAddress 127.0.0.1
Port $port
HostKey $1
AuthorizedKeysFile $work/authorized
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
PidFile none
Subsystem sftp $root/usr/lib/openssh/sftp-server
${2:-}
EOF
    if [ "$(id -u)" = 0 ]; then
        { grep -v '^sshd:\|^root:' /etc/passwd; echo 'root:x:0:0:root:/root:/bin/sh'
          echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin'; } >"$work/passwd"
        # exec all the way: the pid is sshd's
        LD_LIBRARY_PATH=$libraries unshare -m --propagation private sh -c '
            mount -t tmpfs none /run && mkdir /run/sshd && mount --bind "$1" /etc/passwd &&
            exec "$2" -D -e -f "$3"' sh "$work/passwd" "$root/usr/sbin/sshd" "$work/sshd_config" \
            >"$work/sshd.log" 2>&1 &
    else
        LD_LIBRARY_PATH=$libraries "$root/usr/sbin/sshd" -D -e -f "$work/sshd_config" >"$work/sshd.log" 2>&1 &
    fi
    sshd_pid=$!
}
stop() { kill "$sshd_pid"; wait "$sshd_pid" 2>/dev/null || true; sshd_pid=; }

user=$(id -un)
# run KEY POLICY STEP...
run() {
    key=$1 policy=$2
    shift 2
    "$driver" 127.0.0.1 "$port" "$user" "$work/$key" "$work/known_hosts" "$policy" "$@" >"$work/out" 2>"$work/err"
}
said() { grep -q -- "$1" "$work/err"; }

# ---- Getting in -------------------------------------------------------------------------------

start "$work/host_a"
run key.0 pin exec 'echo to stdout; echo to stderr >&2; exit 7' || fail "a command runs"
[ "$(cat "$work/out")" = "to stdout" ] && said '^to stderr$' && said '^exit 7 ' || fail "both streams and the status"
ok "a command: both streams and its status"
said 'host-key SHA256:.* new' && ssh-keygen -F "[127.0.0.1]:$port" -f "$work/known_hosts" >/dev/null || fail "first key is pinned"
ok "the first host key is pinned where ssh finds it"
run key.0 pinned exec 'kill -TERM $$' && said '^exit 143 signal TERM ' || fail "signal"
ok "a command that was killed"
run key.rsa pinned exec true && run key.ecdsa pinned exec true || fail "RSA and ECDSA keys"
ok "RSA (PEM) and ECDSA keys log in"
run key.locked pinned exec true && fail "a locked key is refused"
said 'reason key' && said 'passphrase' || fail "a locked key is named"
ok "a key with a passphrase fails at once and says so"
SSH_DRIVER_TIMEOUT_MS=2000 run key.1 pinned exec true && fail "a strange key is refused"
said 'ssh::login_refused' && said 'it offers publickey' || fail "a refused login is named"
ok "a refused login is named"

# ---- Commands ---------------------------------------------------------------------------------

head -c 20000000 /dev/urandom >"$work/big"
run key.0 pinned exec "cat '$work/big'" || fail "20 MB come"
cmp -s "$work/out" "$work/big" || fail "20 MB are the same"
ok "20 MB of output are the same bytes"
run key.0 pinned input "$work/big" 'sha256sum' || fail "input"
[ "$(cut -c1-64 <"$work/out")" = "$(sha256sum <"$work/big" | cut -c1-64)" ] || fail "20 MB of input are the same"
ok "20 MB of input are the same bytes"
run key.0 pinned input "$work/big" 'head -c 5; exit 3' && said '^exit 3 ' || fail "input nobody reads"
ok "input that nobody reads does not hang"
run key.0 pinned timeout 500 'sleep 60' exec 'echo again' || fail "deadline"
[ "$(cat "$work/out")" = again ] && said 'alive 1' || fail "the session goes on after a deadline"
[ "$(sed -n 's/^late_by_ms \([0-9]*\).*/\1/p' "$work/err")" -lt 1000 ] || fail "cut within a second"
ok "a deadline cuts a command within a second, and the session goes on"
run key.0 pinned timeout 500 'cat /dev/zero' exec 'echo again' || fail "endless output"
[ "$(cat "$work/out")" = again ] || fail "the session goes on after endless output"
ok "endless output is cut, and the session goes on"
run key.0 pinned exec 'sleep 30 & echo started; exit 5' && said '^exit 5 .* left_open 1' || fail "left behind"
ok "a process left behind with our output is not waited for"
run key.0 pinned quiet 'yes | head -c 100000000' && said 'bytes 100000000 truncated 1' || fail "limit"
ok "output past the limit is counted"

# ---- Files ------------------------------------------------------------------------------------

run key.0 pinned up "$work/big" "$work/there" 0640 down "$work/there" "$work/back" 20000000 || fail "upload and download"
cmp -s "$work/big" "$work/there" && cmp -s "$work/big" "$work/back" || fail "files are the same"
[ "$(stat -c %a "$work/there")" = 640 ] || fail "mode"
ok "a file goes up with its mode and comes down the same"
: >"$work/empty"
run key.0 pinned up "$work/empty" "$work/there" 0600 && [ ! -s "$work/there" ] && [ "$(stat -c %a "$work/there")" = 600 ] ||
    fail "an empty file over a longer one"
ok "an empty file replaces a longer one"
run key.0 pinned up "$work/big" "$work/no/where" 0600 && fail "no folder"
said 'reason no-such-path' || fail "no such folder is named"
run key.0 pinned up "$work/big" "$work" 0600 && fail "a folder"
said 'reason is-directory' || fail "a folder is named"
run key.0 pinned down "$work/there.not" "$work/back" 10 && fail "no file"
said 'reason no-such-path' || fail "no such file is named"
run key.0 pinned down "$work/big" "$work/back" 19999999 && fail "too large"
said 'reason too-large' || fail "too large is named"
run key.0 pinned down /proc/cpuinfo "$work/back" 1000000 && [ -s "$work/back" ] || fail "a file without a size"
ok "SFTP's reasons are named, and a file without a size comes whole"
if [ "$(id -u)" = 0 ]; then
    # A small disk that only this server has.
    stop
    start "$work/host_a" "ForceCommand mkdir -p /run/small && { mountpoint -q /run/small || mount -t tmpfs -o size=4m none /run/small; } && exec $root/usr/lib/openssh/sftp-server"
    sed -i "s/^\[127.0.0.1\]:[0-9]*/[127.0.0.1]:$port/" "$work/known_hosts"
    run key.0 pinned up "$work/big" /run/small/big 0600 && fail "a full disk"
    said 'reason disk-full' || fail "a full disk is named"
    ok "a full disk in the guest is named"
fi
stop

# ---- Keys change, guests come late ------------------------------------------------------------

start "$work/host_a" "RekeyLimit 4M"
sed -i "s/^\[127.0.0.1\]:[0-9]*/[127.0.0.1]:$port/" "$work/known_hosts"
run key.0 pinned up "$work/big" "$work/there" 0600 down "$work/there" "$work/back" 20000000 exec "cat '$work/big'" \
    input "$work/big" 'cat >/dev/null' || fail "new keys on the way"
cmp -s "$work/big" "$work/back" && cmp -s "$work/big" "$work/out" || fail "the same with new keys on the way"
ok "20 MB four ways while the session keys change every 4 MB"
stop
start "$work/host_b"
sed -i "s/^\[127.0.0.1\]:[0-9]*/[127.0.0.1]:$port/" "$work/known_hosts"
run key.0 pinned exec true && fail "a changed key"
a=$(ssh-keygen -lf "$work/host_a.pub" | cut -d' ' -f2)
b=$(ssh-keygen -lf "$work/host_b.pub" | cut -d' ' -f2)
said 'host_key_mismatch' && said "is $b, but $a is pinned" || fail "both fingerprints are told"
ok "a changed host key is refused, with both fingerprints"
stop
start "$work/host_rsa"
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host_rsa.pub")" >"$work/known_hosts"
run key.0 pinned exec true || fail "an RSA host key"
ok "a pinned RSA host key"
stop
port=$(free_port)
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host_a.pub")" >"$work/known_hosts"
SSH_DRIVER_TIMEOUT_MS=1000 run key.0 pinned exec true && fail "nobody listens"
said 'reason port' && said 'Connection refused' || fail "a refused port is named"
ok "a refused port is named"
run key.0 pinned exec 'echo in' &
late=$!
sleep 1 # what is tested is that somebody waits
start "$work/host_a" "" "$port"
wait "$late" && [ "$(cat "$work/out")" = in ] || fail "a late server"
ok "a server that comes late is found"
stop

# ---- Quoting, through a real login shell ------------------------------------------------------

printf "it's \$HOME \`x\` \"y\" \\\\ *\n!" >"$work/text"
quoted=$("$driver" quote <"$work/text")
start "$work/host_a"
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host_a.pub")" >"$work/known_hosts"
run key.0 pinned exec "printf %s $quoted" || fail "quoted text"
cmp -s "$work/text" "$work/out" || fail "quoted text is the same"
ok "quoted text passes a login shell unchanged"
echo "1..$checks"
