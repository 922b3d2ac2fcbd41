# Shared by the recipes; sourced, not run. Expects WORK (scratch folder) and, for finish_disk, OUT.
#
# Nothing here needs root or a loop device: packages are unpacked, not installed; the file system is filled by
# mke2fs; the boot loader is put in place by hand. What grub-install does for a BIOS disk comes to three
# steps: boot.img in the first 440 bytes, core.img from the second sector on, and core.img told where its
# configuration is.
#
#   sector 0       boot.img (440 bytes), disk signature, partition table
#   sector 1       core.img, must end before 1 MiB
#   sector 2048    the root partition, the only and last one, so that it can grow

say() { printf '%s\n' "  $*"; }
die() { printf '%s\n' "recipe: $*" >&2; exit 1; }

# fetch DIR PACKAGE...: unpacks Debian packages into DIR. apt checks signatures and hashes; no maintainer
# script runs, and the host's package database does not change.
fetch() {
    fetch_dir=$1
    shift
    mkdir -p "$fetch_dir" "$WORK/debs"
    # apt drops to the user _apt for downloads when it is root, and warns if that user may not write here.
    (cd "$WORK/debs" && apt-get -q -o APT::Sandbox::User=root download "$@" >apt.log 2>&1) || {
        cat "$WORK/debs/apt.log" >&2
        die "could not download $* (are the package lists recent? apt-get update)"
    }
    for deb in "$WORK"/debs/*.deb; do
        dpkg-deb -x "$deb" "$fetch_dir"
        rm "$deb"
    done
}

# le32 N: four bytes, little endian.
le32() {
    for s in 0 8 16 24; do
        # shellcheck disable=SC2059 # the octal escape is the point
        printf "$(printf '\\%03o' $((($1 >> s) & 255)))"
    done
}

# put FILE OFFSET: stdin into FILE, in place.
put() {
    dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# make_disk TREE SIZE_MIB LABEL TEXT [OWNERS]: $WORK/disk.raw, bootable by a BIOS, with TREE on its root
# partition. GRUB says TEXT on the serial port and reads /boot/grub/grub.cfg. OWNERS ("UID GID ./PATH" a
# line) is used when a user other than root builds, whose files would be that user's in the guest too.
make_disk() {
    disk=$WORK/disk.raw
    fetch "$WORK/grub" grub-pc-bin grub-common
    cat >"$WORK/early.cfg" <<EOF
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
echo "$4"
EOF
    # Everything the configuration uses is inside core.img: no module is looked up on the disk.
    "$WORK/grub/usr/bin/grub-mkimage" -d "$WORK/grub/usr/lib/grub/i386-pc" -O i386-pc \
        -p '(hd0,msdos1)/boot/grub' -c "$WORK/early.cfg" -o "$WORK/core.img" \
        biosdisk part_msdos ext2 serial terminal echo normal configfile linux linux16 boot test halt reboot ls cat
    core_bytes=$(stat -c %s "$WORK/core.img")
    [ "$core_bytes" -le $((2047 * 512)) ] || die "core.img has $core_bytes bytes, too many for the gap"

    rm -f "$disk"
    truncate -s "$2M" "$disk"
    head -c 440 "$WORK/grub/usr/lib/grub/i386-pc/boot.img" | put "$disk" 0
    # Bootable, CHS "see LBA", type 83, from sector 2048 to the end.
    { printf 'VMMG\0\0\200\376\377\377\203\376\377\377'; le32 2048; le32 $(($2 * 2048 - 2048)); } |
        put "$disk" 440
    printf '\125\252' | put "$disk" 510
    dd if="$WORK/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none

    # GRUB 2.06 does not know the two features; nothing is left for the kernel to initialise at first boot.
    mke2fs -q -F -t ext4 -L "$3" -m 1 -O ^metadata_csum_seed,^orphan_file \
        -E offset=1048576,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
        -d "$1" "$disk" "$((($2 - 1) * 1024))k"

    if [ "$(id -u)" != 0 ]; then
        {
            (cd "$1" && find . -printf 'sif "%p" uid 0\nsif "%p" gid 0\n')
            if [ -n "${5-}" ]; then
                awk '{ f = $0; sub(/^[0-9]+ [0-9]+ /, "", f)
                       printf "sif \"%s\" uid %s\nsif \"%s\" gid %s\n", f, $1, f, $2 }' "$5"
            fi
        } | debugfs -w -f - "$disk?offset=1048576" >"$WORK/debugfs.log" 2>&1
    fi
}

# finish_disk: disk.raw becomes $OUT. Sparse but not compressed: guests start from it again and again.
finish_disk() {
    qemu-img convert -f raw -O qcow2 "$WORK/disk.raw" "$OUT"
}
