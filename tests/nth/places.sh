#!/bin/bash
# Is every place where the rooms, umafs and the embedded cell allocate or call the system reached
# by the tests of n-th failures? The places are those of the copies (their calls of tests/nth/calls.c); those
# reached are what the tests of nth/ have left in PLACES ($UMAFS_NTH_PLACES while they ran).
# What is not reached must stand, with a reason, in tests/nth/unreached; and each function that
# is called from outside must either be one of tests/nth/nth.syms or stand in tests/nth/harmless.
#
#   tests/nth/places.sh PLACES BUILDDIR
set -uo pipefail
places=$1 build=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/real/tap.sh
. "$here/../real/tap.sh"
LC_ALL=C
export LC_ALL

# sites PROGRAM: each place's address, "file function call", and line, of the program's own code.
sites() {
	objdump -d --no-show-raw-insn "$build/tests/nth/$1" | awk '
		was { sub(/:$/, "", $1); print $1, was, at; was = "" }
		/<nth_[a-z_0-9A-Z]+>$/ && /call|jmp/ {
			was = $NF
			at = $1
			sub(/:$/, "", at)
			gsub(/[<>]/, "", was)
			sub(/^nth_/, "", was)
			if (was ~ /^(fails_from|born|died|free|variant|arm|arm_as_asked|disarm|leaked|mark|report|place|scope)$/)
				was = ""
		}' >"$tmp/calls"
	awk '{ print $3 }' "$tmp/calls" | addr2line -f -e "$build/tests/nth/$1" | paste - - |
		sed -E 's/ \(discriminator [0-9]+\)//; s#\t.*/(rx|cm|vfs-emu|tools)/#\t\1/#' |
		paste "$tmp/calls" - | awk '$5 ~ /^(rx|cm|vfs-emu|tools|tools\/cell)\/[^\/]*$/ {
			line = $5; sub(/.*:/, "", line); file = $5; sub(/:.*/, "", file)
			print $1, file, $4, $2, line }'
}

# reached PROGRAM: the addresses, and whether it has failed there.
reached() {
	[[ -f $places/$1.places ]] || return 0
	od -An -v -tx8 -w48 "$places/$1.places" | awk '
		$1 !~ /^0+$/ { sub(/^0+/, "", $1); print $1, substr($2, 1, 8) != "00000000" }'
}

for program in client nth_world_test umafs umafs-cell umafs-fault umafs-wire; do
	sites "$program" >"$tmp/sites"
	reached "$program" | awk 'NR == FNR { seen[$1] = 1 + $2; next } { print seen[$1] + 0, $2, $3, $4, $5 }' - "$tmp/sites"
done | awk '{ key = $2 " " $3 " " $4 " " $5; if ($1 >= seen[key]) seen[key] = $1 } END { for (k in seen) print seen[k], k }' |
	sort -k2 >"$tmp/all"
awk '{ n[$1]++ } END { print "# " n[1] + n[2] " of " NR " places are reached, " n[2] + 0 " have failed" }' "$tmp/all"

# Lines of "file function call", as often as places of that kind are not reached.
awk '!$1 { n[$2 " " $3 " " $4]++ } END { for (k in n) print k, n[k] }' "$tmp/all" | sort >"$tmp/unreached"
sed -nE 's/^\? (.*) +-- .*/\1/p' "$here/unreached" | sort >"$tmp/perhaps"
sed -E '/^(#|\?|$)/d; s/ +-- .*//' "$here/unreached" | sort >"$tmp/known"
# none FILE: it is empty; what is in it is told.
none() { sed 's/^/# /' "$1" && [[ ! -s $1 ]]; }
comm -23 "$tmp/unreached" "$tmp/known" | comm -23 - "$tmp/perhaps" >"$tmp/new"
comm -13 "$tmp/unreached" "$tmp/known" >"$tmp/old"
check "every place is reached, or it is known why not" none "$tmp/new"
check "what is said not to be reached is not" none "$tmp/old"

for room in vfs cell fault cm record rx; do nm -u "$build/.libs/lib$room.a"; done 2>/dev/null |
	awk '$1 == "U" && $2 !~ /^__(asan|ubsan|tsan)_/ { print $2 }' | sort -u >"$tmp/called"
for room in vfs cell fault cm record rx; do nm --defined-only "$build/.libs/lib$room.a"; done 2>/dev/null |
	awk 'NF == 3 { print $3 }' | sort -u >"$tmp/own"
{ awk '{ print $1 }' "$here/nth.syms"; sed -E '/^(#|$)/d; s/ +-- .*//' "$here/harmless" | tr ' ' '\n'; } | sort -u >"$tmp/known"
comm -23 "$tmp/called" "$tmp/own" | comm -23 - "$tmp/known" >"$tmp/new"
check "each function called from outside can fail here, or it is known why it cannot" none "$tmp/new"
plan
