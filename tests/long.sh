#!/usr/bin/env bash
# What takes too long for tests/run.sh: the same with many more examples, against a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
tests/api/run.sh target/release/kundeforhold 2000

echo "== record of use: a million entries verified in under 5 s"
AUDIT_ENTRIES=1000000 cargo test --locked --release --test audit a_million -- --nocapture

echo "== record of use: 200 kills under load"
AUDIT_KILLS=200 cargo test --locked --release --test blackbox audit::kills -- --nocapture

echo "== another pseudonym key for 1,000,000 relationships, under lookups at full rate, killed half-way and resumed"
REKEY_RELATIONSHIPS=500000 cargo test --locked --release --test blackbox rekey::pace -- --nocapture

echo "== deliveries: 1,000 random histories, 500 kills, bombs up to the default bounds, 10 million bad lines"
DELIVERY_SEQUENCES=1000 cargo test --locked --release --test blackbox deliveries::model -- --nocapture
DELIVERY_KILLS=500 cargo test --locked --release --test blackbox deliveries::kills -- --nocapture
DELIVERY_FULL_BOUNDS=1 DELIVERY_BAD_LINES=10000000 \
    cargo test --locked --release --test blackbox deliveries::hostile -- --nocapture --test-threads=1

echo "== 50 restarts of two instances behind a proxy, 100,000 lookups, none fails"
ROLLING_RESTARTS=50 ROLLING_REQUESTS=100000 cargo test --locked --release --test blackbox rolling -- --nocapture
echo "== Redis: 200 primaries killed under lookups and deliveries, Sentinel and Cluster"
FAILOVERS=100 CLEAN_SECONDS=5 cargo test --locked --release --test blackbox resilience::failover -- --nocapture --test-threads=2

echo "== Redis: 10,000 replies cut off after the command was sent, 0 double effects"
CUT_REPLIES=10000 cargo test --locked --release --test blackbox resilience::cut_off -- --nocapture --test-threads=1
