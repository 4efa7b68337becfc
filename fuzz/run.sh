#!/usr/bin/env bash
# The fuzz targets.
#
#   bash fuzz/run.sh replay [TARGET ...]     each on its seeds and its corpus, with any Rust toolchain
#   bash fuzz/run.sh SECONDS [TARGET ...]    under libFuzzer and AddressSanitizer: the same, then new inputs
#                                            for SECONDS
#   bash fuzz/run.sh keep [TARGET ...]       corpus that reaches code which no seed reaches becomes a seed
#
# FUZZ_SEED=N draws the same new inputs again, as far as the time goes; without it they differ from run to run.
# New inputs that reach new code go to fuzz/corpus/TARGET; an input that fails goes to fuzz/artifacts/TARGET.
# Fuzzing needs a C++ compiler, and a nightly toolchain for the sanitizer; with SANITIZER=none any
# toolchain will do.
# (`cargo fuzz run TARGET` works as well.)
set -euo pipefail
cd "$(dirname "$0")"
mode=${1:?expected replay, keep or a number of seconds}
shift
[ $# -gt 0 ] ||
    set -- reference levels schedules stream rows parameters arguments npy npz torch safetensors onnx audio
host=$(rustc -vV | sed -n 's/^host: //p')

# The folders of a target's inputs. Files that the tests have are seeds too.
inputs() {
    mkdir -p "corpus/$1" "seeds/$1"
    echo "corpus/$1" "seeds/$1"
    case $1 in
        onnx) echo ../tests/golden/onnx_node ../tests/golden/onnx_cases ;;
        safetensors) echo ../tests/golden/keras ../tests/golden/torch ;;
        npz | torch) echo ../tests/golden/pt ;;
        audio) echo ../tests/golden/audio ;;
    esac
}

if [ "$mode" = replay ]; then
    cargo build --release --quiet
    for target in "$@"; do
        echo "== $target: replay"
        "${CARGO_TARGET_DIR:-target}/release/$target" $(inputs "$target")
    done
    exit
fi

# Coverage for libFuzzer, as cargo-fuzz asks for it, and a sanitizer.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
sanitizer=${SANITIZER:-address}
if [ "$sanitizer" = none ]; then
    export RUSTFLAGS=$flags
    cargo build --release --quiet --target "$host"
else
    # Checks by calls: inlined, they make functions of kernels that LLVM takes half an hour for.
    export RUSTFLAGS="$flags -Zsanitizer=$sanitizer -Cllvm-args=-asan-instrumentation-with-call-threshold=0"
    cargo +nightly build --release --quiet --target "$host"
fi
# Sizes that nobody has memory for must be refused by the crate, not by the sanitizer.
export ASAN_OPTIONS=allocator_may_return_null=1
for target in "$@"; do
    binary="${CARGO_TARGET_DIR:-target}/$host/release/$target"
    mkdir -p "artifacts/$target" "seeds/$target" "corpus/$target"
    if [ "$mode" = keep ]; then
        "$binary" -merge=1 -rss_limit_mb=4096 "seeds/$target" "corpus/$target"
        continue
    fi
    # What is there already runs first, however long that takes.
    limit=(-runs=0)
    # (Inputs are as long as the longest that is there, at least 4096 bytes: with a limit, longer ones would
    # be cut.)
    [ "$mode" -gt 0 ] && limit=(-max_total_time="$mode")
    dictionary=()
    [ -f "dictionaries/$target.dict" ] && dictionary=("-dict=dictionaries/$target.dict")
    echo "== $target: $mode seconds"
    "$binary" "${limit[@]}" -rss_limit_mb=4096 -timeout=60 -print_final_stats=1 -seed="${FUZZ_SEED:-0}" \
        "${dictionary[@]}" -artifact_prefix="artifacts/$target/" $(inputs "$target")
done
