# shellcheck shell=bash
# The processes that hold a cell together. Sourced by ./cell.
#
#   keeper            outside; watches, and cleans up at the end
#   `- unshare        dies with the keeper (PDEATHSIG)
#      `- init        PID 1 of the cell's PID namespace, dies with unshare;
#         |           its network namespace has the bridge
#         |- holder of each node's network, mount and UTS namespace
#         `- servers
#
# No namespace has a name or a mount: all are held by these processes only.

# Inherited descriptors would keep the pipes of our caller open.
close_descriptors() {
	local fd
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
	done
	unset NAP_FD
}

cmd___keeper() {
	close_descriptors
	use "$1"
	cd /
	local wanted=1 child pid start tick=0
	trap 'wanted=0' TERM INT HUP
	start_time "$BASHPID"
	UMAFS_CELL=$ID setpriv --pdeathsig KILL unshare --pid --net --mount --propagation private \
		--fork --kill-child=KILL -- "$SELF" __init "$DIR" &
	child=$!
	echo "$BASHPID $START" >"$DIR/state/keeper.new"
	mv "$DIR/state/keeper.new" "$DIR/state/keeper"

	while ((wanted)); do
		# While it comes up the cell hangs on the process that brings it up.
		if { read -r pid start <"$DIR/state/watch"; } 2>/dev/null; then
			if [[ $pid != none ]] && ! { start_time "$pid" && [[ $START == "$start" ]]; }; then
				echo "the watched process $pid has ended"
				break
			fi
		elif [[ ! -d $DIR/state ]]; then
			break
		fi
		kill -0 "$child" 2>/dev/null || break
		# An open descriptor keeps the namespace's number from being used again,
		# so the sweep below cannot hit anything else.
		((tick++ % 5)) || hold_namespaces
		nap 0.2
	done

	hold_namespaces
	kill -KILL "$child" 2>/dev/null || :
	wait "$child" 2>/dev/null || :
	sweep_namespaces
	sweep_environ "$ID"
	[[ -d $DIR ]] || return 0
	remove_made
	[[ $RM_ON_EXIT != 1 || -e $DIR/state/keep ]] || remove_dir
}

declare -A HELD=()
hold_namespaces() {
	local f pid fd link
	for f in "$DIR"/state/*.pid; do
		# Holders only: db.pid, not db.vlserver.pid.
		[[ ${f##*/} != *.*.pid && -z ${HELD[$f]:-} ]] || continue
		{ read -r pid <"$f"; } 2>/dev/null || continue
		{ exec {fd}<"/proc/$pid/ns/net"; } 2>/dev/null || continue
		link=$(readlink "/proc/$pid/ns/net") || link=''
		# Only if the holder was still there after the open.
		[[ -n $link ]] && HELD[$f]=$link
	done
	return 0
}

# Everything that still lives in one of the held network namespaces was put
# there by exec.
sweep_namespaces() {
	local round p link found
	for ((round = 0; round < 50; round++)); do
		found=0
		for p in /proc/[0-9]*; do
			link=$(readlink "$p/ns/net" 2>/dev/null) || continue
			[[ " ${HELD[*]} " == *" $link "* ]] || continue
			p=${p#/proc/}
			[[ $p != "$BASHPID" && $p != "$$" ]] && start_time "$p" || continue
			found=1
			kill -KILL "$p" 2>/dev/null || :
		done
		((found)) || return 0
		nap 0.05
	done
}

# processes_of ID: those that have the cell's mark in their environment.
processes_of() {
	local p
	grep -lazs "^UMAFS_CELL=$1\$" /proc/[0-9]*/environ | while IFS=/ read -r _ _ p _; do
		[[ $p != "$$" && $p != "$BASHPID" ]] && start_time "$p" && echo "$p"
	done || :
}

sweep_environ() {
	local round pids
	for ((round = 0; round < 50; round++)); do
		pids=$(processes_of "$1")
		[[ -n $pids ]] || return 0
		# shellcheck disable=SC2086 # one argument each
		kill -KILL $pids 2>/dev/null || :
		nap 0.05
	done
}

# Mount points that fuse made outside of DIR.
remove_made() {
	local d
	[[ -f $DIR/state/made ]] || return 0
	while IFS= read -r d; do rmdir -- "$d" 2>/dev/null || :; done <"$DIR/state/made"
	rm -f "$DIR/state/made"
}

# One file system only: a mount that someone put under DIR is not ours. The
# mark goes last, so that a removal cut short can be done again.
remove_dir() {
	[[ -f $DIR/.cell ]] || return 0
	find "$DIR" -xdev -depth -mindepth 1 ! -path "$DIR/.cell" -delete 2>/dev/null || :
	rm -f "$DIR/.cell"
	rmdir -- "$DIR" 2>/dev/null || :
}

cmd___init() {
	use "$1"
	local node pid rest
	read -r pid rest </proc/self/stat # our number outside
	# Nothing here speaks IPv6; its address checks would only delay the links.
	echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/default/disable_ipv6 || :
	ip -batch - <<-END
		link set lo up
		link add br0 type bridge
		link set br0 up
	END
	for node in db "${FILESERVERS[@]}" "${CLIENTS[@]}"; do
		unshare --net --uts --mount --propagation private -- "$SELF" __node "$DIR" "$node" "$pid" &
	done
	# As PID 1 we inherit the servers and have to wait for them.
	while :; do
		wait || :
		nap 0.5
	done
}

cmd___node() {
	use "$1"
	local node=$2 hub=$3 n=$DIR/node/$2 addr pid rest
	addr=$(address "$node")
	hostname "$node"
	echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/default/disable_ipv6 || :
	# 1 is the cell's init as the kernel sees it from here.
	ip -batch - <<-END
		link set lo up
		link add eth0 type veth peer name $node netns 1
		addr add $addr/24 dev eth0
		link set eth0 up
	END
	nsenter -t "$hub" -n ip link set "$node" master br0 up

	[[ $node == c* ]] || new_root
	mount --bind "$DIR/node/hosts" /etc/hosts
	# No name server: names that are not in hosts fail at once.
	[[ ! -e /etc/resolv.conf ]] || mount --bind /dev/null /etc/resolv.conf
	mount --bind "$n/etc" /etc/openafs
	mount --bind "$n/lib" /var/lib/openafs
	mount --bind "$n/log" /var/log/openafs
	case $node in
	c*) ;;
	*) mount --bind "$DIR/server" /etc/openafs/server ;;
	esac
	[[ $node != fs* ]] || mount --bind "$n/vicepa" /vicepa

	cd /
	read -r pid rest </proc/self/stat
	echo "$pid" >"$DIR/state/$node.pid.new"
	mv "$DIR/state/$node.pid.new" "$DIR/state/$node.pid"
	exec sleep infinity
}

# The server wants a directory /vicepa, which the host need not have: its root
# is a tmpfs with everything of the host's root bound into it.
new_root() {
	local root=$DIR/node/$node/root e
	mkdir -p "$root"
	mount -t tmpfs -o mode=755 cell "$root"
	for e in /* /.[!.]*; do
		[[ -e $e || -L $e ]] || continue
		[[ $e != /vicep* ]] || continue
		if [[ -L $e ]]; then
			cp -P -- "$e" "$root$e"
		elif [[ -d $e ]]; then
			mkdir -- "$root$e"
			mount --rbind -- "$e" "$root$e"
		elif [[ -f $e ]]; then
			: >"$root$e"
			mount --bind -- "$e" "$root$e"
		fi
	done
	mkdir "$root/vicepa"
	cd "$root"
	pivot_root . .
	umount -l .
	cd /
}
