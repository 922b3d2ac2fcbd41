#!/bin/sh
# Every header compiles alone, with gcc and clang; the public ones as C++ too. Prints TAP.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
n=0

check() { # compiler standard header
    printf '#include "%s"\n' "${3#*/}" >"$work/one.$4"
    if ! "$1" "-std=$2" -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Isrc -Iinclude \
        "$work/one.$4" 2>"$work/said"; then
        echo "not ok $n - $3 stands alone ($1 $2)"
        sed 's/^/# /' "$work/said"
        failed=1
    fi
}

for header in $(find src include -name '*.h' | sort); do
    n=$((n + 1))
    before=$failed
    failed=0
    check gcc gnu17 "$header" c
    check clang gnu17 "$header" c
    case $header in include/*) check g++ c++17 "$header" cc ;; esac
    [ $failed = 1 ] || echo "ok $n - $header stands alone"
    [ $failed = 0 ] && failed=$before
done
echo "1..$n"
exit $failed
