#!/usr/bin/env bash
# What takes too long for tests/run.sh: the same API conformance with many more examples, against a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
tests/api/run.sh target/release/kundeforhold 2000
