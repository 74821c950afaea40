#!/bin/busybox sh
# The guest's first process: modules, the host's root (read-only, under an overlay in memory), the tests, off.
# /job says PYTHON, CHECKOUT and TESTS. What the host is told goes to /run/out: status, junit.xml and times.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec > /dev/console 2>&1 < /dev/null
trap 'poweroff -f' EXIT
while read -r module; do insmod "/modules/$module" || echo "referee: $module does not load"; done < /modules/order

mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower || exit
mount -t tmpfs upper /upper
mkdir /upper/changed /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/changed,workdir=/upper/work root /root || exit
for place in proc sys dev; do mount --move /$place /root/$place; done
mount -t tmpfs run /root/run
mkdir /root/run/out /root/run/hardware /root/run/tmp
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /root/run/out || exit

. /job
cat > /root/run/inside <<END
export HOME=/root PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
export TMPDIR=/run/tmp PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 EAGENT_SYSFS=/sys EAGENT_REFEREE=/run/hardware
cd '$CHECKOUT'
uname -r > /run/out/kernel
cut -d' ' -f1 /proc/uptime > /run/out/booted_s
'$PYTHON' tests/referee/vm/hardware.py /run/hardware &
while [ ! -e /run/hardware/ready ] && kill -0 \$!; do sleep 0.1; done
'$PYTHON' -m pytest -rs -p no:cacheprovider --confcutdir=tests/referee --junitxml=/run/out/junit.xml $TESTS
echo \$? > /run/out/status
cut -d' ' -f1 /proc/uptime > /run/out/ended_s
END
chroot /root /bin/sh /run/inside
sync
