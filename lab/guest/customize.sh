#!/bin/sh
# The last step of mmdebstrap, on the machine that builds the image: $1 is the new root file system.
# The files of lab/guest/ are already in it.
set -eu
root=$1

chroot "$root" useradd --gid users --create-home --shell /bin/bash operator
for home in /root /home/operator; do
    install -d -m 700 "$root$home/.ssh"
    install -m 600 "$root/usr/local/share/lab.pub" "$root$home/.ssh/authorized_keys"
done
chroot "$root" chown -R operator:users /home/operator
rm "$root/usr/local/share/lab.pub"

chroot "$root" python3 /usr/local/share/trust.py
rm "$root/usr/local/share/trust.py"

# The machine uses its owner's language: a run must not depend on the language of programs.
echo "de_DE.UTF-8 UTF-8" >"$root/etc/locale.gen"
chroot "$root" locale-gen >/dev/null
echo "LANG=de_DE.UTF-8" >"$root/etc/default/locale"

chroot "$root" systemctl --quiet enable \
    systemd-networkd.service systemd-networkd-wait-online.service ssh.service
# No background apt, and no daily copies of dpkg's files: a test must fail only for its own reasons,
# even at midnight. (On a real machine, the deploy waits for apt's lock.)
chroot "$root" systemctl --quiet mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
