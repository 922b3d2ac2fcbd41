#!/bin/sh
# The house is an hourglass (docs/architecture.md): a room may include rooms of lower floors, its own
# files and nothing else; rooms of one floor do not know each other. Prints TAP.
# usage: includes.sh [TREE]   (a tree other than the checkout: to see the test fail)
set -eu
cd "${1:-$(dirname "$0")/../..}"

echo 1..1
if find src tools -name '*.[ch]' -exec grep -nH '^#include "' {} + | awk '
    BEGIN {
        split("base 0 kdl 1 wcl 1 wscript 1 qmp 1 image 1 seed 1 ssh 1 net 1 cli 1 hypervisor 2 " \
              "machine 3 vmfile 4 lab 4 provium 4 daemon 5 tools 6", words, " ")
        for (i = 1; i in words; i += 2)
            floor[words[i]] = words[i + 1]
        bad = 0
    }
    function room(path) {
        if (path ~ /^tools\//) return "tools"
        sub(/^src\//, "", path)
        sub(/\/.*/, "", path)
        return path
    }
    {
        split($0, part, ":")
        from = room(part[1])
        target = $0
        sub(/^[^"]*"/, "", target)
        sub(/".*/, "", target)
        to = target
        sub(/\/.*/, "", to)
        if (target !~ /\// || to == "vmm" || to == from || target ~ /^vmctl/)
            next
        why = ""
        if (!(from in floor)) why = "room " from " has no floor"
        else if (!(to in floor)) why = "room " to " has no floor"
        else if (floor[to] > floor[from]) why = "runs back up"
        else if (floor[to] == floor[from]) why = "joins two rooms of one floor"
        if (why) {
            print "# " part[1] ":" part[2] ": " from " -> " to " " why
            bad = 1
        }
    }
    END { exit bad }'
then echo "ok 1 - no include runs back up"
else echo "not ok 1 - no include runs back up"; exit 1
fi
