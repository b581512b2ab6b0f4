#!/usr/bin/env bash
# The demo: captures from two on-premises servers and the VPC flow logs of the cloud instance that one of them talks to become
# one lake; then one query sees both worlds. Reads only what lies in the repository, writes only below target/demo.
set -euo pipefail
cd "$(dirname "$0")/../.."

demo=target/demo
agent=target/debug/flowlake-agent
converter=target/debug/flowlake-converter
fixtures=tests/fixtures/demo
query=(target/venv/bin/python packaging/duckdb/query.py)
rm -rf "$demo"
mkdir -p "$demo"

step() {
  printf '\n$ %s\n' "$*"
  "$@"
}

echo "1. Packets of the file server and of the backup server become VPC flow log records."
step "$agent" replay $fixtures/onprem.pcap.gz --output $demo/flow-logs --log-format all \
  --account-id 111122223333 --region eu-central-1 --local-networks 10.20.1.10,2001:db8:20:1::10
step "$agent" replay $fixtures/backup.pcap.gz --output $demo/flow-logs --log-format all --interface-id eni-f0000000000000060 \
  --account-id 111122223333 --region eu-central-1 --local-networks 10.20.1.60

echo
echo "2. They and the cloud's own flow logs become OCSF in one lake."
step "$converter" convert $demo/flow-logs --origin on-premises --lake $demo/lake --rejects $demo/rejects
step "$converter" convert $fixtures/cloud --origin aws --lake $demo/lake --rejects $demo/rejects

echo
echo "3. The lake keeps Security Lake's rules."
step "$converter" validate $demo/lake

echo
echo "4. One query sees both worlds."
"${query[@]}" $demo/lake packaging/duckdb/picture.sql

cat <<END

The lake is in $demo/lake, the flow logs are in $demo/flow-logs. Four things to try next:
  $agent replay YOUR.pcap --log-format all | less -S
  $converter convert YOUR/AWSLogs --lake $demo/lake
  ${query[*]} $demo/lake packaging/duckdb/questions/asymmetric_routes.sql    # one of ten: docs/troubleshooting.md
  ${query[*]} $demo/lake "SELECT start, source, destination, destination_port, action, bytes FROM flow WHERE source = '198.51.100.77' ORDER BY start LIMIT 10"
END
