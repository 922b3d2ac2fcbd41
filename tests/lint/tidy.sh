#!/bin/sh
# clang-tidy (.clang-tidy) and cppcheck over the product. Prints TAP.
set -eu
cd "$(dirname "$0")/../.."
db=build/clang
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# Two at a time; a file's findings are kept apart so that they can be shown whole.
find src tools -name '*.c' | sort >"$work/files"
xargs -P "$(nproc)" -I{} sh -c 'clang-tidy --quiet -p "$1" "$2" >"$3/$(echo "$2" | tr / _).tidy" 2>/dev/null ||
    echo "$2" >>"$3/bad"' sh "$db" {} "$work" <"$work/files"
if [ ! -s "$work/bad" ]; then
    echo "ok 1 - clang-tidy finds nothing in $(wc -l <"$work/files") files"
else
    echo "not ok 1 - clang-tidy"
    cat "$work"/*.tidy | grep -E 'error|warning' | sort -u | head -60 | sed 's/^/# /'
    status=1
fi

# memleak: cppcheck does not know the cleanup attribute. LeakSanitizer and the tests look for leaks.
if cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
    --suppress=memleak --suppress=resourceLeak --error-exitcode=1 -j "$(nproc)" \
    -D_GNU_SOURCE -DVMM_VERSION='""' -DVMM_HELPER_DIR='""' -Isrc -Iinclude src tools 2>"$work/cppcheck"; then
    echo "ok 2 - cppcheck finds nothing"
else
    echo "not ok 2 - cppcheck"
    head -60 "$work/cppcheck" | sed 's/^/# /'
    status=1
fi
echo "1..2"
exit $status
