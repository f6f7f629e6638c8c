#!/usr/bin/env bash
# Starts Redis on free loopback ports, for trials and tests, and prints the cache.url on the first line of stdout:
#   deploy/local-redis.sh node            one server
#   deploy/local-redis.sh sentinel        a master, two replicas, three Sentinels
#   deploy/local-redis.sh cluster         three primaries, three replicas
# Runs until Ctrl-C, or until its stdin ends with --until-stdin-ends; then everything it started is stopped.
# A directory may follow; each server has one in it, named by its port, with its configuration, `start` and `pid`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kind=${1:-}
until_stdin_ends=
[ "${2:-}" = --until-stdin-ends ] && { until_stdin_ends=yes; shift; }
directory=${2:-$(mktemp -d)}
# How soon a server that does not answer is replaced. Milliseconds.
node_timeout=${NODE_TIMEOUT:-2000}

case $kind in
  node | sentinel | cluster) ;;
  *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
esac
mkdir -p "$directory"

stop() {
  trap - EXIT INT TERM
  for pid in "$directory"/*/pid; do
    [ -f "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null || true
  done
  [ "${made:-}" ] && rm -rf "$directory" || true
}
trap stop EXIT
trap 'exit 0' INT TERM

# Ports below 32768 are not given out by the system; the bus of a Cluster is 10000 above.
free_port() {
  local port
  while :; do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 12000))
    [ -d "$directory/$port" ] && continue
    (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    (: < "/dev/tcp/127.0.0.1/$((port + 10000))") 2>/dev/null && continue
    echo "$port"
    return
  done
}

# The configuration of one of a kind: servers have that of a cache, as shipped; Sentinels rewrite theirs.
configuration() {
  if [ "$1" = sentinel ]; then
    cat <<END
bind 127.0.0.1
protected-mode yes
sentinel monitor kundeforhold 127.0.0.1 $master 2
sentinel down-after-milliseconds kundeforhold $node_timeout
sentinel failover-timeout kundeforhold $((3 * node_timeout))
sentinel parallel-syncs kundeforhold 1
END
    return
  fi
  cat "$here/redis.conf"
  if [ "$1" = cluster ]; then
    printf '%s\n' 'cluster-enabled yes' 'cluster-config-file nodes.conf' "cluster-node-timeout $node_timeout" \
      'cluster-require-full-coverage no' 'cluster-replica-validity-factor 0'
  fi
}

# launch KIND PORT MODE OPTION…: starts a server, with more options than its configuration has.
launch() {
  local kind=$1 port=$2 mode=$3
  shift 3
  local place=$directory/$port
  mkdir "$place"
  configuration "$kind" > "$place/redis.conf"
  {
    printf 'exec redis-server %q %s --port %s --dir %q --pidfile %q' \
      "$place/redis.conf" "$mode" "$port" "$place" "$place/pid"
    printf ' --logfile %q --daemonize yes' "$place/log"
    [ "$#" -gt 0 ] && printf ' %s' "$@"
    echo
  } > "$place/start"
  sh "$place/start"
  answers "$port"
}

answers() {
  for _ in $(seq 500); do
    [ "$(redis-cli -p "$1" ping 2>/dev/null)" = PONG ] && return
    sleep 0.02
  done
  echo "the server on port $1 does not answer" >&2
  exit 1
}

eventually() {
  for _ in $(seq 1000); do
    "$@" && return
    sleep 0.05
  done
  echo "gave up waiting: $*" >&2
  exit 1
}

has_replicas() { [ "$(redis-cli -p "$1" info replication | grep -c 'state=online')" = "$2" ]; }
knows_all() {
  [ "$(redis-cli -p "$1" sentinel master kundeforhold 2>/dev/null | grep -A1 -x num-other-sentinels | tail -1)" = 2 ] &&
    [ "$(redis-cli -p "$1" sentinel master kundeforhold | grep -A1 -x num-slaves | tail -1)" = 2 ]
}
is_formed() {
  redis-cli -p "$1" cluster info | grep -q cluster_state:ok &&
    [ "$(redis-cli -p "$1" cluster nodes | grep -c slave)" = 3 ]
}

local_only="--maxmemory 0 --repl-backlog-size 16mb --repl-diskless-sync-delay 0"

start_node() {
  port=$(free_port)
  launch node "$port" "" $local_only
  url=redis://127.0.0.1:$port/0
}

start_sentinel() {
  master=$(free_port)
  launch node "$master" "" $local_only
  for _ in 1 2; do
    launch node "$(free_port)" "" $local_only "--replicaof 127.0.0.1 $master"
  done
  eventually has_replicas "$master" 2
  url=
  sentinels=
  for _ in 1 2 3; do
    port=$(free_port)
    launch sentinel "$port" --sentinel
    url=$url,127.0.0.1:$port
    sentinels="$sentinels $port"
  done
  for port in $sentinels; do eventually knows_all "$port"; done
  url=redis-sentinel://${url#,}/kundeforhold
}

start_cluster() {
  nodes=
  url=
  for _ in 1 2 3 4 5 6; do
    port=$(free_port)
    launch cluster "$port" "" $local_only
    nodes="$nodes 127.0.0.1:$port"
    url=$url,127.0.0.1:$port
  done
  redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes >&2
  for node in $nodes; do eventually is_formed "${node#*:}"; done
  url=redis-cluster://${url#,}
}

[ "${2:-}" ] || made=yes
"start_$kind"
echo "$url"
if [ "$until_stdin_ends" ]; then
  cat > /dev/null
else
  while :; do sleep 3600 & wait $!; done
fi
