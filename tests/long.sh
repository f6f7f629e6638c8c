#!/usr/bin/env bash
# What takes too long for tests/run.sh: the same with many more examples, against a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
tests/api/run.sh target/release/kundeforhold 2000

echo "== random histories, and numbers in texts, drawn anew"
cargo test --locked --release --test store history
cargo test --locked --release --test rules

echo "== record of use: a million entries, within the bounds of their cost, of searches and of verifying"
benches/record.sh 1000000

echo "== record of use: 200 kills under load"
RECORD_KILLS=200 cargo test --locked --release --test blackbox audit::kills -- --nocapture

echo "== deliveries: 1,000 random histories, 500 kills, bombs up to the default bounds, 10 million bad lines"
DELIVERY_SEQUENCES=1000 cargo test --locked --release --test blackbox deliveries::model -- --nocapture
DELIVERY_KILLS=500 cargo test --locked --release --test blackbox deliveries::kills -- --nocapture
DELIVERY_FULL_BOUNDS=1 DELIVERY_BAD_LINES=10000000 \
    cargo test --locked --release --test blackbox deliveries::hostile -- --nocapture --test-threads=1

echo "== store: an organisation with 50,000 accounts that change one by one"
ORGANISATION_ACCOUNTS=50000 cargo test --locked --release --test blackbox store::many_accounts -- --nocapture

echo "== PostgreSQL: everything that is asked of a service, with its register in a database; 200 kills, 500 more amid deliveries"
RECORD_KILLS=200 DELIVERY_KILLS=500 KUNDEFORHOLD_TEST_STORE=postgres \
    cargo test --locked --release --test blackbox -- --skip figures

echo "== PostgreSQL: 10,000 commits cut off, before they arrive or before they are heard of, none lost and none twice"
CUT_COMMITS=2500 cargo test --locked --release --test store instances::what_was -- --nocapture
CUT_COMMITS=2500 cargo test --locked --release --test record cut_off -- --nocapture

echo "== PostgreSQL: 150 histories of banks and agencies on two instances, with kills, pauses and broken connections amid"
HISTORIES=150 cargo test --locked --release --test blackbox store::histories -- --nocapture

echo "== Redis: 50 primaries killed under lookups and deliveries, Sentinel and Cluster, none refused"
FAILOVERS=25 cargo test --locked --release --test blackbox resilience::failover -- --nocapture --test-threads=2

echo "== Redis: 300 replies cut off, no answer wrong or refused"
CUT_REPLIES=300 cargo test --locked --release --test blackbox resilience::cut_off -- --nocapture --test-threads=1
