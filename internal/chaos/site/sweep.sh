# Takes away what a site has put into the machine. It runs beside the process that
# made it, and begins when that closes the pipe, or dies.
#
#	$1 directory of the site   $2 its name, prefix of its namespaces and of its bridge
#
# The directory stays if "kept" is in its name.
trap '' HUP INT TERM
cat >/dev/null
for disk in "$1"/*/disk; do
	if mountpoint -q "$disk"; then fsfreeze --unfreeze "$disk" 2>/dev/null; fi
done
for ns in $(ls /run/netns 2>/dev/null | grep "^$2-"); do
	for pid in $(ip netns pids "$ns"); do kill -9 "$pid"; done
	ip netns del "$ns"
done
if [ -e "/sys/class/net/$2" ]; then ip link del "$2"; fi
left=0
for disk in "$1"/*/disk; do
	tries=100 # what had a file open there may still be ending
	while mountpoint -q "$disk" && ! umount "$disk" 2>/dev/null; do
		tries=$((tries - 1))
		if [ "$tries" = 0 ]; then echo "$disk stays mounted"; left=1; break; fi
		sleep 0.1
	done
done
case $left$1 in
1* | *-kept-*) ;;
*) rm -rf "$1" ;;
esac
exit $left
