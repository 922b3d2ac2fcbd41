#!/bin/sh
# Functions that are never right here (security.md M-5), qemu-img outside its one wrapper (E-2), and
# the shell. Prints TAP.
set -eu
cd "$(dirname "$0")/../.."
n=0
failed=0

forbid() { # name pattern [files to leave out]
    n=$((n + 1))
    found=$(find src tools -name '*.[ch]' ! -path "${3:-/none}" -exec grep -nHE "$2" {} + || true)
    if [ -z "$found" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        printf '%s\n' "$found" | sed 's/^/# /'
        failed=1
    fi
}

forbid "no unbounded string functions" \
    '\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca|tmpnam|mktemp|tempnam)\('
forbid "no shell" '\b(system|popen|execl|execlp)\('
forbid "one wrapper runs qemu-img" '"qemu-img"' 'src/image/qemu_img.c'
forbid "no sleeping" '\b(sleep|usleep|nanosleep)\('
forbid "no signal by bare pid but to an unreaped child" '\bkill\([a-z_>-]*pid, (SIGTERM|0)\)'
forbid "only the tools and cli print" '^[^"/]*\b(printf|puts)\(' 'src/cli/*'
forbid "human-monitor-command is not spoken" 'human-monitor-command'
echo "1..$n"
exit $failed
