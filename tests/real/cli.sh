#!/bin/bash
# Every command of umafs against real servers, and every way to fail that a person meets.
#
#   tests/real/cli.sh CELLDIR BUILDDIR      (or the program instead of its directory)
set -uo pipefail
cell=$1 build=$2
[[ -d $build ]] || build=${build%/*}
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

big=/afs/umafs.test/big home=/afs/umafs.test/home
d=$big/cli.$$

# says PATTERN STATUS COMMAND...: it must fail so, in one line that begins with "umafs: ".
says() {
	local pattern=$1 status=$2 out rc=0
	shift 2
	out=$("$@" 2>&1 >/dev/null) || rc=$?
	echo "$out"
	((rc == status)) || { echo "exit status $rc, not $status"; return 1; }
	[[ $out == "umafs: "* && $out =~ $pattern ]] || { echo "it does not say $pattern"; return 1; }
	(($(wc -l <<<"$out") == 1)) || { echo "more than one line"; return 1; }
}
prints() { # PATTERN COMMAND...
	local pattern=$1 out
	shift
	out=$("$@") || return 1
	echo "$out"
	[[ $out =~ $pattern ]]
}
json() { # EXPRESSION COMMAND...: true in Python with the document as d
	local e=$1
	shift
	"$@" | python3 -c "import json,sys; d=json.load(sys.stdin); print(d); sys.exit(0 if ($e) else 1)"
}
nothing_left() { # DIRECTORY: no temporary name
	local out
	out=$(umafs alice ls -a "$1") || return 1
	! grep -F .umafs-put <<<"$out"
}

# ---- usage, without a cell ----
u=$build/umafs
check "--version" prints '^umafs [0-9]+\.[0-9]+\.[0-9]+$' "$u" --version
check "--help lists every command" prints 'listquota.*mmap' "$u" --help
help_of_all() {
	local c
	for c in ls stat cat get put mkdir rmdir rm mv ln touch truncate listacl setacl mkmount rmmount lsmount \
		listquota examine tokens mmap; do
		"$u" "$c" --help | grep -A1 '^Example:' | grep -q "umafs $c" || { echo "$c"; return 1; }
	done
}
check "every command's --help has an example" help_of_all
check "an unknown flag is named" says 'unknown option --colour; see umafs ls --help' 2 "$u" ls --colour
check "an unknown command is named" says 'unknown command dir' 2 "$u" dir
check "too few arguments" says 'too few' 2 "$u" mv x
check "a wrong level" says 'clear, auth or crypt' 2 "$u" --level open tokens

check "truncate without a size" says 'truncate --help' 2 umafs alice truncate /afs/umafs.test/big/x
check "setacl with half a pair" says 'setacl --help' 2 umafs alice setacl /afs/umafs.test/big x
check "a wrong offset" says 'mmap --help' 2 umafs alice mmap /afs/umafs.test/big/x --offset many

# ---- as whom ----
check "tokens: alice" prints 'umafs.test: alice.*expires.*crypt' umafs alice tokens
check "tokens: nobody, and why" prints 'anonymous, because' "$rig" exec "$cell" c1 -- "$u" --confdir "$cell/conf" tokens
check "tokens: from a keytab" prints ': bob' umafs alice --as "$cell/keytab/bob.keytab:bob" tokens
check "tokens: anonymous when wanted" prints ': anonymous$' umafs alice --as anonymous tokens
check "tokens --json" json 'd["ok"] and d["result"][0]["principal"].startswith("alice")' umafs alice --json tokens

# ---- names ----
check "mkdir -p" umafs alice mkdir -p "$d/a/b/c"
check "mkdir -p again" umafs alice mkdir -p "$d/a/b/c"
check "mkdir of what is there" says "$d/a: .*exist" 1 umafs alice mkdir "$d/a"
check "touch makes a file" umafs alice touch "$d/a/f"
check "ls" prints '^b
f$' umafs alice ls "$d/a"
check "ls -l" prints '-rw-r--r-- rl' umafs alice ls -l "$d/a"
check "ls --json" json '[e["name"] for e in d["result"]] == ["b", "f"]' umafs alice --json ls "$d/a"
check "ls -d" prints "^d.* $d/a\$" umafs alice ls -ld "$d/a"
check "stat" prints 'size +0 bytes' umafs alice stat "$d/a/f"
check "stat --json" json 'd["result"][0]["type"] == "file"' umafs alice --json stat "$d/a/f"
check "stat of what is not there" says "$d/a/none: " 1 umafs alice stat "$d/a/none"
check "ln" umafs alice ln "$d/a/f" "$d/a/g"
check "ln into another directory" \
	says 'same directory|directory of its target|ln -s' 1 umafs alice ln "$d/a/f" "$d/a/b/g"
check "ln -s" umafs alice ln -s ../f "$d/a/b/s"
check "ls -l shows where a link leads" prints 's -> \.\./f' umafs alice ls -l "$d/a/b"
check "mv" umafs alice mv "$d/a/g" "$d/a/h"
check "mv of one of several names elsewhere" \
	says 'hard links' 1 umafs alice mv "$d/a/h" "$d/a/b"
check "rm of one name" umafs alice rm "$d/a/h"
check "touch another" umafs alice touch "$d/a/h"
check "mv into a directory" umafs alice mv "$d/a/h" "$d/a/b"
check "mv to another volume" says 'volume' 1 umafs alice mv "$d/a/f" "$home/f.$$"
check "truncate" umafs alice truncate -s 4K "$d/a/f"
check "its size" prints '4096 bytes' umafs alice stat "$d/a/f"
check "rmdir of a full one" says 'not empty' 1 umafs alice rmdir "$d/a/b"
check "rm of a directory" says 'rm -r' 1 umafs alice rm "$d/a/b"
check "rm -r" umafs alice rm -r "$d/a/b"
check "rm -f of nothing" umafs alice rm -f "$d/a/none"
check "cat of a directory" says 'is a directory' 1 umafs alice cat "$d/a"
check "a path outside AFS" says '/tmp: not a path in AFS; write /afs/umafs.test' 1 umafs alice ls /tmp

# ---- data ----
fetch_same() { # NAME LEVEL
	rm -f "$tmp/back"
	umafs alice --level "$2" put "$tmp/$1" "$d/$1" && umafs alice --level "$2" get "$d/$1" "$tmp/back" &&
		cmp "$tmp/$1" "$tmp/back"
}
for size in 0 1 4095 4096 4097 67108863 67108865; do head -c $size /dev/urandom >"$tmp/s$size"; done
for level in clear auth crypt; do
	for size in 0 1 4095 4096 4097 67108863 67108865; do
		check "put and get of $size bytes, $level" fetch_same "s$size" $level
	done
done
if [[ ${UMAFS_LONG:-0} == 1 ]]; then
	truncate -s $((2147483648 + 1)) "$tmp/s2G" && printf x | dd of="$tmp/s2G" bs=1 seek=2147483648 conv=notrunc status=none
	check "put and get of 2 GiB + 1, clear" fetch_same s2G clear
	umafs alice rm -f "$d/s2G" && rm -f "$tmp/s2G"
	truncate -s 5G "$tmp/s5G" && printf x | dd of="$tmp/s5G" bs=1 seek=4300000000 conv=notrunc status=none
	check "put and get of 5 GiB, sparse, clear" fetch_same s5G clear
	umafs alice rm -f "$d/s5G" && rm -f "$tmp/s5G"
fi
rm -f "$tmp/back"
check "cat" cmp "$tmp/s4097" <(umafs alice cat "$d/s4097")
early_end() { [[ $(umafs alice cat "$d/s67108865" | head -c 10 | wc -c) == 10 ]]; }
check "cat with an early end of its reader" early_end
check "put over an old file" umafs alice put "$tmp/s4095" "$d/s4097"
check "it has the new content" cmp "$tmp/s4095" <(umafs alice cat "$d/s4097")

mkdir -p "$tmp/tree"
for i in $(seq 20); do
	mkdir "$tmp/tree/d$i"
	for j in $(seq 100); do echo "$i.$j" >"$tmp/tree/d$i/f$j"; done
done
chmod 600 "$tmp/tree/d1/f1" && chmod 755 "$tmp/tree/d1/f2" && chmod 750 "$tmp/tree/d2"
touch -d '2001-02-03 04:05:06' "$tmp/tree/d1/f3" "$tmp/tree/d3"
ln -s d1/f1 "$tmp/tree/link" && ln -s /nowhere "$tmp/tree/d1/dangling"
shape() {
	(cd "$1" && find . -printf '%P\t%y\t%m\t%s\t%T@\t%l\n') |
		awk -F '\t' -v OFS='\t' '{ if ($2 != "f") $4 = "-"; if ($2 == "l") $5 = 0; $5 = int($5); print }' | sort
}
same_tree() { diff -r --no-dereference "$1" "$2" && diff <(shape "$1") <(shape "$2"); }
check "put -r of 2,000 files" umafs alice put -r "$tmp/tree" "$d/tree"
check "get -r of them" umafs alice --jobs 8 get -r "$d/tree" "$tmp/tree2"
check "the same, with modes, times and links" same_tree "$tmp/tree" "$tmp/tree2"
check "no temporary name is left" nothing_left "$d/tree/d1"
check "get -r --json" json 'd["ok"] and len(d["result"]) == 100' umafs alice --json get -r "$d/tree/d7" "$tmp/d7"
check "get of a directory without -r" says 'get -r' 1 umafs alice get "$d/tree" "$tmp/x"
check "rm -r of the tree" umafs alice rm -r "$d/tree"

# ---- mapping ----
mapped() {
	printf 0123456789 | umafs alice mmap "$d/a/f" --offset 4090 || return 1
	[[ $(umafs bob cat "$d/a/f" | tail -c +4091 | head -c 10) == 0123456789 ]]
}
umafs alice truncate -s 16K "$d/a/f"
check "mmap over a page's end; another process sees it" mapped
beyond() { echo more | umafs alice mmap "$d/a/f" --offset 1M; }
check "mmap beyond the end" says 'truncate -s' 1 beyond
five() {
	head -c 5242880 "$tmp/s67108865" >"$tmp/five" && umafs alice touch "$d/five" &&
		umafs alice truncate -s 5M "$d/five" && umafs alice mmap "$d/five" <"$tmp/five" &&
		umafs alice cat "$d/five" | cmp - "$tmp/five"
}
check "mmap of 5 MiB" five

# ---- access lists, mount points, volumes ----
check "listacl" prints 'system:administrators rlidwka' umafs alice listacl "$home"
check "setacl of several" umafs admin setacl "$d/a" carol rl bob write
check "it shows" prints 'carol rl' umafs alice listacl "$d/a"
check "setacl --negative" umafs admin setacl --negative "$d/a" carol w
check "it shows under its head" prints 'Negative rights:
  carol w' umafs alice listacl "$d/a"
check "setacl none" umafs admin setacl "$d/a" carol none
check "listacl --json" json '"carol" not in d["result"][0]["normal"]' umafs alice --json listacl "$d/a"
check "setacl of bad rights" says 'rlidwka' 1 umafs admin setacl "$d/a" carol xyz
check "setacl of an unknown user" says 'known' 1 umafs admin setacl "$d/a" nosuchuser rl
check "setacl without the right" says 'lacks administer' 1 umafs carol setacl "$home" carol all
check "mkmount" umafs admin mkmount "$d/m" far
check "lsmount" prints 'volume far \(#far\.\)' umafs alice lsmount "$d/m"
check "ls -d shows it" prints '^m.* -> #far\.' umafs alice ls -ld "$d/m"
check "through it" umafs alice touch "$d/m/through.$$"
check "rm leaves it alone" says 'rmmount' 1 umafs admin rm -r "$d/m"
check "rmmount" umafs admin rmmount "$d/m"
check "rmmount of a directory" says 'no mount point' 1 umafs admin rmmount "$d/a"
check "what was behind it is there" umafs alice rm "/afs/umafs.test/far/through.$$"
check "listquota" prints 'quota +2,000' umafs alice listquota /afs/umafs.test/quota
check "listquota --json" json 'd["result"][0]["quota_kib"] == 2000' umafs alice --json listquota /afs/umafs.test/quota
check "examine" prints 'site +10.77.0.11:[0-9]+ /vicepa, read-write' umafs alice examine "$home"
check "examine --json" json 'len(d["result"][0]["sites"]) >= 2' umafs alice --json examine /afs/umafs.test/ro

# ---- ways to fail ----
q=/afs/umafs.test/quota
umafs alice rm -f $q/over >/dev/null 2>&1
echo old >"$tmp/old"
check "a file in a volume with a quota" umafs alice put "$tmp/old" $q/over
# servers let a volume go 1 MiB over its quota
head -c 4000000 /dev/urandom >"$tmp/over"
check "the quota is exceeded, and by how much" \
	says 'quota of volume quota is exceeded by [0-9,]+ KiB' 1 umafs alice put "$tmp/over" $q/over
check "the old file is whole" prints '^old$' umafs alice cat $q/over
check "no temporary name is left there" nothing_left $q
umafs alice rm -f $q/over
check "no right to read" says "$home/private.*permission denied" 1 umafs carol ls "$home/private"
check "no right to write" says 'permission denied' 1 umafs carol put "$tmp/old" "$home/x"
check "nobody: no right either" says 'permission denied' 1 umafs alice --as anonymous touch "$home/x"
check "a wrong cell" says '/afs/no.such.cell: ' 1 umafs alice ls /afs/no.such.cell
check "a wrong local cell" says 'no.such.cell' 1 umafs alice --cell no.such.cell ls
check "no configuration" says '/nowhere' 1 umafs alice --confdir /nowhere tokens
check "no such ccache" says '/nowhere/cc.*' 1 umafs alice --as /nowhere/cc tokens
"$rig" kinit "$cell" alice "$tmp/short" 1s
until_true as alice c1 bash -c "! klist -s -c '$tmp/short'"
check "an expired ticket" says 'expired.*kinit' 1 umafs alice --as "$tmp/short" ls "$home"
check "an expired default ticket is not anonymous" says 'expired.*kinit' 1 \
	"$rig" exec "$cell" c1 -- env "KRB5CCNAME=$tmp/short" "$u" --confdir "$cell/conf" ls "$home"
check "an unreadable local file" says '/nowhere/f: ' 1 umafs alice put /nowhere/f "$home/x"
check "a local directory that is not there" says '/nowhere/f' 1 umafs alice get "$d/s1" /nowhere/f

# ---- stopping ----
under_way() { [[ -n $(find "$1" -name '.umafs*' -size +0) ]]; }
put_under_way() { umafs alice ls -a "$1" 2>/dev/null | grep -q '\.umafs'; }
interrupted() { # a get that is stopped leaves the old file and no temporary one
	local pid rc=0
	mkdir -p "$tmp/int" && echo old >"$tmp/int/f"
	umafs alice put "$tmp/s67108865" "$d/slow" || return 1
	# exec replaces its process, so this is umafs's own number
	"$rig" exec "$cell" c1 --as alice -- "$u" --confdir "$cell/conf" get "$d/slow" "$tmp/int/f" &
	pid=$!
	until_true under_way "$tmp/int"
	kill -TERM $pid
	wait $pid || rc=$?
	echo "status $rc"
	((rc == 143)) && [[ $(cat "$tmp/int/f") == old && -z $(find "$tmp/int" -name '.umafs*') ]]
}
check "SIGTERM ends get in good order" interrupted
interrupted_put() {
	local pid rc=0 i name
	mkdir -p "$tmp/many"
	for i in 1 2 3 4 5 6; do cp "$tmp/s67108865" "$tmp/many/$i"; done
	"$rig" exec "$cell" c1 --as alice -- \
		"$u" --confdir "$cell/conf" put -r "$tmp/many" "$d/many" 2>"$tmp/int.err" &
	pid=$!
	until_true put_under_way "$d/many"
	kill -INT $pid
	wait $pid || rc=$?
	echo "status $rc"
	cat "$tmp/int.err"
	((rc == 130)) || return 1
	# Removing can outlast a user's patience: then each one that stays was named.
	for name in $(umafs alice ls -a "$d/many" | grep -o '\.umafs-put-[0-9a-f]*'); do
		grep -q "unfinished $name" "$tmp/int.err" || return 1
	done
	return 0
}
check "SIGINT ends put in good order" interrupted_put
rm -rf "$tmp/many"
traced() {
	umafs alice --trace stat "$d/a/f" 2>&1 >/dev/null |
		grep -E 'rpc [A-Za-z0-9]*Status[A-Za-z0-9]* 10\.77\.0\.11:7000 .* ms ok'
}
check "--trace names calls, servers, results" traced
on_stdin() { [[ $(readlink "/proc/$1/exe") == */umafs && $(cat "/proc/$1/syscall") =~ ^(0\ 0x0|7\ |271\ ) ]]; }
bytes_read() { sed -n 's/^rchar: //p' "/proc/$1/io"; }
read_more() { (($(bytes_read "$1") >= $2 + 4)); }
waiting_mmap() { # it waits for standard input: a signal ends it at once
	local pid before rc=0
	mkfifo "$tmp/fifo"
	exec 7<>"$tmp/fifo"
	"$rig" exec "$cell" c1 --as alice -- "$u" --confdir "$cell/conf" mmap "$d/a/f" <"$tmp/fifo" 7>&- &
	pid=$!
	until_true on_stdin $pid
	before=$(bytes_read $pid)
	echo 123 >&7
	until_true read_more $pid "$before"
	kill -TERM $pid
	wait $pid || rc=$?
	exec 7>&-
	((rc == 143))
}
check "SIGTERM ends a waiting mmap" waiting_mmap
check "what it had read is stored" prints '^123' umafs alice cat "$d/a/f"

"$rig" stop-server "$cell" fs2 --signal STOP fileserver 2>/dev/null
check "a dead server is named" says '10\.77\.0\.12' 1 umafs alice ls /afs/umafs.test/far
"$rig" start-server "$cell" fs2 fileserver 2>/dev/null
check "it is back" prints '' umafs alice ls /afs/umafs.test/far

check "cleaning up" umafs alice rm -r "$d"
plan
