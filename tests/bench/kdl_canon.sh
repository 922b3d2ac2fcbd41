#!/bin/sh
# Time and peak memory of kdl-canon on generated documents: kdl_canon.sh KDL_CANON
#
# Two shapes: "lab" looks like a file a person would write (strings, numbers, properties, comments,
# blocks); "lean" is mostly one short word and one number a line, the worst a tree can expect for
# its text. Each at 1, 2 and 4 MiB; the growth column should stay at 2.0, the ratio at or below 10.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 KDL_CANON" >&2; exit 2; }
canon=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

${CC:-cc} -O2 -D_GNU_SOURCE -o "$work/measure" "$here/kdl_measure.c"

generate() { # shape mebibytes
    awk -v shape="$1" -v limit="$2" 'BEGIN {
        limit *= 1048576
        for (i = 0; ; i++) {
            if (shape == "lab")
                s = sprintf("vm \"web-%d\" role=\"front end\" weight=%d.5 {\n" \
                    "    image \"debian/13\"  // the %dth\n    memory %d\n    cpus 0x%x\n" \
                    "    network mode=bridge mtu=1500 {\n        address \"10.0.%d.%d\"\n" \
                    "        up #true\n    }\n    run \"echo \\\"hello %d\\\"\\n\" #\"C:\\tmp\"#\n" \
                    "    /- disabled %d\n    script \"\"\"\n        set -e\n        make %d\n" \
                    "        \"\"\"\n}\n",
                    i, i % 100, i, 512 + i, i, int(i / 256) % 256, i % 256, i, i, i)
            else
                s = sprintf("block {\n    size %d\n    count %d\n}\n", 100 + i % 900, i % 10)
            if (n + length(s) > limit)
                break
            n += length(s)
            printf "%s", s
        }
    }' >"$work/doc.kdl"
}

printf '%-5s %5s %10s %7s %12s %7s %7s\n' shape MiB "time ms" growth "peak KiB" growth ratio
for shape in lab lean; do
    was=
    for size in 1 2 4; do
        generate "$shape" "$size"
        now=$("$work/measure" "$work/doc.kdl" "$canon")
        echo "$shape $size $now ${was:-0 0}" | awk '{
            printf "%-5s %5d %10.1f %7s %12d %7s %6.1fx\n", $1, $2, $3 / 1000,
                $5 ? sprintf("%.2f", $3 / $5) : "-", $4, $6 ? sprintf("%.2f", $4 / $6) : "-",
                $4 / 1024 / $2
        }'
        was=$now
    done
done
