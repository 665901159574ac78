#!/bin/sh
# One host of the benchmark: this machine's file system under its own layer in memory, and an SSH
# server. It runs in its own mount, UTS and PID namespaces; all its mounts disappear with it.
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
# Commands that root's shell runs at its start on this machine must not run there.
mount -t tmpfs -o mode=700 tmpfs "$root/root"
install -m 600 "$host_key" "$root/etc/ssh/bench_host_key"
install -m 600 "$user_key" "$root/etc/ssh/bench_user_key"
hostname "$name"
# Without PAM, sshd rejects users whose password is locked.
chroot "$root" usermod -p '*' root

exec chroot "$root" /usr/sbin/sshd -D -e -f /dev/null -h /etc/ssh/bench_host_key \
    -o "ListenAddress=127.0.0.1:$port" -o PidFile=none -o UsePAM=no -o UseDNS=no \
    -o PermitRootLogin=prohibit-password -o StrictModes=no \
    -o AuthorizedKeysFile=/etc/ssh/bench_user_key -o "Subsystem=sftp internal-sftp"
