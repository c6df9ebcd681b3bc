# shellcheck shell=bash
# What all subcommands share. Sourced by ./cell.

say() { printf 'cell: %s\n' "$*" >&2; }

# die MESSAGE [LOG]: the end of the log says more than we can.
die() {
	say "$1"
	if [[ -n ${2:-} && -s ${2:-} ]]; then
		say "the end of $2:"
		tail -n 12 -- "$2" | sed 's/^/  /' >&2
	fi
	exit 1
}

begin() { BEGAN=${EPOCHREALTIME/./}; }

took() {
	local t=$((${EPOCHREALTIME/./} - ${2:-$BEGAN}))
	printf 'cell: %s, %d.%d s\n' "$1" $((t / 1000000)) $((t / 100000 % 10)) >&2
}

# A pipe that nobody writes to: read -t on it waits without a process.
nap() {
	[[ -n ${NAP_FD:-} ]] || exec {NAP_FD}<> <(:)
	read -r -t "$1" -u "$NAP_FD" || :
}

# until_true SECONDS WHAT CMD [ARG [LOG]]
until_true() {
	local limit=$((${EPOCHREALTIME/./} + $1 * 1000000))
	until "$3" "${4:-}"; do
		if ((${EPOCHREALTIME/./} > limit)); then
			die "waited $1 seconds in vain for $2" "${5:-}"
		fi
		nap 0.05
	done
}

# start_time PID sets START to when the process began, so that a number used
# again is noticed. A zombie counts as ended.
start_time() {
	local line f
	{ IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	read -ra f <<<"${line##*) }"
	[[ ${f[0]} != [ZX] ]] || return 1
	START=${f[19]}
}

gone() { ! start_time "$1"; }

# use DIR: the cell that the command is about.
use() {
	DIR=$(realpath -m -- "$1")
	[[ -f $DIR/.cell ]] || die "there is no cell in $DIR"
	# shellcheck disable=SC1091
	. "$DIR/.cell"
	KEEPER=''
	[[ ! -f $DIR/state/keeper ]] || read -r KEEPER KEEPER_START <"$DIR/state/keeper"
	export KRB5_CONFIG=$DIR/krb5.conf KRB5_KDC_PROFILE=$DIR/kdc/kdc.conf
}

keeper_alive() {
	[[ -n $KEEPER ]] && start_time "$KEEPER" && [[ $START == "$KEEPER_START" ]]
}

address() {
	case $1 in
	db) echo "$DB_ADDR" ;;
	fs*) echo "$NET.$((10 + ${1#fs}))" ;;
	c*) echo "$NET.$((100 + ${1#c}))" ;;
	esac
}

# node_pid NODE sets NODE and NODE_PID, the process that holds its namespaces.
node_pid() {
	NODE=$1
	[[ $NODE != */* && -f $DIR/state/$NODE.pid ]] || die "there is no node $NODE in the cell in $DIR"
	keeper_alive || die "the cell in $DIR is not up"
	read -r NODE_PID <"$DIR/state/$NODE.pid"
}

# enter CMD...: replaces this process. Not in the PID namespace: the process
# keeps its number for its caller, and /proc is the right one for it. The
# variable is what the keeper knows it by when the cell ends.
enter_now() {
	export UMAFS_CELL=$ID
	# The directory must be looked up inside, or mounts on it would not be seen.
	# shellcheck disable=SC2016
	exec nsenter -t "$NODE_PID" -m -n -u -- bash -c 'cd -- "$1" && shift && exec "$@"' \
		cell "$PWD" "$@"
}

enter() {
	if [[ $BASH_SUBSHELL == 0 && ${FUNCNAME[1]} == cmd_* && ${FUNCNAME[1]} != cmd_fuse ]]; then
		enter_now "$@"
	else
		(enter_now "$@")
	fi
}

# on NODE CMD...: enter another node and come back.
on() (
	node_pid "$1"
	shift
	enter_now "$@"
)

# spawn NODE PROGRAM LOG CMD...: a process of the cell's PID namespace, child of
# its init: it dies with the cell.
spawn() {
	local node=$1 program=$2 log=$3
	shift 3
	node_pid "$node"
	rm -f "$DIR/state/$node.$program.pid" # of one that has ended
	# /proc is that of the host, so self is the number that we know it by.
	# shellcheck disable=SC2016
	UMAFS_CELL=$ID nsenter -t "$NODE_PID" -p -m -n -u -- bash -c '
		pidfile=$1 log=$2
		shift 2
		(
			for fd in /proc/self/fd/*; do
				fd=${fd##*/}
				((fd <= 2)) || eval "exec $fd>&-"
			done
			cd / && read -r pid rest </proc/self/stat && echo "$pid" >"$pidfile.new" &&
				mv "$pidfile.new" "$pidfile" && exec setsid "$@"
		) </dev/null >>"$log" 2>&1 &' \
		spawn "$DIR/state/$node.$program.pid" "$log" "$@"
	until_true 5 "the start of $program on $node" test_file "$DIR/state/$node.$program.pid" "$log"
}

test_file() { [[ -f $1 ]]; }

# program_pid NODE PROGRAM: true and PROGRAM_PID set if it runs.
program_pid() {
	[[ -f $DIR/state/$1.$2.pid ]] || return 1
	read -r PROGRAM_PID <"$DIR/state/$1.$2.pid"
	start_time "$PROGRAM_PID"
}

programs_of() {
	case $1 in
	db) echo krb5kdc vlserver ptserver ;;
	fs*) echo fileserver volserver ;;
	*) die "$1 is not a server" ;;
	esac
}

log_of() {
	case $2 in
	fileserver) echo "$DIR/node/$1/log/FileLog" ;;
	volserver) echo "$DIR/node/$1/log/VolserLog" ;;
	salvager) echo "$DIR/node/$1/log/SalvageLog" ;;
	vlserver) echo "$DIR/node/$1/log/VLLog" ;;
	ptserver) echo "$DIR/node/$1/log/PtLog" ;;
	*) echo "$DIR/log/$1.$2" ;;
	esac
}

start_program() {
	local node=$1 program=$2 args=() path=/usr/lib/openafs/$2
	case $program in
	krb5kdc) path=/usr/sbin/krb5kdc args=(-n) ;;
	vlserver | ptserver | volserver) ;;
	fileserver)
		if [[ -f $DIR/state/$node.started && ! -f $DIR/state/$node.clean ]]; then
			# Volumes that were online when the server was killed are not attached
			# again before they are salvaged.
			on "$node" /usr/lib/openafs/salvager >>"$DIR/log/$node.salvager" 2>&1 ||
				die "salvager on $node failed" "$(log_of "$node" salvager)"
		fi
		rm -f "$DIR/state/$node.clean"
		stat -c %s -- "$(log_of "$node" fileserver)" 2>/dev/null >"$DIR/state/$node.started" ||
			echo 0 >"$DIR/state/$node.started"
		# The server keeps one old audit log only.
		if [[ -f $DIR/log/$node.audit ]]; then
			mv "$DIR/log/$node.audit" "$DIR/log/$node.audit.${EPOCHREALTIME/./}.old"
		fi
		args=(-auditlog "$DIR/log/$node.audit" -p 32 -b 200 -l 1200 -s 1200 -vc 200
			-offline-shutdown-timeout 2)
		;;
	*) die "there is no server program $program" ;;
	esac
	rm -f "$DIR/state/$node.$program.pid"
	spawn "$node" "$program" "$DIR/log/$node.$program" "$path" "${args[@]}"
}

wait_program() {
	local node=$1 program=$2 port
	case $program in
	krb5kdc) port=88 ;;
	vlserver) port=7003 ;;
	ptserver) port=7002 ;;
	fileserver) port=7000 ;;
	volserver) port=7005 ;;
	esac
	answers() {
		program_pid "$node" "$program" ||
			die "$program on $node has ended" "$(log_of "$node" "$program")"
		# Asked before the port is open, rxdebug takes seconds to ask again.
		on "$node" ss -lnuH "sport = :$port" | grep -q . || return 1
		case $program in
		krb5kdc) ;;
		fileserver) started_since "$node" ;;
		*) on "$node" timeout 2 rxdebug "$(address "$node")" "$port" -version >/dev/null 2>&1 ;;
		esac
	}
	until_true 30 "an answer from $program on $node" answers "" "$(log_of "$node" "$program")"
}

# The port is open long before the volumes are attached. The log is the one that
# the last start began with.
started_since() {
	local size
	read -r size <"$DIR/state/$1.started"
	tail -c "+$((size + 1))" -- "$(log_of "$1" fileserver)" 2>/dev/null | grep -q 'File Server started'
}

# What the server has on disk: a witness that no client can fool.
acls_on() {
	on "$1" volscan -type rw -find dir mount acl -noheading \
		-output vname desc path aid arights mount mvol
}

# get_ticket USER CCACHE [LIFETIME], in NODE
get_ticket() {
	local keytab=$DIR/keytab/$1.keytab out
	[[ -f $keytab ]] || die "there is no user $1 in the realm"
	out=$(on "$NODE" kinit -k -t "$keytab" -c "FILE:$(realpath -m -- "$2")" ${3:+-l "$3"} "$1" 2>&1) ||
		die "kinit for $1 failed: $out" "$DIR/log/krb5kdc.log"
}
