# $1: what the cgroups are called. First the cgroups, then namespaces in which they are the root, and
# what a machine writes to is memory of its own. Ends as the process that holds all of it.
set -eu
trees() { awk '$3 ~ /^cgroup/ { print $2, $3 }' /proc/self/mounts; }
trees | while read -r tree kind; do
    for part in "${1%/*}" "$1" "$1/init"; do
        mkdir -p "$tree/$part"
        # Of version 1, a set without processors takes no process.
        for set in cpus mems; do
            if [ -e "$tree/cpuset.$set" ]; then cat "$tree/cpuset.$set" >"$tree/$part/cpuset.$set"; fi
        done
    done
    echo $$ >"$tree/$1/cgroup.procs"
done
export HOLD='
set -eu
mount --make-rshared /
awk "\$3 ~ /^cgroup/ { print \$2, \$3 }" /proc/self/mounts | while read -r tree kind; do
    case "$kind ${tree##*/}" in
    cgroup2*) options=rw ;;
    *systemd) options=none,name=systemd ;;
    *) options=${tree##*/} ;;
    esac
    umount "$tree"
    mount -t "$kind" -o "$options" cgroup "$tree"
    echo $$ >"$tree/init/cgroup.procs"
done
for directory in /run /var/lib /var/log; do mount -t tmpfs cluster "$directory"; done
mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log/pods /run/cni
echo 1 >/proc/sys/net/ipv4/ip_forward
echo ready
exec sleep infinity'
exec unshare --mount --cgroup --net --propagation private sh -c "$HOLD"
