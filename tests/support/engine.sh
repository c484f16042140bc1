#!/bin/bash
# engine.sh NETNS COMMAND…: runs COMMAND (a container engine) in a network namespace, with a mount namespace and a pure
# cgroup v2 tree of its own, which engines want and machines with cgroup v1 beside v2 do not show.
set -eu
namespace=$1
shift
root=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
group=$root/imds-test.$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
clean_up() {
    echo $$ >"$root/cgroup.procs"
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
}
trap clean_up EXIT
unshare --mount --cgroup bash -c '
    mount --make-rprivate /
    umount --recursive /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    namespace=$0
    exec nsenter --net="/run/netns/$namespace" "$@"
' "$namespace" "$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM
wait "$child" || true
wait "$child" 2>/dev/null || true
