#!/bin/sh
# Namespaces for a libvirtd of its own: sees $1 where libvirtd keeps its files, has its own
# network. Becomes the process that keeps them alive.
set -eu
dir=$1
mkdir -p "$dir/run/libvirt" "$dir/run/lock" "$dir/lib/images" "$dir/log" "$dir/etc" "$dir/cache"
mount --make-rprivate /
cp -rn /etc/libvirt/. "$dir/etc/"
rm -f "$dir/etc/qemu/networks/autostart/"*
mount --bind "$dir/run" /run
mount --bind "$dir/lib" /var/lib/libvirt
mount --bind "$dir/etc" /etc/libvirt
mount --bind "$dir/log" /var/log/libvirt
mount --bind "$dir/cache" /var/cache/libvirt
cat > /etc/libvirt/libvirtd.conf <<X
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
auth_unix_rw = "none"
X
cat > /etc/libvirt/qemu.conf <<X
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
X
ip link set lo up
touch "$dir/ready"
exec sleep infinity
