#!/bin/bash
# The library on a real server, in both ways of userfaultfd, with a few seeds.
#
#   tests/real/library.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

steps=400 seeds=(1 2)
((${UMAFS_LONG:-0})) && steps=4000 seeds=(1 2 3 4 5 6 7 8)
for mode in full basic; do
	for seed in "${seeds[@]}"; do
		dir=/afs/umafs.test/big/library-$mode-$seed
		as alice c1 env UMAFS_UFFD_MODE=$mode timeout 300 "$build/tests/real/library" "$cell/conf" \
			"FILE:$cell/ccache/alice" "$dir" "$seed" "$steps" >"$tmp/log" 2>&1
		rc=$?
		if grep -q "userfaultfd" "$tmp/log"; then
			skip "library [$mode $seed]" "$(grep -m1 userfaultfd "$tmp/log")"
			continue
		fi
		while read -r line; do
			n=$((n + 1))
			case $line in
			ok*) echo "ok $n - [$mode $seed] ${line#*- }" ;;
			*) echo "not ok $n - [$mode $seed] ${line#*- }" && bad=$((bad + 1)) ;;
			esac
		done < <(grep -E '^(not )?ok ' "$tmp/log")
		check "library [$mode $seed] ended well" [ $rc = 0 ]
		((rc == 0)) || tail -n 20 "$tmp/log" | sed 's/^/# /'
		umafs alice rm -r "$dir" >/dev/null
	done
done
plan
