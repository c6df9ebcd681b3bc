# shellcheck shell=bash
# Installing what the cell needs. Sourced by ./cell.

PACKAGES=(openafs-fileserver openafs-dbserver openafs-krb5 openafs-client
	openafs-fuse krb5-kdc krb5-admin-server krb5-user iproute2)

# One program or library of each package: cheaper to look for than dpkg's
# database, and true of an unpacked tree without dpkg too.
NEEDED=(/usr/lib/openafs/fileserver /usr/lib/openafs/volserver
	/usr/lib/openafs/salvager /usr/lib/openafs/vlserver
	/usr/lib/openafs/ptserver /usr/sbin/akeyconvert /usr/sbin/krb5kdc
	/usr/sbin/kadmin.local /usr/sbin/kdb5_util)
NEEDED_IN_PATH=(vos pts rxdebug cmdebug udebug afsio afsd.fuse kinit klist ip
	unshare nsenter setpriv flock)

missing() {
	local f
	for f in "${NEEDED[@]}"; do
		[[ -x $f ]] || echo "$f"
	done
	for f in "${NEEDED_IN_PATH[@]}"; do
		command -v "$f" >/dev/null || echo "$f"
	done
}

cmd_install() {
	local lacking todo=() p policy=/usr/sbin/policy-rc.d saved=
	lacking=$(missing)
	if [[ -z $lacking ]]; then
		say "all programs are there"
		return
	fi
	[[ $EUID == 0 ]] || die "installing packages needs root; missing: ${lacking//$'\n'/ }"

	exec 8>/run/lock/umafs-cell-install.lock
	flock 8
	for p in "${PACKAGES[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || todo+=("$p")
	done
	if ((${#todo[@]} == 0)); then
		exec 8>&-
		lacking=$(missing)
		[[ -z $lacking ]] || die "all packages are installed, but these are missing: ${lacking//$'\n'/ }"
		return
	fi
	say "installing ${todo[*]}"

	# The packages ask for a cell name and would start their daemons.
	debconf-set-selections <<-END
		openafs-client openafs-client/thiscell string $CELL
		openafs-client openafs-client/cell-info string $DB_ADDR
		openafs-client openafs-client/run-client boolean false
		openafs-client openafs-client/dynroot select Yes
		openafs-fileserver openafs-fileserver/thiscell string $CELL
		krb5-config krb5-config/default_realm string $REALM
	END
	if [[ -e $policy || -L $policy ]]; then
		saved=$(mktemp -u "$policy.XXXXXX")
		mv "$policy" "$saved"
	fi
	# shellcheck disable=SC2064 # the names of now are meant
	trap "rm -f '$policy'; ${saved:+mv '$saved' '$policy'}" EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"

	local log rc=0
	log=$(mktemp)
	{
		apt-get -o DPkg::Lock::Timeout=300 -q update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y \
				-o Dpkg::Options::=--force-confold install --no-install-recommends "${todo[@]}"
	} >"$log" 2>&1 </dev/null 8>&- || rc=$?

	rm -f "$policy"
	[[ -z $saved ]] || mv "$saved" "$policy"
	trap - EXIT
	exec 8>&-
	if ((rc)); then
		tail -n 20 "$log" >&2
		die "apt-get failed with status $rc; its whole output is in $log"
	fi
	rm -f "$log"
	lacking=$(missing)
	[[ -z $lacking ]] || die "still missing after the installation: ${lacking//$'\n'/ }"
	say "installed"
}
