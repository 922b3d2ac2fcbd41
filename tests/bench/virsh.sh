#!/bin/sh
# Prints the folder of an unpacked virsh, fetched once. Its package is never installed: it brings a
# service (libvirt-guests) that acts at boot.
set -eu
dir=$1
if [ ! -x "$dir/virsh" ]; then
    rm -rf "$dir"
    mkdir -p "$dir/debs" "$dir/root"
    cd "$dir/debs"
    # Whatever of its dependencies is not on this machine yet comes along.
    apt-get -s --no-install-recommends install libvirt-clients 2>/dev/null |
        awk '$1 == "Inst" { print $2 }' | grep -v '^libvirt-.*-driver' | xargs apt-get -qq download >/dev/null
    for deb in *.deb; do dpkg-deb -x "$deb" ../root; done
    cat >"$dir/virsh" <<SH
#!/bin/sh
LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/lib/x86_64-linux-gnu exec $dir/root/usr/bin/virsh "\$@"
SH
    chmod +x "$dir/virsh"
fi
printf '%s\n' "$dir"
