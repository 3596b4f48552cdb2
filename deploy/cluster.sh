#!/usr/bin/env bash
# Starts three nodes on loopback, with mutual TLS between them, in ./data-cluster,
# and prints what to try. Ctrl-C stops them; the next start goes on from there.
set -euo pipefail
cd "$(dirname "$0")/.."
purser=$PWD/bin/purser
dir=${1:-data-cluster}
mkdir -p "$dir"
cd "$dir"

for n in 1 2 3; do
	[ -e certs/n$n.pem ] || "$purser" cluster certs --dir certs --node n$n >/dev/null
done
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait' EXIT
for n in 1 2 3; do
	"$purser" server --node-id n$n --data-dir n$n --peer-tls-dir certs \
		--api-listen 127.0.0.1:18${n}80 --admin-listen 127.0.0.1:18${n}81 --raft-listen 127.0.0.1:18${n}82 \
		--join 127.0.0.1:18182,127.0.0.1:18282,127.0.0.1:18382 --bootstrap-expect 3 2>n$n.log &
	pids+=($!)
done
for n in 1 2 3; do
	until curl -sf http://127.0.0.1:18${n}81/readyz >/dev/null; do
		kill -0 "${pids[$((n - 1))]}" || { cat n$n.log; exit 1; }
		sleep 0.2
	done
done
cat <<'TRY'
Three nodes are ready; any of them takes any request:

  curl -i -X PUT http://127.0.0.1:18180/v1/accounts/alice -H 'Content-Type: application/json' -d '{"currency":"USD"}'
  curl -i http://127.0.0.1:18280/v1/payments -H 'Content-Type: application/json' -H 'Idempotency-Key: fund-1' \
    -d '{"source":"world:USD","destination":"alice","amount":"10000","currency":"USD"}'
  curl -i http://127.0.0.1:18380/v1/accounts/alice
  curl -i 'http://127.0.0.1:18380/v1/accounts/alice?consistency=stale'

  bin/purser cluster members --admin http://127.0.0.1:18181
  bin/purser cluster transfer-leader --to n2 --admin http://127.0.0.1:18181
  bin/purser snapshot save --admin http://127.0.0.1:18281
  bin/purser verify --deep --admin http://127.0.0.1:18381

Ctrl-C stops them.
TRY
wait
