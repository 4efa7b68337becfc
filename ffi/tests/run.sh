#!/usr/bin/env bash
# The library from C and C++: the header, the examples, bits equal to those of Rust, no allocation in streams;
# the programs again under AddressSanitizer and UBSan.
#
#   bash ffi/tests/run.sh
#
# Needs gcc and g++ (or CC and CXX), and on Debian installs them where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
CC=${CC:-gcc} CXX=${CXX:-g++}
if ! command -v "$CC" >/dev/null || ! command -v "$CXX" >/dev/null; then
    apt-get update -qq && apt-get install -y -qq gcc g++
fi
say() { printf -- '-- %s\n' "$*"; }

say "the header is the one that the sources make"
bash tests/header.sh

say "the library"
cargo build --release --quiet --package fused-rnn-capi
target=$(cd "${CARGO_TARGET_DIR:-../target}" && pwd)
out=$target/ffi
mkdir -p "$out"
warnings="-Wall -Wextra -Werror -pedantic -Iinclude"
# What a static library of Rust needs: `cargo rustc -- --print native-static-libs` lists it.
static="$target/release/libfused_rnn_c.a -lgcc_s -lutil -lrt -lpthread -lm -ldl"
shared="-L$target/release -Wl,-rpath,$target/release -lfused_rnn_c -lm"
models=(../tests/golden/audio/*.json ../tests/golden/audio/*.nam)
mono=(../tests/golden/audio/rtneural_lstm.json ../tests/golden/audio/nam_lstm.nam)

say "the headers alone, in each standard"
for standard in c99 c11 c17; do
    echo '#include "fused_rnn.h"' | $CC -std=$standard $warnings -fsyntax-only -x c -
done
for standard in c++11 c++17 c++20; do
    echo '#include "fused_rnn.h"' | $CXX -std=$standard $warnings -fsyntax-only -x c++ -
done
for standard in c++17 c++20; do
    echo '#include "fused_rnn.hpp"' | $CXX -std=$standard $warnings -fsyntax-only -x c++ -
done

say "nothing but frnn_ is exported"
others=$(nm --dynamic --defined-only "$target/release/libfused_rnn_c.so" | awk '$3 !~ /^frnn_/' || true)
[ -z "$others" ] || { echo "$others"; exit 1; }

cargo run --release --quiet --package fused-rnn-capi --example expected -- "$out/expected"
# Builds a program, linked with the shared library and the static one, and under sanitizers.
build() { # NAME SOURCE [FLAG ...]
    local name=$1 source=$2 compile="$CC -std=c99"
    shift 2
    [ "${source##*.}" = cpp ] && compile="$CXX -std=c++17 -pthread"
    $compile $warnings -O2 "$source" "$@" $shared -o "$out/$name"
    $compile $warnings -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all "$source" "$@" $static \
        -o "$out/$name-sanitized"
}
build stream examples/stream.c
build train examples/train.c
build plugin examples/plugin.cpp
build equality tests/equality.c
build wrapper tests/wrapper.cpp
for kind in "" -sanitized; do
    say "programs${kind:+, under AddressSanitizer and UBSan}"
    for model in "${models[@]}"; do
        "$out/stream$kind" "$model" 96000 >"$out/printed" || { cat "$out/printed"; exit 1; }
    done
    cat "$out/printed"
    "$out/train$kind" 200
    "$out/plugin$kind" "${mono[@]}"
    "$out/equality$kind" "$out/expected"
    "$out/wrapper$kind"
done

say "streams allocate and lock nothing"
wraps=
for name in malloc calloc realloc free posix_memalign pthread_mutex_lock syscall; do
    wraps="$wraps -Wl,--wrap=$name"
done
$CC -std=c99 $warnings -O2 tests/realtime.c $wraps $static -o "$out/realtime"
"$out/realtime" "${models[@]}"
