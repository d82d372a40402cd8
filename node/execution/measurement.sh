#!/usr/bin/env bash
# Builds the execution module so that the same source, Cargo.lock and compiler give the same bytes in any folder, and
# prints the SHA-256 of its program.
#
#   measurement.sh TARGET            build from the source here into TARGET
#   measurement.sh --twice FOLDER    build two copies of the source in different folders, and compare
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

# build SOURCE TARGET: what the program must not depend on is renamed (folders) or fixed (time, parallel code generation).
build() {
    local source=$1 target=$2 cargo_home sysroot renamed=()
    cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
    sysroot=$(rustc --print sysroot)
    for pair in "$target=/target" "$source=/source" "$cargo_home=/cargo" "$sysroot=/rust"; do
        renamed+=("--remap-path-prefix=$pair")
    done
    (
        cd "$source"
        export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 SOURCE_DATE_EPOCH=0
        export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
        export RUSTFLAGS="${renamed[*]}"
        export CFLAGS="-ffile-prefix-map=$target=/target -ffile-prefix-map=$cargo_home=/cargo -g0"
        cargo build --release --locked --package sealbook-execution --bins >&2
    )
    # Asked of the program itself: what it says when it is admitted.
    "$target/release/sealbook-execution" measure
    echo
}

if [ "${1:-}" = --twice ]; then
    folder=$2
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd -P)
    measured=()
    for copy in one another/place; do
        rm -rf "${folder:?}/$copy"
        mkdir -p "$folder/$copy"
        (cd "$source" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder/$copy")
        measured+=("$(build "$folder/$copy" "$folder/$copy/target")")
        echo "$copy: ${measured[-1]}"
    done
    if [ "${measured[0]}" != "${measured[1]}" ]; then
        echo "error: the two builds differ" >&2
        exit 1
    fi
    echo "the two builds are the same, with $(rustc --version)"
else
    mkdir -p "$1"
    build "$source" "$(cd "$1" && pwd -P)"
fi
