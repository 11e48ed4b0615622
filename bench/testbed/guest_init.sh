#!/bin/busybox sh
# The whole userland of the test bed's guest: reads its context, says who it is, counts seconds.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /mnt /root/.ssh /www /etc/acpi/PWRF
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

while read -r module; do
    insmod "/modules/$module.ko"
done < /modules/order

# The power button: a file that acpid runs.
cat > /etc/acpi/PWRF/00000080 <<'BUTTON'
#!/bin/sh
echo "skyraft-guest poweroff" > /dev/console
poweroff -f
BUTTON
chmod 755 /etc/acpi/PWRF/00000080
acpid -l /dev/null

# busybox's findfs does not know ISO 9660: the label is 7 letters into the volume descriptor.
context_disk() {
    for disk in /dev/sr? /dev/vd?; do
        label=$(dd if="$disk" bs=1 skip=32808 count=7 2> /dev/null)
        [ "$label" != CONTEXT ] || return 0
    done
    return 1
}

tries=0
until context_disk || [ "$tries" -ge 50 ]; do
    tries=$((tries + 1))
    usleep 100000
done
if mount -t iso9660 -o ro "$disk" /mnt; then
    . /mnt/context.sh
    umount /mnt
else
    echo "skyraft-guest error=no disk labelled CONTEXT"
fi

hostname "${SET_HOSTNAME:-localhost}"
ip link set lo up
if [ -n "$ETH0_IP" ]; then
    ip link set eth0 up
    ip addr add "$ETH0_IP/$(ipcalc -p "$ETH0_IP" "$ETH0_MASK" | cut -d= -f2)" dev eth0
    [ -z "$ETH0_GATEWAY" ] || ip route add default via "$ETH0_GATEWAY"
fi
umask 077
printf '%s\n' "$SSH_PUBLIC_KEY" > /root/.ssh/authorized_keys

# A page over the network proves that the bridge carries more than our word on the console.
echo "$(hostname)" > /www/index.html
httpd -p 80 -h /www

# What is printed comes from the system, not from the context: it shows that it took effect.
echo "skyraft-guest boot=$(cat /proc/sys/kernel/random/boot_id)"
echo "hostname=$(hostname)"
ip -o -4 addr show dev eth0 2> /dev/null | while read -r _ _ _ address _; do
    echo "ip=$address mac=$(cat /sys/class/net/eth0/address)"
done
while read -r key; do
    echo "ssh_key=$key"
done < /root/.ssh/authorized_keys

while :; do
    read -r up _ < /proc/uptime
    echo "uptime=${up%%.*}"
    sleep 1
done
