# shellcheck shell=bash
# Bringing a cell up and filling it. Sourced by ./cell.

cmd_up() {
	local d='' nfs=2 ncl=2 umafs='' watch='' rm=0 i start=none began
	while (($#)); do
		case $1 in
		--fileservers) nfs=${2:?up: how many file servers?} && shift ;;
		--clients) ncl=${2:?up: how many clients?} && shift ;;
		--umafs) umafs=$(realpath -- "${2:?up: where is umafs?}") && shift ;;
		--watch) watch=${2:?up: watch which process?} && shift ;;
		--rm-on-exit) rm=1 ;;
		-*) die "up: unknown option $1" ;;
		*)
			[[ -z $d ]] || die "up: only one DIR, please"
			d=$1
			;;
		esac
		shift
	done
	[[ -n $d ]] || die "up: which DIR?"
	[[ $nfs =~ ^[1-9][0-9]?$ && $nfs -le 80 ]] || die "up: $nfs file servers?"
	[[ $ncl =~ ^[1-9][0-9]?$ ]] || die "up: $ncl clients?"
	[[ $EUID == 0 ]] || die "up: namespaces and mounts need root"
	[[ -z $umafs || -x $umafs ]] || die "up: $umafs is not a program"
	local lacking
	lacking=$(missing)
	[[ -z $lacking ]] || die "these programs are missing (cell install gets them): ${lacking//$'\n'/ }"
	if [[ -n $watch ]]; then
		start_time "$watch" || die "up: there is no process $watch to watch"
		start=$START
	fi
	begin
	began=$BEGAN
	DIR=$(realpath -m -- "$d")
	[[ $DIR != *[[:space:]:]* ]] || die "up: DIR must not have spaces or colons in its name"
	mkdir -p -- "$DIR"
	[[ -z $(ls -A -- "$DIR") ]] || die "$DIR is not empty"
	chmod 755 "$DIR"

	local fs='' cl=''
	for ((i = 1; i <= nfs; i++)); do fs+=" fs$i"; done
	for ((i = 1; i <= ncl; i++)); do cl+=" c$i"; done
	cat >"$DIR/.cell" <<-END
		ID=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
		FILESERVERS=(${fs# })
		CLIENTS=(${cl# })
		RM_ON_EXIT=$rm
	END
	mkdir "$DIR"/{state,log,conf,server,node,kdc,keytab,ccache}
	use "$DIR"
	start_time $$
	echo "$$ $START" >"$DIR/state/watch"
	# Whatever goes wrong from here on: nothing must stay but the logs.
	trap 'up_failed' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	write_files
	setsid "$SELF" __keeper "$DIR" </dev/null >"$DIR/log/keeper" 2>&1 &
	disown
	nodes_ready() {
		local n
		for n in db "${FILESERVERS[@]}" "${CLIENTS[@]}"; do
			[[ -f $DIR/state/$n.pid ]] || return 1
		done
	}
	# The keys are made while the nodes come.
	make_realm
	until_true 20 "the namespaces" nodes_ready "" "$DIR/log/keeper"
	use "$DIR"
	took "namespaces of db ${FILESERVERS[*]} ${CLIENTS[*]}, and the realm's keys"

	begin
	make_service_key
	start_program db vlserver
	start_program db ptserver
	start_program db krb5kdc
	wait_program db krb5kdc
	make_tickets
	took "KDC and tickets of ${USERS[*]}"

	begin
	until_true 60 "a quorum of vlserver" has_quorum 7003 "$(log_of db vlserver)"
	until_true 60 "a quorum of ptserver" has_quorum 7002 "$(log_of db ptserver)"
	took "vlserver and ptserver take writes"

	begin
	local n
	for n in "${FILESERVERS[@]}"; do
		start_program "$n" fileserver
	done
	make_users
	took "users in ptserver"

	begin
	for n in "${FILESERVERS[@]}"; do
		wait_program "$n" fileserver
		# A volserver that does not find its fileserver tries again after seconds.
		start_program "$n" volserver
		wait_program "$n" volserver
		until_true 60 "the registration of $n" is_registered "$n" "$(log_of "$n" fileserver)"
	done
	took "file servers ${FILESERVERS[*]}"

	begin
	make_volumes
	# populate releases ro itself; each release to two servers sleeps 5 s in vos.
	[[ -n $umafs ]] || run_vos release ro
	took "volumes"
	[[ -z $umafs ]] || populate "$umafs"

	echo "${watch:-none} $start" >"$DIR/state/watch.new"
	mv "$DIR/state/watch.new" "$DIR/state/watch"
	trap - EXIT INT TERM HUP
	took "cell $CELL in $DIR is up" "$began"
}

up_failed() {
	local rc=$?
	trap - EXIT
	say "taking down what was there; the logs stay in $DIR (cell down removes them)"
	(cmd_down "$DIR" --keep) || :
	exit $((rc ? rc : 1))
}

write_files() {
	local n
	echo "$CELL" >"$DIR/conf/ThisCell"
	printf '>%s\t#test cell\n%s\t#db\n' "$CELL" "$DB_ADDR" >"$DIR/conf/CellServDB"
	cp "$DIR"/conf/* "$DIR/server"
	echo admin >"$DIR/server/UserList"
	{
		echo "127.0.0.1 localhost"
		for n in db "${FILESERVERS[@]}" "${CLIENTS[@]}"; do echo "$(address "$n") $n"; done
	} >"$DIR/node/hosts"
	for n in db "${FILESERVERS[@]}" "${CLIENTS[@]}"; do
		mkdir -p "$DIR/node/$n"/{etc/server,lib/db,lib/local,log}
		chmod 700 "$DIR/node/$n/lib/local" "$DIR/node/$n/lib/db"
		cp "$DIR"/conf/* "$DIR/node/$n/etc"
		[[ $n != c* ]] || echo "/afs:$DIR/node/$n/cache:100000" >"$DIR/node/$n/etc/cacheinfo"
		[[ $n == c* ]] || address "$n" >"$DIR/node/$n/lib/local/NetInfo"
		if [[ $n == fs* ]]; then
			mkdir "$DIR/node/$n/vicepa"
			: >"$DIR/node/$n/vicepa/AlwaysAttach"
		fi
	done
	cat >"$DIR/krb5.conf" <<-END
		[libdefaults]
			default_realm = $REALM
			rdns = false
			dns_lookup_kdc = false
			dns_lookup_realm = false
			dns_canonicalize_hostname = false
			ticket_lifetime = 1d
			default_ccache_name = FILE:/tmp/krb5cc_%{uid}
		[realms]
			$REALM = {
				kdc = $DB_ADDR
			}
		[domain_realm]
			$CELL = $REALM
			.$CELL = $REALM
		[logging]
			kdc = FILE:$DIR/log/krb5kdc.log
			default = FILE:$DIR/log/krb5.log
	END
	cat >"$DIR/kdc/kdc.conf" <<-END
		[kdcdefaults]
			kdc_ports = 88
			kdc_tcp_ports = 88
		[realms]
			$REALM = {
				database_name = $DIR/kdc/principal
				key_stash_file = $DIR/kdc/stash
				acl_file = $DIR/kdc/acl
				max_life = 30d
				max_renewable_life = 30d
				supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
			}
	END
}

make_realm() {
	local log=$DIR/log/kdc-setup u
	kdb5_util create -s -r "$REALM" -P masterpassword >"$log" 2>&1 ||
		die "kdb5_util could not create the realm" "$log"
	{
		for u in "${USERS[@]}"; do
			echo "addprinc -randkey $u"
			echo "ktadd -k $DIR/keytab/$u.keytab $u"
		done
		echo "addprinc -randkey -e aes256-cts-hmac-sha1-96:normal afs/$CELL"
		echo "ktadd -k $DIR/server/rxkad.keytab -e aes256-cts-hmac-sha1-96:normal afs/$CELL"
	} | kadmin.local -r "$REALM" >>"$log" 2>&1 || die "kadmin.local failed" "$log"
	# kadmin.local says yes to everything in this mode: look at what came of it.
	for u in "${USERS[@]}"; do
		[[ -s $DIR/keytab/$u.keytab ]] || die "kadmin.local made no key for $u" "$log"
	done
	[[ -s $DIR/server/rxkad.keytab ]] || die "kadmin.local made no key for afs/$CELL" "$log"
}

make_service_key() {
	on db akeyconvert >"$DIR/log/akeyconvert" 2>&1 || die "akeyconvert failed" "$DIR/log/akeyconvert"
	[[ -s $DIR/server/KeyFileExt ]] || die "akeyconvert wrote no KeyFileExt" "$DIR/log/akeyconvert"
}

make_tickets() {
	local u
	node_pid c1
	for u in "${USERS[@]}"; do get_ticket "$u" "$DIR/ccache/$u"; done
}

# The site knows the newest database when bits 0 to 4 of its state are set.
has_quorum() {
	on db timeout 3 udebug db "$1" 2>/dev/null | grep -q '^Recovery state 1f'
}

is_registered() {
	on fs1 vos listaddrs -localauth -noresolve 2>/dev/null | grep -qx "$(address "$1")"
}

make_users() {
	local log=$DIR/log/pts u i
	for ((i = 0; i < ${#USERS[@]}; i++)); do
		u=${USERS[i]}
		on db pts createuser "$u" -id $((i + 1)) -localauth >>"$log" 2>&1 ||
			die "pts could not make the user $u" "$log"
	done
	on db pts adduser admin system:administrators -localauth >>"$log" 2>&1 ||
		die "pts could not make admin an administrator" "$log"
}

run_vos() {
	on fs1 vos "$@" -localauth >>"$DIR/log/vos" 2>&1 || die "vos $* failed" "$DIR/log/vos"
}

make_volumes() {
	local v last
	for v in root.afs root.cell home big ro; do
		run_vos create "$(address fs1)" a "$v" -maxquota 0
	done
	run_vos create "$(address fs1)" a quota -maxquota 2000
	last=fs1
	((${#FILESERVERS[@]} < 2)) || last=fs2
	run_vos create "$(address $last)" a far -maxquota 0
	run_vos addsite "$(address fs1)" a ro
	((${#FILESERVERS[@]} < 2)) || run_vos addsite "$(address fs2)" a ro
}

cmd_populate() {
	local d='' umafs=''
	while (($#)); do
		case $1 in
		--umafs) umafs=$(realpath -- "${2:?populate: where is umafs?}") && shift ;;
		-*) die "populate: unknown option $1" ;;
		*) d=$1 ;;
		esac
		shift
	done
	[[ -n $d && -n $umafs ]] || die "populate: needs DIR and --umafs PATH"
	[[ -x $umafs ]] || die "populate: $umafs is not a program"
	use "$d"
	populate "$umafs"
}

populate() {
	local umafs=$1 m=/afs/.:mount/$CELL v
	# may_exist: what is there already from an earlier run is fine.
	um() {
		local out may_exist=''
		[[ $1 != may_exist ]] || { may_exist=1 && shift; }
		if ! out=$(KRB5CCNAME=FILE:$DIR/ccache/admin on c1 "$umafs" --confdir "$DIR/conf" \
			--as "$DIR/ccache/admin" "$@" 2>&1 </dev/null); then
			[[ -n $may_exist && ${out,,} =~ (file|already)\ exists|eexist ]] || die "umafs $* failed: ${out:-it says nothing}"
		fi
	}
	begin
	um setacl "$m:ro/" alice rlidwk bob rlidwk system:anyuser rl
	local release
	(run_vos release ro) &
	release=$!
	um setacl "$m:root.afs/" system:anyuser rl
	um setacl "$m:root.cell/" system:anyuser rl
	um may_exist mkmount "$m:root.afs/$CELL" root.cell
	um may_exist mkmount "$m:root.afs/.$CELL" root.cell --rw
	for v in home quota big ro far; do
		um may_exist mkmount "$m:root.cell/$v" "$v"
	done
	# Made while home has its first ACL, so it inherits nothing for others.
	um may_exist mkdir "$m:home/private"
	um setacl "$m:home/private" admin rlidwka
	um setacl "$m:home/" alice rlidwk bob rlidwk carol rl system:anyuser rl
	um setacl "$m:quota/" alice rlidwk bob rlidwk system:anyuser rl
	um setacl "$m:big/" alice rlidwk bob rlidwk system:anyuser rlidwk
	um setacl "$m:far/" alice rlidwk bob rlidwk system:anyuser rl
	# shellcheck disable=SC2317 # until_true calls it
	populated() {
		local acls
		acls=$(acls_on fs1 2>&1)
		echo "$acls" >"$DIR/log/acls"
		grep -q '^root\.cell acl / -101 +rl ' <<<"$acls" && grep -q '^home acl /private 1 +rlidwka ' <<<"$acls" &&
			! grep -q '^home acl /private -101 ' <<<"$acls"
	}
	until_true 10 "the ACLs of root.cell and home/private to appear on fs1's disk" populated "" "$DIR/log/acls"
	wait "$release" || die "vos release ro failed" "$DIR/log/vos"
	took "ACLs and mount points"
}
