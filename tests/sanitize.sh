#!/usr/bin/env bash
# The tests under a sanitizer: bash tests/sanitize.sh address|leak|thread|realtime [MORE ARGUMENTS OF cargo test]
#
#   address   reads and writes outside of buffers, use after free; leaks at the end as well (LeakSanitizer is
#             part of it)
#   leak      leaks alone, at nearly full speed
#   thread    data races; the standard library is built with it, or its own locks would be taken for races
#   realtime  allocations, locks and waits in what audio threads call, through the C interface
#
# Needs a nightly toolchain, for `thread` with the component rust-src, on x86-64 or aarch64 Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?expected address, leak, thread or realtime}
shift
host=$(rustc -vV | sed -n 's/^host: //p')
tests=(--lib --test equivalence --test exact --test integers --test golden --test pattern --test values
    --test errors --test edge --test threads)
extra=()
flags=
case $kind in
    # Absurd sizes must be refused, not aborted on.
    address)
        export ASAN_OPTIONS=allocator_may_return_null=1
        # Checks by calls: inlined, they make functions of kernels that LLVM takes half an hour for.
        flags=-Cllvm-args=-asan-instrumentation-with-call-threshold=0
        ;;
    leak) ;;
    thread)
        extra=(-Zbuild-std)
        export TSAN_OPTIONS="suppressions=$PWD/tests/races_of_others.txt"
        # Under it a test takes some twenty times as long: what shares memory, and how rows are cut.
        tests=(--package fused-rnn-tests --package fused-rnn-capi --test threads --test exact --test pattern)
        export PROPTEST_CASES=${PROPTEST_CASES:-16}
        ;;
    realtime)
        flags="--cfg realtime_sanitizer"
        tests=(--package fused-rnn-capi --test realtime_sanitizer)
        ;;
    *) echo "expected address, leak, thread or realtime, got $kind" >&2; exit 2 ;;
esac
RUSTFLAGS="-Zsanitizer=$kind $flags" cargo +nightly test --release "${extra[@]}" --target "$host" \
    --target-dir "target/$kind-sanitizer" "${tests[@]}" "$@"
