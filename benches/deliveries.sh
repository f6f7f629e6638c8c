#!/usr/bin/env bash
# Prints the figures of deliveries: a bank's whole set beside the bare engines, and a nation of 120 banks under
# lookups, on the embedded index and on Redis.
#   benches/deliveries.sh [RECORDS OF THE BANK (1000000)] [ROUNDS (3)] [RECORDS OF THE NATION (1000000)] [LOOKUPS/S (2000)]
set -euo pipefail
cd "$(dirname "$0")/.."
export FIGURES_RECORDS=${1:-1000000} FIGURES_ROUNDS=${2:-3} FIGURES_NATION=${3:-1000000} FIGURES_RATE=${4:-2000}
cargo test --locked --release --test blackbox figures:: -- --nocapture --test-threads=1
