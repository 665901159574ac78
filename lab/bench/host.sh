#!/bin/sh
# One host of the benchmark: this machine's file system under a layer of its own in memory, and an
# SSH server. Runs in mount, UTS and PID namespaces of its own; all that it mounts goes with it.
#
# host.sh FOLDER NAME PORT PRIVATE_HOST_KEY PUBLIC_USER_KEY
set -eu
folder=$1 name=$2 port=$3 host_key=$4 user_key=$5

mount -t tmpfs -o mode=755 tmpfs "$folder"
root=$folder/root
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/root"
# Whatever root's shell does here when it starts, it does not do there.
mount -t tmpfs -o mode=700 tmpfs "$root/root"
install -m 600 "$host_key" "$root/etc/ssh/bench_host_key"
install -m 600 "$user_key" "$root/etc/ssh/bench_user_key"
hostname "$name"
# Without PAM, sshd lets nobody in whose password is locked.
chroot "$root" usermod -p '*' root

exec chroot "$root" /usr/sbin/sshd -D -e -f /dev/null -h /etc/ssh/bench_host_key \
    -o "ListenAddress=127.0.0.1:$port" -o PidFile=none -o UsePAM=no -o UseDNS=no \
    -o PermitRootLogin=prohibit-password -o StrictModes=no \
    -o AuthorizedKeysFile=/etc/ssh/bench_user_key -o "Subsystem=sftp internal-sftp"
