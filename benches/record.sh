#!/usr/bin/env bash
# Prints the figures of the record of use, as a table in Markdown: what an entry costs where 64 record at a time, how soon
# a search finds, and how soon all is proved. Fails where a figure is beyond its bound.
#   benches/record.sh [ENTRIES (10000000: some 4 GB under TMPDIR, and a quarter of an hour)]
set -euo pipefail
cd "$(dirname "$0")/.."
export RECORD_ENTRIES=${1:-10000000}
cargo test --quiet --locked --release --test record -- figures --nocapture
