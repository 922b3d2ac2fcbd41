#!/bin/sh
# Runs a KDL conformance suite: kdl-suite.sh KDL_CANON SUITE_DIR
#
# SUITE_DIR holds input/*.kdl and expected_kdl/. An input named *_fail.kdl must be refused with
# exit status 1; every other one must print, byte for byte, what the file of its name under
# expected_kdl/ holds. Each failure is a line; the last line counts. Exit 1 on any failure, 2 when
# nothing could be run.
set -u

if [ $# -ne 2 ]; then
    echo "usage: $0 KDL_CANON SUITE_DIR" >&2
    exit 2
fi
canon=$1
suite=$2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

passed=0
failed=0

fail() {
    failed=$((failed + 1))
    echo "FAIL $name: $1"
}

for input in "$suite"/input/*.kdl; do
    [ -f "$input" ] || continue
    name=$(basename "$input" .kdl)
    "$canon" <"$input" >"$work/out" 2>"$work/err"
    status=$?
    case $name in
    *_fail)
        if [ "$status" -ne 1 ]; then
            fail "exit status $status, want 1"
        elif [ -s "$work/out" ] || ! [ -s "$work/err" ]; then
            fail "refused without a word, or after output"
        else
            passed=$((passed + 1))
        fi
        ;;
    *)
        if [ "$status" -ne 0 ]; then
            fail "exit status $status: $(head -n 1 "$work/err")"
        elif ! [ -f "$suite/expected_kdl/$name.kdl" ]; then
            fail "no expected output in the suite"
        elif ! cmp -s "$work/out" "$suite/expected_kdl/$name.kdl"; then
            fail "output differs"
            diff -u "$suite/expected_kdl/$name.kdl" "$work/out" | sed 's/^/    /'
        else
            passed=$((passed + 1))
        fi
        ;;
    esac
done

echo "$passed passed, $failed failed"
if [ $((passed + failed)) -eq 0 ]; then
    echo "no inputs under $suite/input" >&2
    exit 2
fi
[ "$failed" -eq 0 ]
