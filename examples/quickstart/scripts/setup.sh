#!/bin/sh
# Runs in the guest, as the user of the ssh block.
set -eu
sudo install -m 0644 /tmp/motd.txt /etc/motd
echo "root disk: $(df -h / | awk 'NR == 2 { print $2 }')"
echo "booted in: $(cut -d. -f1 /proc/uptime) s"
