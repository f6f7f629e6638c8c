#!/usr/bin/env bash
# The service as in production, on one machine, in one command: `serve` on SQLite with a Redis as cache, tokens from the
# stand-in issuer, a bank that delivers with `push`, a question asked with `lookup`. Ctrl-C ends all of it.
#
# Needs redis-server and the program: $KUNDEFORHOLD, or on the path, or target/release/kundeforhold. Everything is kept
# in a temporary folder, or in the folder named as the first argument. Ports: SERVICE_PORT (8080), MANAGEMENT_PORT
# (9090), ISSUER_PORT (8081), REDIS_PORT (6380).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() { echo "trial.sh: $*" >&2; exit 1; }

program=${KUNDEFORHOLD:-$(command -v kundeforhold || echo "$here/../target/release/kundeforhold")}
[ -x "$program" ] || fail "the program is missing: build it with 'cargo build --release', or set KUNDEFORHOLD"
command -v redis-server >/dev/null || fail "redis-server is missing: 'apt-get install redis-server'"

service=127.0.0.1:${SERVICE_PORT:-8080}
management=127.0.0.1:${MANAGEMENT_PORT:-9090}
issuer=127.0.0.1:${ISSUER_PORT:-8081}
redis_port=${REDIS_PORT:-6380}
# Before anything is made or started: another trial may run, or something else that is not to be disturbed.
taken=()
for address in "$service" "$management" "$issuer" "127.0.0.1:$redis_port"; do
    if (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then taken+=("$address"); fi
done
[ ${#taken[@]} -eq 0 ] || fail "taken already: ${taken[*]}. Is another trial running? Nothing was done. \
Other ports: SERVICE_PORT, MANAGEMENT_PORT, ISSUER_PORT, REDIS_PORT"

bank=210099093
started=()
made=

finish() {
    trap '' INT TERM
    # In the order of the flow: the service first, so that it ends in good order.
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    if [ -n "$made" ]; then rm -rf "$made"; fi
}
trap finish EXIT
trap 'exit 0' INT TERM

if [ $# -gt 0 ]; then mkdir -p "$1"; data=$(cd "$1" && pwd); else data=$(mktemp -d); made=$data; fi
cd "$data"

# start NAME COMMAND...: in the background, deaf to the Ctrl-C that this script handles, its output in NAME.log.
start() {
    local name=$1; shift
    setsid "$@" >"$name.log" 2>&1 &
    started=("$!" "${started[@]}")
}

# wait_for NAME COMMAND...: until it succeeds, for at most 30 seconds.
wait_for() {
    local name=$1; shift
    for _ in $(seq 150); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    tail -n 20 "$name.log" >&2
    fail "$name did not come up; its log is above"
}

start redis redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$data" --save '' --appendonly no \
    --maxmemory 128mb --maxmemory-policy allkeys-lru
wait_for redis redis-cli -p "$redis_port" ping

start issuer "$program" issuer --listen "$issuer" --bank "$bank"
wait_for issuer "$program" token --issuer "http://$issuer/" --client sandbox

[ -f pseudonym.key ] || "$program" key new pseudonym.key >/dev/null
[ -f record.key ] || "$program" key new record.key >/dev/null
cat >participants.toml <<END
[[participant]]
organizationID = "$bank"
name = "Granskauen Bank"
registers = ["KAR"]
staleAfter = "36h"
END
# An agency of trials only, which may ask anything.
cat >dsop-services.toml <<END
[[service]]
name = "Sandbox"
consumer = "310500003"
endpoints = ["customerRelationships", "accountServicingProvider"]
mandate = "*"
customer = "any"
period = "any"
only_primary_owner = "either"
END
cat >kundeforhold.toml <<END
participants_file = "participants.toml"
[server]
listen = "$service"
management_listen = "$management"
drain_seconds = 0
[maskinporten]
issuer = "http://$issuer/"
jwks_uri = "http://$issuer/jwk"
[access]
services_file = "dsop-services.toml"
[store]
url = "sqlite:./register.sqlite"
[cache]
url = "redis://127.0.0.1:$redis_port/0"
[pseudonym]
key_file = "pseudonym.key"
[record]
key_files = ["record.key"]
[identifiers]
synthetic = ["tenor", "helsenett", "dolly"]
END
"$program" check --config kundeforhold.toml >check.log 2>&1 || { cat check.log >&2; fail "the configuration is refused"; }
start serve "$program" serve --config kundeforhold.toml
wait_for serve "$program" healthcheck --url "http://$management/isready"

token() { "$program" token --issuer "http://$issuer/" --client "$1"; }
printf '%s\n' '{"customerID":"01856867389","accountID":"17101002225","role":"owner","fromDate":"2015-03-01"}' >relationships.ndjson
"$program" push --url "http://$service" --bank "$bank" --token "$(token "bank-$bank")" --file relationships.ndjson
echo 01856867389 | "$program" lookup --url "http://$service" --mandate 'A trial' --only-primary-owner false \
    --token "$(token sandbox)"

cat <<END

The trial runs in $data; every process has its log there. To ask again, in another terminal:

  TOKEN=\$($program token --issuer http://$issuer/ --client sandbox)
  echo 01856867389 | $program lookup --url http://$service --mandate 'A trial' --token "\$TOKEN"

API pages: http://$service/docs/   Management: http://$management/isready http://$management/metrics
Ctrl-C ends it.
END
# A process that ends by itself ends the trial.
wait -n "${started[@]}" || true
fail "a process ended by itself; see $data/*.log"
