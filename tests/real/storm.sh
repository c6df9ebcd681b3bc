#!/bin/bash
# A storm on a real cell: random operations under random faults keep every promise, what
# cannot strike there is said, and nothing is left behind.
#
#   tests/real/storm.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"
export TMPDIR=$tmp

plays=3
((${UMAFS_LONG:-0})) && plays=40
# storm ARGS: umafs-fault storm on the cell, on c1.
storm() {
	(cd "$tmp" && "$rig" exec "$cell" c1 -- "$build/umafs-fault" storm --cell "$cell/conf" --ccaches "$cell/ccache" "$@")
}
kept() {
	storm --seed 8 --plays $plays --events 12 >"$tmp/kept"
	local rc=$?
	cat "$tmp/kept"
	((rc == 0)) && grep -q "every promise was kept: $plays plays" "$tmp/kept"
}
cat >"$tmp/inside.plan" <<END
seed 1
weather full 1 dirty_age_ms 5000 life_s 36000
1 rule s1: rpc name StoreData64 -> abort VBUSY
END
inside() {
	storm --replay inside.plan >"$tmp/inside"
	local rc=$?
	cat "$tmp/inside"
	((rc == 1)) && grep -q 'a real cell obeys no rule for calls' "$tmp/inside"
}
clean() { ! umafs admin ls /afs/umafs.test/big | grep storm-; }

check "promises are kept on a real cell" kept
check "... and what cannot strike there is named" grep 'there are no refused stores' "$tmp/kept"
check "a rule that it cannot obey is told" inside
check "nothing is left behind" clean
plan
