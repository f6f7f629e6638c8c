#!/usr/bin/env bash
# Runs every test. Installs what they need from Debian's packages if it is missing. Under 20 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need redis-server redis-server
need chromium chromium
need node nodejs
need npm npm
need python3 python3
need curl curl
need promtool prometheus
need systemd-analyze systemd
need setsid util-linux
need strace strace
need openssl openssl
need cc build-essential
need java default-jre-headless
[ -d /usr/lib/postgresql ] || packages+=(postgresql)
need setpriv util-linux
need haproxy haproxy
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
python3 -c 'import yaml' 2>/dev/null || packages+=(python3-yaml)
if [ ${#packages[@]} -gt 0 ]; then
    echo "== installing ${packages[*]}"
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
for tool in redis-server redis-cli chromium node npm python3 curl promtool haproxy strace systemd-analyze java; do
    command -v "$tool" >/dev/null || { echo "tests/run.sh: $tool is missing and could not be installed" >&2; exit 1; }
done

echo "== fixtures"
python3 fixtures/make.py --check

echo "== API conformance"
cargo build --locked
tests/api/run.sh target/debug/kundeforhold 200
tests/api/generated.sh target/debug/kundeforhold

echo "== deploy"
tests/deploy/run.sh target/debug/kundeforhold

echo "== browser"
tests/browser/run.sh target/debug/kundeforhold

echo "== cargo test"
# The same random cases each time; tests/long.sh draws others.
export PROPTEST_RNG_SEED=15
cargo test --locked --no-fail-fast
