#!/usr/bin/env bash
# Prints what a lookup costs, as tables in Markdown. Everything of a table is measured in turn, round by round.
#   benches/side_by_side.sh lookups    beside bare actix handlers, webdis, and the program as it was before the register
#                                      moved into a database, which is built once (the default; about 15 minutes)
#   benches/side_by_side.sh tokens     each request with a token never seen before, beside a handler that only verifies it
#   benches/side_by_side.sh steady     time to answer at half of webdis's maximum rate, open loop
#   benches/side_by_side.sh overload   twice the load that it can take, open loop (SIDE_BY_SIDE_OVERLOAD_PERCENT, 200)
#   benches/side_by_side.sh postgres   on PostgreSQL, with a cache and without, beside SQLite and pgbench
#   benches/side_by_side.sh growth     more relationships, more banks
#   benches/side_by_side.sh answers    more relationships a customer
#   benches/side_by_side.sh instructions  of a lookup, by part, counted by callgrind
#   benches/side_by_side.sh all
# SIDE_BY_SIDE_SECONDS (4) a measurement, SIDE_BY_SIDE_ROUNDS (5), SIDE_BY_SIDE_GROWN_RELATIONSHIPS ("5000000 25000000")
# and others: benches/side_by_side/settings.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
mode=${1:-lookups}
programs=(wrk webdis redis-server)
case $mode in instructions | all) programs+=(valgrind) ;; esac
for program in "${programs[@]}"; do
    command -v "$program" > /dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
# The program as it was before the register moved into a database.
former=$PWD/target/former
if [ ! -x "$former/kundeforhold" ] && git cat-file -e 1e462fe 2> /dev/null; then
    mkdir -p "$former/source"
    git archive 1e462fe | tar -x -C "$former/source"
    (cd "$former/source" && CARGO_TARGET_DIR=$former/target cargo build --quiet --locked --release --bin kundeforhold)
    cp "$former/target/release/kundeforhold" "$former/"
    rm -r "$former/source" "$former/target"
fi
ulimit -n "$(ulimit -Hn)"
exec cargo bench --quiet --locked --bench side_by_side -- "$mode"
