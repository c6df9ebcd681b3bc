# shellcheck shell=bash
# TAP for the scripts that run against a real cell, and the ways to run umafs there.
# Sourced with $cell and $build set.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rig=${UMAFS_RIG:-$top/tests/cell/cell} # embedded.sh has another
n=0 bad=0
tmp=$(mktemp -d /tmp/umafs-real.XXXXXX)
trap 'rm -rf "$tmp"' EXIT

# check NAME COMMAND...: one test; its output is shown when it fails.
check() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"$tmp/out.$n" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$tmp/out.$n" | tail -n 15
		bad=$((bad + 1))
	fi
}

# until_true COMMAND...: asks again until it succeeds, for 20 s at most.
until_true() {
	local end=$((SECONDS + 20))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

plan() {
	echo "1..$n"
	((bad == 0))
}

# as USER NODE COMMAND...
as() {
	local user=$1 node=$2
	shift 2
	"$rig" exec "$cell" "$node" --as "$user" -- "$@"
}

# umafs USER ARGS... on c1
umafs() {
	local user=$1
	shift
	as "$user" c1 "$build/umafs" --confdir "$cell/conf" "$@"
}
