#!/bin/bash
# What `make install` leaves is all that a program needs: the README's own program is built with nothing
# but pkg-config, against the shared and the static library, and its store reaches the server.
#
#   tests/real/install.sh CELLDIR BUILDDIR
set -uo pipefail
cell=$1 build=$2
# shellcheck source=tests/real/tap.sh
. "$(dirname "$0")/tap.sh"

inst=$tmp/inst
file=/afs/umafs.test/big/install.$$
sanitize=$(sed -n 's/^SANITIZE = //p' "$build/Makefile")
pc() { PKG_CONFIG_PATH=$inst/lib/pkgconfig pkg-config --define-prefix "$@" umafs; }

check "make install" make -s -C "$build" install prefix="$inst"
from_readme() {
	sed -n '/^    #include <stdio.h>$/,/^    }$/s/^    //p' "$top/README.md" >"$tmp/store.c" &&
		sed -i "s|/afs/example.org/home/map|$file|" "$tmp/store.c" && grep -q "$file" "$tmp/store.c"
}
check "the README has a program" from_readme
shared() { cc -Wall -Werror $sanitize -o "$tmp/shared" "$tmp/store.c" $(pc --cflags --libs); }
static() {
	cc -Wall -Werror $sanitize -o "$tmp/static" "$tmp/store.c" $(pc --static --cflags --libs | sed 's/-lumafs/-l:libumafs.a/') &&
		! readelf -d "$tmp/static" | grep -q 'NEEDED.*libumafs'
}
check "it builds against the shared library" shared
check "and against the static one" static
exported() { ! nm -D --defined-only "$inst/lib/libumafs.so" | awk '$2 == "T" { print $3 }' | grep -v '^umafs_'; }
check "the library exports umafs_ names only" exported

stores() { # PROGRAM
	printf '%-4096s' '?' >"$tmp/page" && umafs alice put "$tmp/page" "$file" &&
		as alice c1 env UMAFS_CONF="$cell/conf" LD_LIBRARY_PATH="$inst/lib" "$1" &&
		[[ $(umafs bob cat "$file" | head -c 1) == '!' ]]
}
check "the program stores its byte (shared)" stores "$tmp/shared"
check "the program stores its byte (static)" stores "$tmp/static"
plays() { env -i PATH="$PATH" "$inst/bin/umafs" demo; }
check "the installed umafs demo" plays
umafs alice rm -f "$file" >/dev/null
plan
