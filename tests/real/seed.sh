#!/bin/bash
# 2 seed_real_server: alice stores into a mapped page, an administrator takes her right
# away on the server, bob stores into the same page; the fileserver's audit log is the
# judge. In both ways of userfaultfd. And what is said where userfaultfd is missing.
#
#   tests/real/seed.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

seed() { # MODE
	"$rig" exec "$cell" c1 -- env UMAFS_UFFD_MODE="$1" timeout 120 "$build/umafs-seed" "$build/umafs" "$cell/conf" \
		"$cell/ccache" "$cell/log/fs1.audit" "/afs/umafs.test/home/seed-$1-$$" >"$tmp/seed" 2>&1
	seed_rc=$?
}
for mode in full basic; do
	seed $mode
	if grep -q "kernel" "$tmp/seed" && ((seed_rc != 0)) && ! grep -q "  FAILED  " "$tmp/seed"; then
		skip "seed_real_server [$mode]" "$(tail -n 1 "$tmp/seed")"
		continue
	fi
	while read -r word what; do
		n=$((n + 1))
		if [[ $word == ok ]]; then
			echo "ok $n - [$mode] $what"
		else
			echo "not ok $n - [$mode] $what"
			bad=$((bad + 1))
		fi
	done < <(grep -E '^    (ok|FAILED)  ' "$tmp/seed")
	check "seed_real_server [$mode] ended well" [ "$seed_rc" = 0 ]
	((seed_rc == 0)) || tail -n 30 "$tmp/seed" | sed 's/^/# /'
done

umafs alice put "$0" /afs/umafs.test/home/seed-nouffd >/dev/null
without() {
	local out
	if out=$(echo x | as alice c1 "$build/tests/real/without_uffd" "$1" "$build/umafs" --confdir "$cell/conf" mmap \
		/afs/umafs.test/home/seed-nouffd --offset 0 2>&1); then
		echo "it succeeded"
		return 1
	fi
	echo "$out"
	[[ $out == *userfaultfd* && $(wc -l <<<"$out") == 1 ]]
}
check "a kernel without userfaultfd: one clear sentence" without ENOSYS
check "a container that forbids it: one clear sentence" without EPERM
still() {
	as alice c1 "$build/tests/real/without_uffd" ENOSYS "$build/umafs" --confdir "$cell/conf" get \
		/afs/umafs.test/home/seed-nouffd "$tmp/got" && cmp "$0" "$tmp/got"
}
check "all else works without it" still
umafs alice rm /afs/umafs.test/home/seed-nouffd >/dev/null
plan
