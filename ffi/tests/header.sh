#!/usr/bin/env bash
# Compares include/fused_rnn.h with what cbindgen makes of the sources; `write` makes it anew.
#
#   bash ffi/tests/header.sh [write]
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.29.4
if [ "$(cbindgen --version 2>/dev/null || true)" != "cbindgen $version" ]; then
    # Into the target folder: other projects may want another version.
    root=${CARGO_TARGET_DIR:-../target}/tools
    [ -x "$root/bin/cbindgen" ] && [ "$("$root/bin/cbindgen" --version)" = "cbindgen $version" ] ||
        cargo install cbindgen --version "$version" --locked --quiet --root "$root"
    PATH=$(cd "$root/bin" && pwd):$PATH
fi
verify=--verify
[ "${1:-}" = write ] && verify=
cbindgen --quiet --config cbindgen.toml $verify --output include/fused_rnn.h .
