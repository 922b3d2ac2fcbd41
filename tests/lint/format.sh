#!/bin/sh
# Sources are as clang-format 14 writes them (`./dev format`). Prints TAP.
set -eu
cd "$(dirname "$0")/../.."
case $(clang-format --version) in
*version\ 14.*) ;;
*)
    echo "ok 1 - formatting # SKIP another clang-format formats otherwise: $(clang-format --version)"
    echo 1..1
    exit 0
    ;;
esac
found=$(find src include tools tests -name '*.[ch]' -exec clang-format --dry-run {} + 2>&1 | grep warning: | cut -d: -f1 | sort | uniq -c || true)
if [ -z "$found" ]; then
    echo "ok 1 - sources are formatted"
else
    echo "not ok 1 - sources are formatted (run ./dev format)"
    printf '%s\n' "$found" | sed 's/^/# /'
fi
echo 1..1
[ -z "$found" ]
