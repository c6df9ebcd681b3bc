#!/bin/bash
# Storms on real sockets, threads and mappings: a few seeds hold, a broken promise or a crash
# goes red, and plans are read and refused as they must be.
#
#   tests/scenarios/storm.sh CELLDIR BUILDDIR      (CELLDIR is not used)
set -uo pipefail
cell=$1 build=$(realpath "$2")
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/../real/tap.sh"
export TMPDIR=$tmp

# says STATUS PATTERN ARGS...: umafs-fault storm ends with that status and prints that.
says() {
	local status=$1 pattern=$2 rc=0 out
	shift 2
	out=$(cd "$tmp" && timeout 120 "$build/umafs-fault" storm "$@" 2>&1) || rc=$?
	printf '%s\n' "$out" "status $rc"
	((rc == status)) && grep -qE -e "$pattern" <<<"$out"
}

# crashes: a play whose process dies has failed, and the storm ends in good order.
crashes() {
	local storm child='' rc=0
	(cd "$tmp" && exec "$build/umafs-fault" storm --replay long.plan --plays 2 --beside 2) >"$tmp/crash.log" 2>&1 &
	storm=$!
	while [[ -z $child ]] && kill -0 $storm; do
		read -r child _ <"/proc/$storm/task/$storm/children"
	done
	kill -KILL "$child"
	wait $storm || rc=$?
	cat "$tmp/crash.log"
	((rc == 1)) && grep -q 'long.plan: its process ended with SIGKILL' "$tmp/crash.log" &&
		grep -q 'broken in 1 of 2 plays' "$tmp/crash.log"
}

weather='weather full 1 dirty_age_ms 5000 conflict_ms 0 life_s 36000'
cat >"$tmp/kept.plan" <<END
seed 1
$weather
1 c0.alice store file 0 cell 0
2 c0.alice msync file 0
30 c1.bob load file 0 cell 0
40 c0.alice write file 1 cell 0
50 c0.alice fsync file 1
60 cut client 1 ms 20
61 c1.alice store file 1 cell 10
90 c1.alice create dir 0 name 1
END
# The model does not know of this refusal, as if the client threw a change away by itself.
cat >"$tmp/broken.plan" <<END
seed 1
$weather
0 rule s1: rpc name StoreData64 user alice -> abort UAEACCES
10 c0.alice store file 0 cell 0
20 c0.alice msync file 0
300 c0.bob stat file 1
END
cat >"$tmp/packets.plan" <<END
seed 1
$weather
0 rule s1: packet from client type data -> duplicate
0 rule s2: packet from server type data -> delay 2ms
1 c0.alice write file 0 cell 0
2 c0.alice fsync file 0
30 rule s3: packet from client times 1 -> rebind
31 c0.alice create dir 0 name 0
300 rule s4: packet from client type data times 1 -> drop
500 c0.alice create dir 0 name 1
1500 c0.alice stat file 0
END
cat >"$tmp/long.plan" <<END
seed 1
$weather
1 c0.alice stat file 0
500 c0.alice stat file 0
END
echo '10 c0.alice fly file 0' >"$tmp/wrong.plan"

check "promises are kept under random faults" says 0 'storm: every promise was kept: 2 plays' --seed 9 --plays 2 --events 12
check "a plan in a file is played" says 0 'every promise was kept: 2 plays' --replay kept.plan --plays 2
struck() {
	says 0 'packet +delay +[1-9]' --replay packets.plan | tee "$tmp/struck" &&
		grep -qE 'packet +duplicate +[1-9]' "$tmp/struck" && grep -qE 'packet +rebind +1$' "$tmp/struck" &&
		grep -qE 'packet +drop +1$' "$tmp/struck"
}
check "packet rules strike, and nobody notices" struck
check "a broken promise is told" says 1 'threw away a change of alice|told of a loss' --replay broken.plan
check "a play that crashes is told, and the other one is played" crashes
check "what is no plan is told with its line" says 1 'wrong.plan: line 1 is not an event' --replay wrong.plan
check "an unknown option is told" says 2 'storm --help' --no-such
plan
