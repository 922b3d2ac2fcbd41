#!/bin/sh
# vmctl.1 and the option tables say the same: every command has a section with just the options that
# its --help lists, value names and defaults included; the same for variables and exit codes. Prints TAP.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
vmctl=${VMM_BUILD:-$top/build/gcc}/tools/vmctl/vmctl
page=${1:-$top/docs/man/vmctl.1.scd} # another page: to see the test fail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" LC_ALL=C.UTF-8
unset NO_COLOR CLICOLOR_FORCE XDG_DATA_HOME
n=0
failed=0

same() { # name want-file got-file
    n=$((n + 1))
    if diff -u "$2" "$3" >"$work/diff"; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/diff"
        failed=1
    fi
}

# A section of the page, without its heading: "# OPTIONS", "## up".
section() {
    awk -v heading="$1" '
        /^##? / { in_it = $0 == heading; next }
        in_it' "$page"
}

# Formatting away: _X_, *X* and backslashes.
plain() {
    sed -e 's/\\_/\x01/g' -e 's/[*_]//g' -e 's/\x01/_/g' -e 's/\\//g'
}

# "-f, --file PATH|VMFile.kdl": option, value, default, from a help. Wrapped lines are joined first.
options_of_help() {
    awk '
        /^[^ ]/ { in_options = $0 == "Options:"; next }
        !in_options || !NF { next }
        /^ +-/ && match($0, /^ +/) && RLENGTH <= 8 { if (entry) print entry; entry = $0; next }
        { sub(/^ +/, ""); entry = entry " " $0 }
        END { if (entry) print entry }' |
        sed -E 's/^ +//' |
        awk '{
            name = $0; sub(/  .*/, "", name)
            value = ""
            if (match($0, /\(default: [^)]*\)/)) value = substr($0, RSTART + 10, RLENGTH - 11)
            print name "|" value
        }' | grep -v -e '^-h, --help|' -e '^--version|' | LC_ALL=C sort
}

options_of_page() {
    awk '
        /^\*-/ { name = $0; default_value = ""; open = 1; next }
        open && /^\t/ {
            if (match($0, /Default: [^ ]*\.$/)) default_value = substr($0, RSTART + 9, RLENGTH - 10)
            next
        }
        open { print name "|" default_value; open = 0 }
        END { if (open) print name "|" default_value }' | plain | LC_ALL=C sort
}

commands=$("$vmctl" --help | awk '
    /^[^ ]/ { is_list = /:$/ && !/^(Options|Examples|Usage)/; next }
    is_list && /^  [a-z]/ { print $1 }')
printf '%s\n' "$commands" | LC_ALL=C sort >"$work/want"
sed -n 's/^## //p' "$page" | LC_ALL=C sort >"$work/got"
same "the page has a section for each command" "$work/want" "$work/got"

for command in $commands; do
    "$vmctl" "$command" --help >"$work/help"
    options_of_help <"$work/help" >"$work/want"
    section "## $command" >"$work/section"
    options_of_page <"$work/section" >"$work/got"
    same "options of $command" "$work/want" "$work/got"
    sed -n 's/^Usage: //p' "$work/help" >"$work/want"
    plain <"$work/section" | grep -m1 "^vmctl $command" >"$work/got" || true
    same "synopsis of $command" "$work/want" "$work/got"
done

"$vmctl" help environment >"$work/help"
awk '/^[^ ]/ { on = /^Environment/ } on && /^  [A-Z]/ { print $1 }' "$work/help" | LC_ALL=C sort >"$work/want"
# VMM_LIBEXEC is for whoever moves an installation about: in the page only.
section '# ENVIRONMENT' | sed -n 's/^\*\([A-Z_]*\)\*$/\1/p' | grep -vx VMM_LIBEXEC | LC_ALL=C sort >"$work/got"
same "environment variables" "$work/want" "$work/got"

awk '/^[^ ]/ { on = /^Exit codes/ } on && /^  [0-9]/ { print $1 }' "$work/help" >"$work/want"
section '# EXIT STATUS' | sed -n 's/^\*\([0-9]*\)\*$/\1/p' >"$work/got"
same "exit codes" "$work/want" "$work/got"

echo "1..$n"
exit $failed
