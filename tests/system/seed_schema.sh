#!/bin/sh
# What others make of our cloud-init documents and ISOs: seed_schema.sh TEST_SEED_COMPOSE
#
#   - `cloud-init schema` of the Debian guest has no complaint about any document, and no warning;
#   - PyYAML, which cloud-init reads with, finds exactly the values that were put in;
#   - blkid finds the label; isoinfo, xorriso and the kernel find the same files with the same bytes;
#   - made again two seconds later, in another time zone, an ISO has the same bytes.
#
# TEST_SEED_COMPOSE is the built unit test of that name; it writes the documents. VMM_LIBEXEC is the
# folder of vmm-seed, unless it lies where that program looks by itself. The guest's root tree has to be
# built (guest/build debian). Each failure is a line; the last line counts. Exit 1 on any failure, 2
# when nothing could be run, 77 without the tree.
set -u

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 TEST_SEED_COMPOSE" >&2
    exit 2
fi
program=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd -P)/$(basename -- "$1")
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
in_root=$here/../../guest/debian/in-root

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 077

passed=0
failed=0
skipped=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAIL $*"
}
skip() {
    skipped=$((skipped + 1))
    echo "SKIP $*"
}

# The tree first: without it the better half cannot be asked.
"$in_root" true
case $? in
    0) ;;
    77) exit 77 ;;
    *) echo "$0: $in_root does not run" >&2; exit 2 ;;
esac

mkdir "$work/a" "$work/b"
"$program" --write "$work/a" || exit 2
first=$(date +%s)

# --- cloud-init's own reader ---
cd "$work/a" || exit 2

schema() {
    if ! "$in_root" cloud-init schema -c "$1" >"$work/said" 2>&1; then
        fail "$1: cloud-init schema: $(cat "$work/said")"
    elif grep -qi -e warn -e deprecat -e error "$work/said" || ! grep -q 'Valid' "$work/said"; then
        fail "$1: cloud-init schema complains: $(cat "$work/said")"
    else
        pass
    fi
}

# The check has to be able to fail: an empty ssh_genkeytypes is against the schema, and so is a typo.
for bad in '{"ssh_genkeytypes": []}' '{"users": [{"nmae": "x"}]}' '{"ssh_pwauth": {}}'; do
    printf '#cloud-config\n%s\n' "$bad" >bad.user-data
    if "$in_root" cloud-init schema -c bad.user-data >/dev/null 2>&1; then
        fail "cloud-init schema accepts $bad: it checks nothing here"
    else
        pass
    fi
done
rm bad.user-data

for document in *.user-data *.vendor-data; do
    # Raw user-data is its author's; only ours and the sample in cloud-config is looked at.
    case $document in script.user-data | empty.user-data) continue ;; esac
    schema "$document"
done

# --- PyYAML, by cloud-init's own way of reading ---
cat >check.py <<'EOF'
import glob, json, sys
import yaml

passed = failed = 0


def check(what, have, want):
    global passed, failed
    # By type as well: 1 == True and "no" != False.
    if type(have) is type(want) and have == want:
        passed += 1
    else:
        failed += 1
        print("FAIL %s: have %r, want %r" % (what, have, want))


def load(name):
    with open(name, "rb") as f:
        return yaml.safe_load(f.read().decode("utf-8"))


for name in sorted(glob.glob("*.want.json")):
    case = name[: -len(".want.json")]
    with open(name) as f:
        want = json.load(f)
    if case == "awkward":
        have = load("awkward.yaml")
        check("awkward count", len(have), len(want))
        for h, w in zip(have[:-1], want[:-1]):
            check("awkward %r" % w, h, w)
        check("awkward keys", have[-1], want[-1])
        continue
    meta = load(case + ".meta-data")
    check(case + " meta-data", meta, {"instance-id": want["instance_id"], "local-hostname": want["hostname"]})
    keys_from = case + ".user-data"
    if "user" in want:
        user_data = load(case + ".user-data")
        check(case + " hostname", user_data["hostname"], want["hostname"])
        check(case + " users", len(user_data["users"]), 1)
        user = user_data["users"][0]
        check(case + " name", user["name"], want["user"])
        check(case + " keys", user["ssh_authorized_keys"], want["keys"])
        check(case + " sudo", user["sudo"], "ALL=(ALL) NOPASSWD:ALL")
        check(case + " lock_passwd", user["lock_passwd"], True)
        check(case + " disable_root", user_data["disable_root"], want["user"] != "root")
        check(case + " ssh_pwauth", user_data["ssh_pwauth"], False)
    else:
        keys_from = case + ".vendor-data"
    if "host_key_private" in want:
        config = load(keys_from)
        check(case + " host key", config["ssh_keys"],
              {"ed25519_private": want["host_key_private"], "ed25519_public": want["host_key_public"]})
        check(case + " old host keys go", config["ssh_deletekeys"], True)
print("python", passed, failed)
sys.exit(failed != 0)
EOF
"$in_root" python3 check.py >"$work/said" 2>&1
grep -v '^python ' "$work/said"
counts=$(sed -n 's/^python //p' "$work/said")
if [ -n "$counts" ]; then
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
else
    fail 'the Python reader did not come to its end'
fi
rm check.py

# What cloud-init makes of user-data and vendor-data together: the raw sample's own host name, our host key.
cat >merge.py <<'EOF'
import json, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from cloudinit import util
user = util.load_yaml(open("raw.user-data").read())
vendor = util.load_yaml(open("raw.vendor-data").read())
merged = util.mergemanydict([user, vendor])
want = json.load(open("raw.want.json"))
assert merged["hostname"] == "other", merged
assert merged["ssh_keys"]["ed25519_private"] == want["host_key_private"], merged
EOF
if "$in_root" python3 merge.py; then pass; else fail 'raw user-data loses the host key of vendor-data'; fi
rm merge.py

# --- the ISO, by everybody who reads one ---
PATH=$PATH:/usr/sbin:/sbin
files_of() { # the documents of case $1, as "NAME-IN-ISO"
    for kind in meta-data user-data vendor-data; do
        [ ! -e "$1.$kind" ] || echo "$kind"
    done
}

for iso in *.iso; do
    name=${iso%.iso}
    label=$(blkid -p -o value -s LABEL "$iso")
    type=$(blkid -p -o value -s TYPE "$iso")
    if [ "$label" = cidata ] && [ "$type" = iso9660 ]; then pass; else fail "$iso: blkid says \"$label\", \"$type\""; fi
    if [ "$(stat -c %a "$iso")" = 600 ]; then pass; else fail "$iso: mode $(stat -c %a "$iso")"; fi
    if ! command -v isoinfo >/dev/null; then
        skip "$iso: isoinfo is not installed"
        continue
    fi
    for way in -R -J; do
        want=$(files_of "$name" | tr '\n' ' ')
        have=$(isoinfo $way -f -i "$iso" | sed 's,^/,,' | sort | tr '\n' ' ')
        if [ "$have" = "$want" ]; then pass; else fail "$iso: isoinfo $way lists $have"; fi
        for file in $(files_of "$name"); do
            if isoinfo $way -x "/$file" -i "$iso" | cmp -s - "$name.$file"; then pass; else fail "$iso: isoinfo $way reads another $file"; fi
        done
    done
done

if command -v xorriso >/dev/null; then
    mkdir "$work/xorriso"
    for iso in *.iso; do
        name=${iso%.iso}
        rm -rf "$work/xorriso/out"
        xorriso -osirrox on -indev "$iso" -extract / "$work/xorriso/out" >"$work/said" 2>&1
        for file in $(files_of "$name"); do
            if cmp -s "$work/xorriso/out/$file" "$name.$file"; then pass; else fail "$iso: xorriso reads another $file: $(tail -n 3 "$work/said")"; fi
        done
        if grep -qi -e 'sorry' -e 'failure' -e 'fatal' "$work/said"; then fail "$iso: xorriso: $(cat "$work/said")"; else pass; fi
    done
else
    skip 'xorriso is not installed'
fi

# The kernel reads it as the guest's does: loop device, mount namespace of its own.
if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
    skip 'mounting an ISO needs root'
elif ! grep -q iso9660 /proc/filesystems && ! modprobe isofs 2>/dev/null; then
    skip "mounting an ISO: this kernel does not know iso9660"
else
    mkdir "$work/mnt"
    for iso in *.iso; do
        name=${iso%.iso}
        # shellcheck disable=SC2016,SC2046 # the inner shell expands; names of files are words
        unshare --mount sh -c '
            mount -t iso9660 -o loop,ro "$1" "$2" || exit 77
            shift 1; mnt=$1; name=$2; shift 2
            for file; do cmp "$mnt/$file" "$name.$file" || exit 1; done
            [ "$(ls -A "$mnt" | wc -l)" = $# ] && [ "$(stat -c %u:%g "$mnt/user-data")" = 0:0 ]
        ' sh "$iso" "$work/mnt" "$name" $(files_of "$name") >"$work/said" 2>&1
        case $? in
            0) pass ;;
            77) skip "$iso: no loop device: $(cat "$work/said")" ;;
            *) fail "$iso: mounted, it differs: $(cat "$work/said")" ;;
        esac
    done
fi

# --- the same bytes again ---
while [ "$(date +%s)" -lt $((first + 2)) ]; do sleep 0.1; done
TZ=America/St_Johns LC_ALL=C "$program" --write "$work/b" || fail 'the second run'
for file in *; do
    if cmp -s "$file" "$work/b/$file"; then pass; else fail "$file: other bytes two seconds later"; fi
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
