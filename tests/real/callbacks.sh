#!/bin/bash
# What other programs of OpenAFS see of a running umafs, and what umafs sees of them:
# rxdebug and cmdebug against it, files changed by afsd.fuse under its promise, a tree
# stored by umafs and read by afsd.fuse.
#
#   tests/real/callbacks.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

port=7001
dir=/afs/umafs.test/big
mnt=$tmp/mnt
mkdir -p "$mnt"
# The next run wants an afsd.fuse of its own, which cannot be had beside this one.
trap '"$rig" stop-server "$cell" c2 afsd 2>/dev/null; rm -rf "$tmp"' EXIT

echo -n one >"$tmp/one"
umafs alice put "$tmp/one" $dir/watched >/dev/null || echo "# put failed"
"$rig" fuse "$cell" c2 "$mnt" >/dev/null 2>"$tmp/fuse.log" || sed 's/^/# /' "$tmp/fuse.log"
fuse() { "$rig" exec "$cell" c2 -- bash -c "$1"; }

coproc WATCH { as alice c1 "$build/tests/real/watch" "$cell/conf" "FILE:$cell/ccache/alice" $port $dir/watched 2>"$tmp/watch.err"; }
exec 5<&"${WATCH[0]}" 6>&"${WATCH[1]}"
eval "exec ${WATCH[1]}>&-" # or the end of input would never come
watch_pid=$WATCH_PID
see() { # TEXT: the next line of the watcher ends in it
	local line
	IFS= read -r -t 60 line <&5 || { echo "the watcher said nothing"; cat "$tmp/watch.err"; return 1; }
	echo "$line"
	[[ $line == *"content $1" ]]
}
check "the file is read" see one
again() { echo >&6; see "$1"; }
check "read again under the promise: the same" again one

change() { fuse "printf '%s' '$1' > '$mnt/umafs.test/big/watched'"; }
# afsd.fuse stores after close(2) has returned, so a client that has cached nothing says when the server
# has it. A fileserver breaks promises before it stores and holds the file meanwhile: whoever reads the
# new content comes after the break, and then the watcher has no excuse.
server_has() { [[ $(umafs bob cat $dir/watched) == "$1" ]]; }
change_seen() { change "$1" && until_true server_has "$1" && again "$1"; }
check "afsd.fuse changes the file: umafs sees it at once" change_seen two-two
check "and again, shorter" change_seen 3

debug() { "$rig" exec "$cell" c2 -- "$@" >"$tmp/debug" 2>&1 && cat "$tmp/debug" && grep -q "$match" "$tmp/debug"; }
client=10.77.0.101
match='Free packets:\|Connections' check "rxdebug -noconns: the statistics" debug rxdebug $client $port -noconns
match='umafs' check "rxdebug -version" debug rxdebug $client $port -version
match='Connection from host\|Connection to host' check "rxdebug -allconn: connections" debug rxdebug $client $port -allconn
match='Peer at host' check "rxdebug -peers" debug rxdebug $client $port -peers
match='data\|read\|sent' check "rxdebug -rxstats" debug rxdebug $client $port -rxstats
match='0x\|Cell\|Cache entry' check "cmdebug -long: the cache's entries" debug cmdebug -servers $client -port $port -long
match='umafs.test' check "cmdebug -cellservdb" debug cmdebug -servers $client -port $port -cellservdb
exec 6>&-
check "the watcher ends well" wait "$watch_pid"

tree=$dir/tree.$$
mkdir -p "$tmp/tree"
for i in $(seq 0 1999); do
	((i % 100)) || mkdir "$tmp/tree/d$((i / 100))"
	head -c $((i % 50 ? i * 7 % 9000 : i * 150)) /dev/urandom >"$tmp/tree/d$((i / 100))/f$i"
done
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
tree() {
	umafs alice put -r "$tmp/tree" $tree &&
		sums "$tmp/tree" >"$tmp/sums" &&
		"$rig" exec "$cell" c2 -- bash -c "cd '$mnt/umafs.test/big/${tree##*/}' && sha256sum -c --quiet" <"$tmp/sums" &&
		umafs alice rm -r $tree
}
check "a tree of 2,000 files that umafs stored has the same checksums in afsd.fuse" tree
umafs alice rm $dir/watched >/dev/null
plan
