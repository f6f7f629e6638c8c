#!/usr/bin/env bash
# Generates clients from the service's own document, by two generators, and has each look a customer up, deliver a whole
# set and changes, and send a batch. Needs Python, and Java for the second.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:?usage: tests/api/generated.sh PROGRAM}")
environment=target/generators
work=$(mktemp -d)

if ! [ -x "$environment/bin/openapi-generator-cli" ]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check \
        openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 'pydantic>=2.11' 'urllib3>=2.7' python-dateutil
fi

"$program" demo --json --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 --issuer-listen 127.0.0.1:0 \
    >"$work/demo.json" 2>"$work/demo.log" &
demo=$!
trap 'kill $demo 2>/dev/null; wait $demo 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 300); do [ -s "$work/demo.json" ] && break; sleep 0.1; done
[ -s "$work/demo.json" ] || { cat "$work/demo.log"; echo "the demo did not start"; exit 1; }

bin=$(realpath "$environment/bin")
"$program" openapi >"$work/3.1.json"
"$program" openapi --v3.0 >"$work/3.0.json"
for version in 3.1 3.0; do
    echo "== openapi-python-client, OpenAPI $version"
    "$bin/openapi-python-client" generate --path "$work/$version.json" --output-path "$work/opc-$version" --meta none \
        >"$work/opc.log" 2>&1
    (cd "$work" && ln -sfn "opc-$version" one && "$bin/python" "$OLDPWD/tests/api/generated_one.py" demo.json)
    echo "== openapi-generator, OpenAPI $version"
    "$bin/openapi-generator-cli" generate -i "$work/$version.json" -g python -o "$work/ogp-$version" \
        --additional-properties=packageName=other >"$work/ogp.log" 2>&1 || { tail "$work/ogp.log"; exit 1; }
    (cd "$work/ogp-$version" && "$bin/python" "$OLDPWD/tests/api/generated_other.py" ../demo.json)
done
