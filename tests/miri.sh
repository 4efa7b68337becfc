#!/usr/bin/env bash
# The tests under Miri, the interpreter that finds undefined behaviour: bash tests/miri.sh [MORE ARGUMENTS]
#
#   cargo +nightly miri test --lib          unit tests
#   cargo +nightly miri test --test exact   whole networks: PROPTEST_CASES says how many a property draws, 4
#   cargo +nightly miri test --test layer
#
# The portable level alone: a program sees no more instructions under Miri than it was compiled for. And small
# sizes alone, as it takes some thousand times as long: left out are tests of large layers, of samples of all
# floats and of many random numbers, and one that asks for more memory than there is, on which Miri gives up.
# MIRIFLAGS, unless they are set:
#
#   -Zmiri-disable-isolation    the environment is read
#   -Zmiri-ignore-leaks         the threads of rayon's pool are there until the program ends
#
# Needs a nightly toolchain with the components miri and rust-src; exits with 1 where Miri is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! version=$(cargo +nightly miri --version 2>&1); then
    echo "Miri is missing: \`cargo +nightly miri --version\` says: ${version%%$'\n'*}" >&2
    echo "It comes with: rustup component add --toolchain nightly miri rust-src" >&2
    exit 1
fi
echo "$version"
export MIRIFLAGS=${MIRIFLAGS:--Zmiri-disable-isolation -Zmiri-ignore-leaks}
export PROPTEST_CASES=${PROPTEST_CASES:-4}
export FUSED_RNN_LEVEL=portable
skipped=()
skip() { local name; skipped=(); for name in "$@"; do skipped+=(--skip "$name"); done; }

skip on_a_sample tanh_is_odd exact_to_a_few_units moments_are masks_are_unrelated \
    drops_with_its_probability zoneout_keeps_a_share absurd_sizes_are_errors
cargo +nightly miri test --target-dir target/miri --lib "$@" -- "${skipped[@]}"
skip chunks_and_pieces gate_by_gate_change_nothing
cargo +nightly miri test --target-dir target/miri --test exact "$@" -- "${skipped[@]}"
skip masks_are_unrelated a_workspace_says
cargo +nightly miri test --target-dir target/miri --test layer "$@" -- "${skipped[@]}"
