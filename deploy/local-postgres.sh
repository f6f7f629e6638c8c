#!/usr/bin/env bash
# Starts a PostgreSQL of its own on a free loopback port, for trials and tests, and prints its store.url, without a database,
# on the first line of stdout:
#   deploy/local-postgres.sh
# Runs until Ctrl-C, or until its stdin ends with --until-stdin-ends; then it is stopped, and what it held is removed.
# It keeps nothing safe: it never waits for the disk, unless it is told so by --durable. --tls=DIRECTORY has it show the
# certificate server.crt, with its key server.key. PostgreSQL refuses to run as root; then the user `postgres` runs it.
set -euo pipefail

bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "local-postgres.sh: PostgreSQL is not installed (Debian: postgresql)" >&2; exit 1; }
fsync=off tls=
until_stdin_ends=
for option in "$@"; do
  case $option in
    --durable) fsync=on ;;
    --tls=*) tls=$(realpath "${option#--tls=}") ;;
    --until-stdin-ends) until_stdin_ends=1 ;;
    *) echo "local-postgres.sh: no such option: $option" >&2; exit 2 ;;
  esac
done
directory=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown postgres: "$directory"
fi

stop() {
  trap - EXIT INT TERM
  # At once, without bringing anything in order.
  [ -f "$directory/data/postmaster.pid" ] && kill -QUIT "$(head -1 "$directory/data/postmaster.pid")" 2>/dev/null || true
  wait
  rm -rf "$directory"
}
trap stop EXIT
trap 'exit 0' INT TERM

# Ports below 32768 are not given out by the system.
while :; do
  port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000))
  (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
done

cd "$directory"
"${as[@]}" "$bin/initdb" -D "$directory/data" -U kundeforhold --auth=trust -E UTF8 --locale=C --no-sync >/dev/null
options=()
if [ -n "$tls" ]; then
  install -m 0600 ${as:+-o postgres} "$tls/server.crt" "$tls/server.key" "$directory/data"
  options=(-c ssl=on)
fi
"${as[@]}" "$bin/postgres" "${options[@]}" -D "$directory/data" -p "$port" -k "$directory" -c listen_addresses=127.0.0.1 -c fsync=$fsync \
  -c full_page_writes=$fsync -c max_connections=200 -c max_wal_size=4GB -c autovacuum_naptime=10 -c log_min_messages=fatal \
  >"$directory/log" 2>&1 </dev/null &
for _ in $(seq 100); do
  "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" && break
  sleep 0.1
done
"$bin/pg_isready" -q -h 127.0.0.1 -p "$port" || { cat "$directory/log" >&2; exit 1; }
echo "postgres://kundeforhold@127.0.0.1:$port/DATABASE?sslmode=disable"

if [ -n "$until_stdin_ends" ]; then
  cat >/dev/null
else
  wait
fi
