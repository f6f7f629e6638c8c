#!/usr/bin/env bash
# Prints the figures of a backup beside lookups and changes, of `store verify` beside lookups, and of a restore, as a table
# in Markdown, for a nation of 120 banks.
#   benches/backup.sh [RELATIONSHIPS (1000000)]
# FIGURES_RATE (1000) lookups a second meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
export FIGURES_BACKUP=${1:-1000000} FIGURES_RATE=${FIGURES_RATE:-1000}
cargo test --quiet --locked --release --test blackbox -- figures::a_backup --nocapture --test-threads=1
