#!/usr/bin/env bash
# Drives the service's pages in the system's Chromium against a running demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:?usage: tests/browser/run.sh PROGRAM}
work=$(mktemp -d)
modules=target/browser-tests
mkdir -p "$modules"
rm -f "$modules"/*.mjs
cp tests/browser/package.json tests/browser/*.mjs "$modules/"
if ! [ -d "$modules/node_modules/playwright-core" ] || ! [ -d "$modules/node_modules/axe-core" ]; then
    npm install --prefix "$modules" --no-audit --no-fund --silent
fi

"$program" demo --json --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 --issuer-listen 127.0.0.1:0 \
    >"$work/demo.json" 2>"$work/demo.log" &
demo=$!
trap 'kill $demo 2>/dev/null; wait $demo 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 200); do [ -s "$work/demo.json" ] && break; sleep 0.1; done
[ -s "$work/demo.json" ] || { cat "$work/demo.log"; echo "the demo did not start"; exit 1; }

told() { python3 -c "import json,sys; told = json.load(open(sys.argv[1]))[sys.argv[2]]
print(told if isinstance(told, str) else json.dumps(told))" "$work/demo.json" "$1"; }
SERVICE=$(told service) MANAGEMENT=$(told management) TOKENS=$(told tokens)
export SERVICE MANAGEMENT TOKENS SCREENSHOTS="$PWD/target/screenshots"
node --test --test-concurrency=1 "$modules"/*.test.mjs
