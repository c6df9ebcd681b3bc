#!/bin/bash
# umafs-fault itself: what must go red goes red and says why, what hangs is ended, and the
# options do what they say.
#
#   tests/scenarios/selftest.sh CELLDIR BUILDDIR      (CELLDIR is not used)
set -uo pipefail
cell=$1 build=$(realpath "$2")
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/../real/tap.sh"
export TMPDIR=$tmp

scenario() { # NAME < STATEMENTS
	{ printf 'scenario "%s"\n' "$1" && cat; } >"$tmp/$1.scenario"
}
# says STATUS PATTERN... -- ARGS...: umafs-fault ends with that status and prints all that.
says() {
	local status=$1 rc=0 patterns=() out
	shift
	while [[ $1 != -- ]]; do patterns+=("$1") && shift; done
	shift
	out=$(cd "$tmp" && timeout 60 "$build/umafs-fault" "$@" 2>&1) || rc=$?
	printf '%s\n' "$out" "status $rc"
	((rc == status)) || return 1
	for p in "${patterns[@]}"; do grep -qE -e "$p" <<<"$out" || { echo "lacks: $p"; return 1; }; done
}

scenario good <<<'alice: put home/a "x"
bob: get home/a -> "x"'
check "what holds is ok" says 0 '^ok 1 - good$' '^1\.\.1$' -- run good.scenario
scenario answer <<<'alice: put home/a "x"
bob: get home/a -> "y"'
check "a wrong answer goes red, with its line and both values" \
	says 1 '^not ok 1 - answer$' 'answer.scenario:3: bob: get' 'should be "y", and is "x"' -- run answer.scenario
scenario failure <<<'carol: put home/a "x"'
check "a failure that nothing speaks of goes red, with its sentence" \
	says 1 '^not ok 1' 'it failed with EACCES .*carol lacks insert' 'last calls of here: .*Fetch' -- run failure.scenario
scenario success <<<'alice: put home/a "x" -> error EACCES'
check "a success where an error was wanted goes red" says 1 'EACCES was wanted, but it succeeded' -- run success.scenario
scenario exit <<<'alice: run sh -c "echo oh >&2; exit 3" -> exit 2'
check "a wrong exit status goes red" says 1 'exit status 2 was wanted, but its exit status was 3, and it said: oh' -- run exit.scenario
scenario counts <<<'r: rpc name FetchStatus -> pass
alice: stat home
expect fired r 100-'
check "a wrong count goes red" says 1 'rule r has fired [1-9]' -- run counts.scenario
scenario order <<<'a: rpc name StoreData* user alice -> pass
b: rpc name StoreData* user bob -> pass
alice: put home/a "x"
bob: put home/a "y"
expect order a b
expect order b a'
check "a wrong order goes red, a right one does not" \
	says 1 'order.scenario:7' 'should have fired in the order b a, and did in the order a b' -- run order.scenario
scenario hang <<<'timeout 200ms
alice: put home/a "x"
held: rpc name StoreData* -> hold gate
alice: put home/a "y"'
check "a hang is ended, and told with its step and the rule behind it" \
	says 1 'hang.scenario:5: alice: put' 'has not ended after 200 ms' 'alice is still in line 5' \
	'rule held matched 1 fired 1: .*hold gate' 'here waits for: [0-9]* StoreData64' -- run hang.scenario
scenario program <<<'timeout 200ms
alice: run sleep 1000'
check "so is a program" says 1 'program.scenario:3: alice: run sleep' 'has not ended' -- run program.scenario
scenario until <<<'timeout 200ms
alice: put home/a "x"
until bob: get home/a -> "y"'
check "so is what never becomes true" says 1 'until.scenario:4: until bob' 'should be "y", and is "x"' -- run until.scenario
scenario whole <<<'timeout 50s
alice: run sleep 1000'
scenario slow <<<'timeout 200ms
alice: run sleep 0.3'
check "... unless it is given more time" says 0 '^ok 1' -- run --patience 20 slow.scenario
check "a whole scenario has a limit" says 1 'it was ended: --limit' -- run --limit 1 whole.scenario
scenario forgotten <<<'alice: run true &'
check "what nobody waits for is told" says 1 'nothing waits for what was begun' -- run forgotten.scenario
scenario busy <<<'alice: run sleep 1000 &
alice: stat home'
check "an actor does one thing at a time" says 1 'alice is still in line 2' -- run busy.scenario
scenario crash <<<'alice: stat home
alice: run pkill -SEGV -f "umafs-fault client.*$conf"
until alice: stat home -> "never"'
check "a client that ends by itself is a failure" says 1 'client here ended with SIGSEGV' -- run crash.scenario
scenario gone <<<'alice: run pkill -KILL -f "umafs-cell.*$conf"
until alice: run true -> exit 1'
check "so is a cell" says 1 'the cell ended by itself: SIGKILL' -- run gone.scenario

scenario later <<<'todo cm "not there yet"
alice: stat home/nope'
check "what is to do may fail" says 0 '^not ok 1 - later # TODO cm: not there yet$' -- run later.scenario
scenario sooner <<<'todo cm "not there yet"
alice: stat home'
check "what is to do and passes is pointed out" says 0 '^ok 1 - sooner # TODO' '^# 1 to do passed' -- run sooner.scenario
check "several side by side are told in order" \
	says 1 '^ok 1 - good' '^not ok 2 - answer' '^ok 3 - sooner' '^1\.\.3' -- run --jobs 3 good.scenario answer.scenario sooner.scenario

scenario seeds <<<'alice: run echo $seed -> has "9"'
check "--seed and --repeat" says 1 '^not ok 1 - seeds \(seed 8\)' '^ok 2 - seeds \(seed 9\)' -- run --seed 8 --repeat 2 seeds.scenario
{
	echo 'toss: rpc name FetchStatus prob 50% -> pass'
	for _ in 1 2 3 4 5 6 7 8 9 10; do printf 'cell: break home:\nalice: stat home\n'; done
	echo 'expect fired toss 1000'
} | scenario dice
tosses() { "$build/umafs-fault" run --seed "$1" "$tmp/dice.scenario" | grep -o 'toss has fired [0-9]*'; }
same_dice() {
	local seen
	seen=$(for seed in 1 2 3 4 5 6 7 8; do tosses $seed; done)
	echo "$seen"
	[[ $(tosses 3) == "$(sed -n 3p <<<"$seen")" ]] && (($(sort -u <<<"$seen" | wc -l) > 1))
}
check "one seed, one fall of the dice; another one, another" same_dice
check "--only" says 0 '^ok 1 - good' '^1\.\.1' -- run --only good good.scenario answer.scenario
check "--list" says 0 '^good$' '^answer$' -- run --list good.scenario answer.scenario
check "nothing is left behind" bash -c "! ls -d '$tmp'/umafs-fault.*"
check "--keep says where" says 0 '# kept: .*/umafs-fault\.[^/]*/1$' -- run --keep good.scenario
check "... and keeps calls and output" bash -c "ls '$tmp'/umafs-fault.*/1/{here.calls,cell.out,audit}"
rm -rf "$tmp"/umafs-fault.*

interrupt() {
	"$build/umafs-fault" run "$tmp/busy2.scenario" >"$tmp/int.out" 2>&1 &
	local pid=$!
	until_true pgrep -f "sleep 987654" || return 1
	kill -INT $pid
	wait $pid && return 1
	cat "$tmp/int.out"
	grep -q 'Bail out! stopped by SIGINT' "$tmp/int.out" && ! pgrep -f "sleep 987654" && ! ls -d "$tmp"/umafs-fault.* 2>/dev/null
}
scenario busy2 <<<'alice: run sleep 987654'
check "SIGINT ends all, with its processes" interrupt

check "check: a mistake" says 1 'bad.scenario: line 2, column 8: expected a step' -- check <(:) good.scenario "$(printf 'scenario "b"\nalice: x\n' >"$tmp/bad.scenario"; echo bad.scenario)"
check "check: none" says 0 -- check good.scenario later.scenario
check "list: names and sums" says 0 'good.scenario:1: good' 'later.scenario:1: later  \(to do, cm: not there yet\)' 'all: 2 scenarios, 1 to do' -- list good.scenario later.scenario
check "help lists the steps" says 0 '^  store MAPPING OFFSET DATA' -- help
check "usage: no file" says 2 'no file' -- run
check "usage: an option" says 2 'unknown option --colour' -- run --colour good.scenario
check "usage: a number" says 2 'not a number' -- run --jobs 0 good.scenario
check "usage: a command" says 2 'run, check, list' -- dance
plan
