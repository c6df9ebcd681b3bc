#!/bin/bash
# The embedded cell in the place of real servers, in a network namespace that has the rig's
# addresses: umafs-cell itself, the checks of cli.sh, seed.sh and library.sh, and OpenAFS's own
# tools. Needs root.
#
#   tests/real/embedded.sh [CELLDIR] BUILDDIR      (or a program instead of its directory)
set -uo pipefail
build=$(realpath "${!#}")
[[ -d $build ]] || build=${build%/*}
here=$(dirname "$(realpath "$0")")
if [[ ${UMAFS_EMBEDDED_NS:-} != 1 ]]; then
	UMAFS_EMBEDDED_NS=1 exec unshare -n -m "$here/embedded.sh" "$build"
fi
ip link set lo up
# OpenAFS's tools do not like addresses of lo.
ip link add umafs0 type veth peer name umafs1 && ip link set umafs0 up && ip link set umafs1 up
for a in 1 11 12; do ip addr add "10.77.0.$a/24" dev umafs0; done

dir=$(mktemp -d /tmp/umafs-embedded.XXXXXX)
mkdir -p "$dir/cell/log"
"$build/umafs-cell" --confdir "$dir/cell" --audit "$dir/cell/log/fs1.audit" --db 10.77.0.1 --listen 10.77.0.11,10.77.0.12 >"$dir/out" 2>&1 &
server=$!
trap 'kill $server; wait $server; rm -rf "$dir"' EXIT
for ((i = 0; i < 500; i++)); do
	grep -q 'is up' "$dir/out" && break
	kill -0 $server 2>/dev/null || break
	sleep 0.02
done
grep -q 'is up' "$dir/out" || { cat "$dir/out"; echo "Bail out! umafs-cell does not start"; exit 1; }
mkdir "$dir/cell/conf"
cp "$dir/cell/ThisCell" "$dir/cell/CellServDB" "$dir/cell/conf"

# What needs a KDC, or one server of several to be silent.
skipped='tokens: from a keytab|an expired ticket|an expired default ticket is not anonymous|a dead server is named'
export UMAFS_RIG=$here/embedded_rig
for script in embedded_life embedded_faults embedded_tools cli.sh seed.sh library.sh; do
	"$here/$script" "$dir/cell" "$build" >"$dir/$script.tap" 2>&1
	grep -q '^1\.\.' "$dir/$script.tap" || echo "not ok 0 - $script came to its end" >>"$dir/$script.tap"
done
awk -v skipped="^($skipped)\$" '
	{ name = $0; sub(/^(not )?ok [0-9]+ - /, "", name) }
	/^1\.\./ { next }
	/^(not )?ok / { n++; sub(/ok [0-9]+/, "ok " n) }
	/^(not )?ok / && name ~ skipped { sub(/^not /, ""); print $0 " # SKIP needs a KDC or a second process"; quiet = 1; next }
	/^not ok / { bad++ }
	/^#/ && quiet { next }
	{ quiet = 0; print }
	END { print "1.." n; exit bad > 0 }' "$dir"/*.tap
