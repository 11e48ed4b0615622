#!/bin/sh
# Makes the mount and host name namespaces that it was started in a host of its own, $1 by name
# and with $2 where libvirt keeps its files. Becomes the process that keeps them alive.
set -eu
name=$1 dir=$2
mount --make-rprivate /
hostname "$name"
mkdir -p "$dir/run/libvirt" "$dir/run/lock" "$dir/lib/images" "$dir/log" "$dir/etc" "$dir/cache"
cp -rn /etc/libvirt/. "$dir/etc/"
# The default network's bridge and dnsmasq are no part of a Skyraft host.
rm -f "$dir"/etc/qemu/networks/autostart/*
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
touch "$dir/ready"
exec sleep infinity
