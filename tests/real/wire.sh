#!/bin/bash
# umafs, and OpenAFS's own clients, through umafs-wire to real servers: files stay the
# same bit for bit whatever the wire does.
#
#   tests/real/wire.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

dir=/afs/umafs.test/big/wire.$$
eval "$("$rig" env "$cell")"
maps=()
for at in 10.77.0.1:7002 10.77.0.1:7003 10.77.0.1:88 10.77.0.11:7000 10.77.0.11:7005 10.77.0.12:7000 10.77.0.12:7005; do
	maps+=(--map $at)
done
# through USER RULE... -- COMMAND...: COMMAND on c1, everything it sends and gets by the injector.
through() {
	local user=$1 rules=()
	shift
	while [[ $1 != -- ]]; do
		rules+=(--rule "$1")
		shift
	done
	shift
	as "$user" c1 "$build/umafs-wire" --private --seed 5 --trace "$tmp/trace" "${maps[@]}" "${rules[@]}" -- "$@"
}
U=("$build/umafs" --confdir "$cell/conf")
head -c 300000 /dev/urandom >"$tmp/in"

umafs alice mkdir -p $dir >/dev/null
there_and_back() { # NAME RULE...
	local name=$1
	shift
	through alice "$@" -- "${U[@]}" put "$tmp/in" "$dir/$name" &&
		cp "$tmp/trace" "$tmp/trace.put" &&
		through alice "$@" -- "${U[@]}" get "$dir/$name" "$tmp/out" &&
		cmp "$tmp/in" "$tmp/out" && rm "$tmp/out" &&
		umafs alice get "$dir/$name" "$tmp/out" && cmp "$tmp/in" "$tmp/out" && rm "$tmp/out"
}
# RX ports only: a lost Kerberos datagram is asked for again after seconds, and tests nothing of ours.
rx="service 1"
check "put and get, nothing lost" there_and_back plain
check "... loss 3 %" there_and_back loss "lossy: packet $rx prob 3% -> drop"
asserted() { # PYTHON-EXPRESSION about the list t of trace events
	python3 -c 'import json,sys
t = [json.loads(l) for l in open(sys.argv[1])]
p = [e for e in t if e["ev"] == "packet"]
lost = [e for e in p if any(d["rule"] == "lossy" for d in e["did"])]
print(len(t), len(p), len(lost))
sys.exit(0 if '"$1"' else 1)' "$tmp/trace.put"
}
check "... and the trace tells of it" asserted \
	'lost and all(e["service"] == 1 for e in lost) and all(a["t"] <= b["t"] for a, b in zip(t, t[1:]))'
check "... duplicates" there_and_back duplicate "packet $rx prob 10% -> duplicate 2 gap 1ms"
check "... reordering" there_and_back reorder "packet $rx prob 10% -> reorder 3 within 20ms"
check "... packets cut short" there_and_back cut "packet $rx prob 2% -> truncate 20"
check "... a burst" there_and_back burst "packet $rx type data nth 9 -> burst 6"
check "... 10 ms away, jitter 3 ms" there_and_back delay "packet $rx -> delay 5ms" "packet $rx -> jitter 3ms"
check "... no ACK of a certain reason" there_and_back reason "packet type ack reason ping-response -> drop"

vos() { through alice "packet prob 3% service 52 -> drop" -- vos examine big -noauth | grep -q 'RWrite'; }
check "OpenAFS's vos to OpenAFS's servers, loss 3 %" vos
afsio() {
	umafs alice put "$tmp/in" "$dir/afsio" &&
		through alice "packet prob 2% $rx -> drop" -- \
			bash -c "afsio read -file $dir/afsio -cell umafs.test >'$tmp/afsio'" && cmp "$tmp/in" "$tmp/afsio"
}
check "OpenAFS's afsio to OpenAFS's fileserver, loss 2 %" afsio
fuse() {
	mkdir -p "$tmp/mnt" "$tmp/fuse/cache" && cp "$cell/conf/ThisCell" "$cell/conf/CellServDB" "$tmp/fuse" &&
		echo "$tmp/mnt:$tmp/fuse/cache:100000" >"$tmp/fuse/cacheinfo" || return 1
	# shellcheck disable=SC2016
	through alice "packet prob 2% $rx -> drop" -- timeout 60 bash -c '
		afsd.fuse -f -dynroot -fakestat -mountdir "$1/mnt" -memcache -blocks 100000 -confdir "$1/fuse" >"$1/fuse.log" 2>&1 &
		afsd=$!
		end=$((SECONDS + 20))
		until ls "$1/mnt/umafs.test/big" >/dev/null 2>&1; do
			((SECONDS < end)) || break
			sleep 0.02
		done
		cmp "$1/mnt/umafs.test/${2#/afs/umafs.test/}/afsio" "$1/in"
		rc=$?
		kill $afsd
		wait $afsd
		exit $rc' fuse "$tmp" "$dir"
}
check "OpenAFS's afsd.fuse to OpenAFS's servers, loss 2 %" fuse
umafs alice rm -r $dir >/dev/null
plan
