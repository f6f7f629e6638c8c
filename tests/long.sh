#!/usr/bin/env bash
# What takes too long for tests/run.sh: the same API conformance with many more examples, against a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
tests/api/run.sh target/release/kundeforhold 2000

echo "== record of use: a million entries verified in under 5 s"
AUDIT_ENTRIES=1000000 cargo test --locked --release --test audit a_million -- --nocapture

echo "== record of use: 200 kills under load"
AUDIT_KILLS=200 cargo test --locked --release --test blackbox audit::kills -- --nocapture
