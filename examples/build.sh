#!/bin/sh
# Builds the example images' contents: for each example a directory with its
# module and its Dockerfile, ready for `docker build`.
#
#   examples/build.sh OUT [NAME…]      all examples, or those named
#
# Needs go, clang-14 with lld and wasi-libc, and wat2wasm (of wabt).
set -eu

if [ $# -eq 0 ]; then
	sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- hello-go hello-c hello-wat volume daemon trap

# c SOURCE MODULE: the names of functions stay in, for the stack of a trap.
c() {
	"${CLANG:-clang-14}" --target=wasm32-wasi --sysroot=/usr -O2 -Wall -Wl,--strip-debug -o "$2" "$1"
}

for name; do
	echo "building example $name"
	mkdir -p "$out/$name"
	cd "$here/$name"
	case $name in
	hello-go) GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -ldflags=-s -o "$out/$name/hello.wasm" . ;;
	hello-c) c hello.c "$out/$name/hello.wasm" ;;
	hello-wat) wat2wasm -o "$out/$name/hello.wasm" hello.wat ;;
	volume) c volume.c "$out/$name/volume.wasm" ;;
	daemon) c daemon.c "$out/$name/daemon.wasm" ;;
	trap) c trap.c "$out/$name/trap.wasm" ;;
	*)
		echo "there is no example $name" >&2
		exit 2
		;;
	esac
	cp Dockerfile "$out/$name/"
done
