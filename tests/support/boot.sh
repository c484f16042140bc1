#!/bin/bash
# Boots a copy-on-write view of this machine's own root under systemd, in a network namespace, and runs a script in it.
# usage: boot.sh NETNS FOLDER COMMAND…      FOLDER appears as /opt/given; PREPARE is run in the view before it boots.
# Needs root and systemd-nspawn. Ends with 77 where this machine cannot do it.
set -u
namespace=$1 given=$2
shift 2
if [ "${INSIDE_MOUNTS:-}" != yes ]; then
    # The container wants a cgroup of its own below a tree that is cgroup2 alone.
    tree=$(findmnt --noheadings --types cgroup2 --output TARGET | head -1)
    [ -n "$tree" ] || exit 77
    group=$tree/imds-test-$$
    mkdir "$group" && echo $$ >"$group/cgroup.procs" || exit 77
    view=$(mktemp --directory)
    export view
    trap 'rmdir "$view"; echo $$ >"$tree/cgroup.procs"; find "$group" -depth -type d -exec rmdir {} + 2>/dev/null' EXIT
    INSIDE_MOUNTS=yes unshare --mount --propagation private "$0" "$namespace" "$given" "$@"
    exit
fi

mount_cgroups() {
    umount --recursive /sys/fs/cgroup 2>/dev/null
    mount -t cgroup2 none /sys/fs/cgroup
}
mount_view() {
    work=$view
    mount -t tmpfs -o size=2g tmpfs "$work" && mkdir "$work"/{upper,work,root} &&
        mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
}
mount_cgroups && mount_view || exit 77
root=$work/root
: >"$root/etc/machine-id"
rm -f "$root"/etc/systemd/system/{multi-user,sockets,timers,network-online}.target.wants/*
mkdir -p "$root/opt/given" && cp -r "$given"/. "$root/opt/given"
[ -e "$root/etc/resolv.conf" ] || cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
if [ -n "${PREPARE:-}" ]; then
    mount --bind /dev "$root/dev" && mount --bind /proc "$root/proc"
    chroot "$root" /bin/bash -c "$PREPARE" || exit 78
    umount "$root/dev" "$root/proc"
fi

export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0
systemd-nspawn --quiet --register=no --keep-unit --directory="$root" --machine=imds-test \
    --network-namespace-path="/run/netns/$namespace" --console=passive --capability=CAP_NET_ADMIN --boot \
    </dev/null >"$work/console" 2>&1 &
container=$!
running=no
for _ in $(seq 300); do
    kill -0 $container 2>/dev/null || break
    first=$(pgrep --parent $container --exact systemd | head -1)
    state=
    [ -n "$first" ] && state=$(timeout 2 nsenter --target "$first" --all systemctl is-system-running 2>/dev/null)
    case $state in running | degraded) running=yes && break ;; esac
    sleep 0.1 # it boots; there is nothing to wait on
done
if [ $running = no ]; then
    cat "$work/console" >&2
    kill $container 2>/dev/null
    wait $container
    exit 77
fi
nsenter --target "$first" --all "$@"
status=$?
kill $container
wait $container 2>/dev/null
exit $status
