#!/bin/sh
# The man pages render, and mandoc has nothing to say about them. Prints TAP.
# usage: man.sh [PAGE.scd...]   (other pages: to see the test fail)
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- docs/man/*.scd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
n=0
for page in "$@"; do
    n=$((n + 1))
    roff=$work/$(basename "$page" .scd)
    if scdoc <"$page" >"$roff" 2>"$work/said"; then
        # scdoc writes .PP around each block, also where nothing stands between: no fault of the page.
        mandoc -T lint -W warning "$roff" |
            grep -v 'WARNING: skipping paragraph macro: PP \(empty\|after S[HS]\)' >"$work/said" || true
    else
        echo "scdoc failed" >>"$work/said"
    fi
    if [ -s "$work/said" ]; then
        echo "not ok $n - $page"
        sed 's/^/# /' "$work/said"
        failed=1
    else
        echo "ok $n - $page"
    fi
done
echo "1..$n"
exit $failed
