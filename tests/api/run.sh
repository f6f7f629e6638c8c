#!/usr/bin/env bash
# Holds the service against its own OpenAPI document with schemathesis: no 5xx, no undocumented status,
# header or content type, no answer that its schema does not admit, nothing accepted that it forbids.
# Left out is only `positive_data_acceptance`: check digits cannot be written into a schema.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:?usage: tests/api/run.sh PROGRAM [EXAMPLES]}
examples=${2:-60}
version=4.32.5
environment=target/schemathesis-$version
work=$(mktemp -d)

if ! "$environment/bin/schemathesis" --version >/dev/null 2>&1; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

"$program" demo --json --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 --issuer-listen 127.0.0.1:0 \
    >"$work/demo.json" 2>"$work/demo.log" &
demo=$!
trap 'kill $demo 2>/dev/null; wait $demo 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 200); do [ -s "$work/demo.json" ] && break; sleep 0.1; done
[ -s "$work/demo.json" ] || { cat "$work/demo.log"; echo "the demo did not start"; exit 1; }
value() { python3 -c "import json,sys; print(eval('d'+sys.argv[2],{'d':json.load(open(sys.argv[1]))}))" "$work/demo.json" "$1"; }

export SCHEMATHESIS_HOOKS=tests.api.hooks PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1
check() { # NAME TOKEN PATHS
    echo "== schemathesis: $1"
    (cd "$work" && PYTHONPATH="$OLDPWD" "$OLDPWD/$environment/bin/schemathesis" --no-color run \
        "$(value "['service']")/openapi.json" --include-path-regex "$3" -H "Authorization: Bearer $2" \
        --exclude-checks positive_data_acceptance --max-examples "$examples" --generation-deterministic \
        --request-timeout 10 --suppress-health-check all)
}
check lookups "$(value "['tokens']['sandbox']")" 'customers/(customerRel|accountServ)|participants|services'
check deliveries "$(value "['tokens']['bank']")" 'nstitution'
