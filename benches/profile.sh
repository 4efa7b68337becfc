#!/usr/bin/env bash
# What share of an application's training is spent in kernels, by `perf` on one thread.
#
# usage: bash benches/profile.sh NAME [OPTIONS OF THE EXAMPLE]
# needs: cargo, perf
#
# Kernels are loops over vectors: products of the layers and of dense heads (matrixmultiply), cells,
# activations, gradients, optimisers, clipping, exponentials and CTC. The rest is bookkeeping of layers, the
# example's own code, copies, allocation and the system. The part of the run from 20 to 60 % of its time is
# counted, which is training: data are made before, and simple methods and pictures after it.
set -euo pipefail
cd "$(dirname "$0")/.."
usage="usage: bash benches/profile.sh NAME [OPTIONS OF THE EXAMPLE], such as forecast --networks 2"
case ${1:-} in
-h | --help) echo "$usage" && exit 0 ;;
'' | -*) echo "$usage" >&2 && exit 2 ;;
esac
name=$1
shift
if ! perf --version >/dev/null 2>&1; then
    echo "profile.sh: expected perf (Debian: linux-perf), found none that runs" >&2
    exit 1
fi
cargo build --release --quiet --example "$name"
data=$(mktemp)
said=$(mktemp)
trap 'rm -f "$data" "$said"' EXIT
program=${CARGO_TARGET_DIR:-target}/release/examples/$name
if ! perf record --quiet --freq 999 --output "$data" "$program" --threads 1 "$@" >/dev/null 2>"$said" &&
    ! [ -s "$data" ]; then # (a short run may miss its mark)
    cat "$said" >&2
    exit 1
fi
perf report --input "$data" --no-children --stdio --fields overhead,dso,symbol --time 20%-60% 2>/dev/null |
    awk -v name="$name" '
        /^ *[0-9.]+%/ {
            share = $1 + 0; all += share
            if (/fused_rnn::(sequence|layer)::/) book += share
            else if (/matrixmultiply::/) product += share
            else if (/fused_rnn::product::|fused_rnn::cell::|fused_rnn::activation::/) layer += share
            else if (/fused_rnn::simd::|fused_rnn::train::(clip|exp|optimizer|ctc|loss)/) train += share
            else if (/fused_rnn::/) book += share
            else if (/\[k\]/) of_system += share
            else rest += share
        }
        END {
            if (!all) exit 1
            printf "%-11s kernels %.0f %% (layers %.0f, matrixmultiply %.0f,", \
                name, 100 * (layer + product + train) / all, 100 * layer / all, 100 * product / all
            printf " optimiser, loss and other vectors %.0f)", 100 * train / all
            printf "; bookkeeping %.0f, the example and copies %.0f, system %.0f\n", \
                100 * book / all, 100 * rest / all, 100 * of_system / all
        }' || {
    echo "profile.sh: perf counted nothing in that part of $name; is the run long enough?" >&2
    cat "$said" >&2
    exit 1
}
