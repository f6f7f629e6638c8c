#!/usr/bin/env bash
# Prints the figures of deliveries, as tables in Markdown: a bank's whole set beside the bare database that writes the same
# rows, the memory that it takes, another pseudonym key and a nation of 120 banks under lookups.
#   benches/deliveries.sh [RECORDS OF THE BANK (1000000)] [ROUNDS (3)] [RELATIONSHIPS OF THE NATION (0: none)]
# KUNDEFORHOLD_TEST_STORE=postgres: on PostgreSQL rather than SQLite.
# FIGURES_RATE (2000) lookups a second beside the nation, FIGURES_CACHE (without, with) a Redis in front of the store.
# FIGURES_REKEY (1000000): relationships that are brought under another key beside lookups; 0: not at all.
# FIGURES_MEMORY (1000000): memory is measured for so many records, and for ten times as many; 0: not at all.
set -euo pipefail
cd "$(dirname "$0")/.."
export FIGURES_RECORDS=${1:-1000000} FIGURES_ROUNDS=${2:-3} FIGURES_NATION=${3:-0}
export FIGURES_RATE=${FIGURES_RATE:-2000} FIGURES_MEMORY=${FIGURES_MEMORY:-1000000} FIGURES_REKEY=${FIGURES_REKEY:-1000000}
figures=(figures::a_whole_set)
[ "$FIGURES_MEMORY" = 0 ] || figures+=(figures::memory)
[ "$FIGURES_REKEY" = 0 ] || figures+=(figures::another_key)
[ "$FIGURES_NATION" = 0 ] || figures+=("figures::a_nation_${FIGURES_CACHE:-without}")
cargo test --quiet --locked --release --test blackbox -- "${figures[@]}" --nocapture --test-threads=1
