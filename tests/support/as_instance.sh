#!/bin/sh
# Runs a program on what looks like an EC2 instance to it: by its DMI, and by not being a container. Below `ip netns exec`,
# which gives it a /sys of its own.
# usage: as_instance.sh COMMAND…      Nothing outside of the program sees any of it. Needs root.
set -eu
exec unshare --mount --pid --fork --kill-child --mount-proc sh -euc '
    interfaces=$(mktemp --directory)
    mount --bind /sys/class/net "$interfaces"
    mount -t tmpfs tmpfs /sys/class
    mkdir -p /sys/class/net /sys/class/dmi/id
    mount --move "$interfaces" /sys/class/net
    rmdir "$interfaces"
    for vendor in sys bios board chassis; do echo "Amazon EC2" >/sys/class/dmi/id/${vendor}_vendor; done
    echo 1.0 >/sys/class/dmi/id/bios_version
    echo t3.micro >/sys/class/dmi/id/product_name
    for name in product_uuid product_serial; do
        echo ec2f2b1c-1d0a-4a0b-8f6e-0123456789ab >/sys/class/dmi/id/$name
    done
    detector=$(command -v systemd-detect-virt) && mount --bind /bin/false "$detector"
    exec "$@"
' as_instance "$@"
