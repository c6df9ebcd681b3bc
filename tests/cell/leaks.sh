# shellcheck shell=bash
# Proving that cells leave nothing behind. Sourced by ./cell.

cmd_leaks() {
	case ${1:-} in
	'') leaks_of_cells ;;
	save) snapshot >"${2:?leaks save: which FILE?}" ;;
	check) compare "${2:?leaks check: which FILE?}" ;;
	*) die "leaks: what is $1?" ;;
	esac
}

# Everything on this machine that belongs to some cell, and whether that cell is
# alive: it is if its keeper runs and its directory has its number.
leaks_of_cells() {
	local p id line dir leaked=0 net own
	local -A live=() found=() cells_net=()
	for p in /proc/[0-9]*; do
		p=${p#/proc/}
		mapfile -d '' -t line 2>/dev/null <"/proc/$p/cmdline" || continue
		[[ ${line[2]:-} == __keeper ]] && start_time "$p" || continue
		dir=${line[3]:-}
		if ID='' && . "$dir/.cell" 2>/dev/null && [[ -n $ID ]]; then
			live[$ID]=$dir
		else
			say "keeper $p has no cell any more: $dir"
			leaked=1
		fi
	done
	own=$(readlink /proc/self/ns/net)
	while IFS=/ read -r _ _ p _; do
		start_time "$p" || continue
		id=$(tr '\0' '\n' <"/proc/$p/environ" | sed -n 's/^UMAFS_CELL=//p;T;q') || continue
		[[ -n $id ]] || continue
		found[$id]+=" $p"
		net=$(readlink "/proc/$p/ns/net") || continue
		[[ $net == "$own" ]] || cells_net[$net]=$id
	done < <(grep -lazs '^UMAFS_CELL=' /proc/[0-9]*/environ)
	# Processes that threw the mark away, but are still in a cell's network.
	for p in /proc/[0-9]*; do
		net=$(readlink "$p/ns/net" 2>/dev/null) || continue
		id=${cells_net[$net]:-}
		[[ -n $id && "${found[$id]} " != *" ${p#/proc/} "* ]] || continue
		found[$id]+=" ${p#/proc/}"
	done
	for id in "${!found[@]}"; do
		read -ra line <<<"${found[$id]}"
		if [[ -n ${live[$id]:-} ]]; then
			echo "live: cell $id in ${live[$id]}, ${#line[@]} processes"
		else
			echo "LEAKED: processes of the dead cell $id:"
			ps -o pid=,ppid=,stat=,args= -p "${line[*]}" || :
			leaked=1
		fi
	done
	# Our mounts are in the cells' own mount namespaces, never in this one.
	if grep -E ' - tmpfs cell |/node/(db|fs[0-9]+|c[0-9]+)/(root|etc|lib|log|vicepa)' /proc/self/mountinfo; then
		echo "LEAKED: the mounts above"
		leaked=1
	fi
	((leaked == 0)) || return 1
	echo "no leaks"
}

# What a cell could leave, one thing a line, the identity first.
snapshot() {
	{
		# Alive by a process, by an open descriptor, or by a mount (nsfs).
		find /proc/[0-9]*/ns /proc/[0-9]*/fd -lname '[a-z]*:\[[0-9]*\]' \
			\( -lname 'net:*' -o -lname 'mnt:*' -o -lname 'pid:*' -o -lname 'uts:*' \) \
			-printf 'namespace %l\n' 2>/dev/null || :
		awk '{ print "mount", $5, $(NF - 2), $(NF - 1) }' /proc/self/mountinfo
		ip -o link | awk -F': ' '{ print "link", $2 }'
		ip netns list | awk '{ print "netns", $1 }'
		find / -mindepth 1 -maxdepth 1 -printf 'file %p\n'
		find /etc/openafs /var/lib/openafs /var/log/openafs /run/netns /etc/krb5* \
			/etc/hosts /etc/resolv.conf /var/lib/krb5kdc \
			-printf 'file %p %s %T@\n' 2>/dev/null || :
		ps -eo args= | grep -E '^(/usr/lib/openafs/|/usr/sbin/krb5kdc|afsd\.fuse)|/cell __' |
			sed 's/^/process /' || :
	} | sort -u
}

compare() {
	local now more round
	[[ -r $1 ]] || die "leaks check: cannot read $1"
	# The kernel takes namespaces apart in its own time, so look more than once.
	for ((round = 0; round < 20; round++)); do
		now=$(snapshot)
		more=$(comm -13 "$1" - <<<"$now")
		[[ -n $more ]] || break
		nap 0.1
	done
	if [[ -n $more ]]; then
		echo "new since $1 (or another's; a namespace's owner: lsns):"
		echo "$more"
		return 1
	fi
	echo "nothing new since $1"
}
