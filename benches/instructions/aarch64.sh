#!/usr/bin/env bash
# Instructions of one call on 64-bit ARM, counted by QEMU: the NEON level beside the portable one. Fails where
# NEON takes more than 0.6 of the instructions for 32 rows of 128 units.
#
#   bash .ci/aarch64 bash benches/instructions/aarch64.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-target}

cargo build --release --quiet --target $target --bench instructions
program=$(cargo build --release --quiet --target $target --bench instructions --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')

# The plugin runs on this machine.
version=$(qemu-aarch64 --version | sed -n 's/^qemu-aarch64 version \([0-9]*\).*/\1/p')
options=
[ "$version" -lt 9 ] || options="--cfg interface_2"
# shellcheck disable=SC2086
"${RUSTC:-rustc}" --edition 2024 -O --crate-type cdylib $options --check-cfg 'cfg(interface_2)' \
    -o "$folder/libcount.so" benches/instructions/qemu.rs

count() {
    local said
    said=$(FUSED_RNN_LEVEL=$1 qemu-aarch64 -L /usr/aarch64-linux-gnu -plugin "$folder/libcount.so" \
        "$program" --child "$2" "$3" 2>&1) || { echo "$said" >&2; return 1; }
    sed -n 's/^instructions //p' <<<"$said"
}

printf '%-6s %-26s %12s %12s %6s\n' mode shape portable neon ratio
failed=0
while read -r mode shape; do
    portable=$(count portable "$mode" "$shape")
    neon=$(count neon "$mode" "$shape")
    ratio=$(awk "BEGIN { printf \"%.3f\", $neon / $portable }")
    printf '%-6s %-26s %12d %12d %6s\n' "$mode" "$shape" "$portable" "$neon" "$ratio"
    case $shape in
        *"B32 T10 I128 H128 "*) awk "BEGIN { exit !($ratio > 0.6) }" && failed=1 ;;
    esac
done <<'SHAPES'
fwd lstm B32 T10 I128 H128 L1
fwd gru B32 T10 I128 H128 L1
fwd rnn_tanh B32 T10 I128 H128 L1
train lstm B32 T10 I128 H128 L1
train gru B32 T10 I128 H128 L1
train rnn_tanh B32 T10 I128 H128 L1
step lstm B1 T1 I64 H128 L1
step gru B1 T1 I64 H128 L1
SHAPES
if [ $failed = 1 ]; then
    echo "NEON takes more than 0.6 of portable's instructions" >&2
    exit 1
fi
