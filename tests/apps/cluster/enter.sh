# $1: the machine's cgroup; $2: the process that holds it; then what to become there.
set -eu
cgroup=$1 holder=$2
shift 2
for tree in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/self/mounts); do
    echo $$ >"$tree/$cgroup/init/cgroup.procs"
done
exec nsenter --target "$holder" --mount --cgroup --net -- "$@"
