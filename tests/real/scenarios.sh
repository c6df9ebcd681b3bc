#!/bin/bash
# The scenarios of tests/scenarios/ that need nothing from inside the cell, on a real one,
# each behind an injector of its own and after the volumes were emptied: a few of them,
# or (UMAFS_LONG=1) all. Those for the embedded cell only are counted.
#
#   tests/real/scenarios.sh CELLDIR BUILDDIR [NAME...]
set -uo pipefail
cell=$1 build=$2
shift 2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"
export TMPDIR=$tmp

few=("CM-45" "MMAP-30" "RPC-24")
maps=()
for at in 10.77.0.1:7002 10.77.0.1:7003 10.77.0.11:7000 10.77.0.11:7005 10.77.0.12:7000 10.77.0.12:7005; do
	maps+=(--map $at)
done
# empty VOLUME: as it was, but for the directory that the cell came with.
empty() {
	local names mounts said path=/afs/umafs.test/$1
	mapfile -t names < <(umafs admin ls -a "$path" | grep -vxE '\.|\.\.|private' | sed "s|^|$path/|")
	((${#names[@]})) || return 0
	until said=$(umafs admin rm -rf "${names[@]}" 2>&1); do
		mapfile -t mounts < <(sed -n 's/^umafs: \(.*\): this is a mount point.*/\1/p' <<<"$said")
		((${#mounts[@]})) && umafs admin rmmount "${mounts[@]}" || break
	done
}
# Plays one, takes its verdict over with a number of this script's.
play() { # FILE NAME
	local verdict
	"$rig" exec "$cell" c1 -- "$build/umafs-wire" --private --control "$tmp/wire" --trace "$tmp/trace" "${maps[@]}" -- \
		"$build/umafs-fault" run --cell "$cell/conf" --ccaches "$cell/ccache" --wire "$tmp/wire" --wire-trace "$tmp/trace" --patience 12 --limit 300 --only "$2" "$1" \
		>"$tmp/play" 2>&1
	verdict=$(grep -m 1 -E '^(not )?ok 1 - ' "$tmp/play") || verdict="not ok 1 - $2"
	if [[ $verdict == *'# SKIP'* ]]; then
		inside=$((inside + 1))
		return
	fi
	n=$((n + 1)) dirty=1
	echo "${verdict/ok 1 -/ok $n -}"
	[[ $verdict == ok* || $verdict == *'# TODO'* ]] && return
	bad=$((bad + 1))
	grep '^#' "$tmp/play" || sed 's/^/# /' "$tmp/play"
}

inside=0 dirty=1
if (($#)); then
	few=("$@")
elif ((${UMAFS_LONG:-0})); then
	few=("")
fi
for file in "$top"/tests/scenarios/*.scenario; do
	for only in "${few[@]}"; do
		while IFS= read -r name; do
			if ((dirty)); then
				empty home
				empty big
				umafs admin setacl --clear /afs/umafs.test/home system:administrators all alice write bob write \
					carol read system:anyuser read >/dev/null
				dirty=0
			fi
			play "$file" "$name"
		done < <("$build/umafs-fault" run --list --only "$only" "$file")
	done
done
echo "# $inside of the scenarios need the embedded cell"
plan
