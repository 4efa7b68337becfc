#!/bin/sh
# Runs fuzz targets under AddressSanitizer: bash fuzz/run.sh SECONDS [TARGET ...]
#
# Each target first replays its seeds and its corpus, then tries new inputs for SECONDS (0: only the replay). New inputs
# that reach new code go to fuzz/corpus/TARGET; an input that fails to fuzz/artifacts/TARGET, to be run again by giving
# its path to the binary. Needs a nightly toolchain and a C++ compiler. (`cargo fuzz run TARGET` works as well.)
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- reference levels schedules stream rows parameters arguments npy
host=$(rustc -vV | sed -n 's/^host: //p')
# The flags of cargo-fuzz: coverage for libFuzzer, and AddressSanitizer.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Zsanitizer=address" \
    cargo +nightly build --release --target "$host"
# Sizes that nobody has memory for must be refused by the crate, not by the sanitizer.
export ASAN_OPTIONS=allocator_may_return_null=1
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    dictionary=""
    [ -f "dictionaries/$target.dict" ] && dictionary="-dict=dictionaries/$target.dict"
    binary="target/$host/release/$target"
    echo "== $target: replay"
    # shellcheck disable=SC2086
    "$binary" -runs=0 -rss_limit_mb=4096 "corpus/$target" "seeds/$target"
    if [ "$seconds" -gt 0 ]; then
        echo "== $target: $seconds seconds"
        # shellcheck disable=SC2086
        "$binary" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=60 -print_final_stats=1 $dictionary \
            -artifact_prefix="artifacts/$target/" "corpus/$target" "seeds/$target"
    fi
done
