#!/usr/bin/env bash
# What takes longer than `make test` may: a day without a line; a hundred rounds of kills; every public capture against tshark; a large
# capture twice, with the same bytes and sums; a SYN flood of five times as many flows as the table holds; UNION by position in Spark; an
# hour of fuzzing.
set -euo pipefail
cd "$(dirname "$0")/../.."

FLOWLAKE_PYTHON=$PWD/target/venv/bin/python
export FLOWLAKE_PYTHON
# One after the other: memory and time are looked at.
FLOWLAKE_SOAK=1 cargo test --release -p flowlake-tests --test it -- --test-threads 1 \
  outage:: crash:: service::a_service_that_is_killed tshark

work=target/soak
rm -rf "$work"
mkdir -p "$work"
agent=target/release/flowlake-agent
converter=target/release/flowlake-converter
target/release/flowlake-generate capture "$work/large.pcap" 20000000 2000000
for run in one two; do
  "$agent" replay "$work/large.pcap" --log-format all --output "$work/$run" 2>"$work/$run.summary"
done
diff -r "$work/one" "$work/two"
cmp "$work/one.summary" "$work/two.summary"
cat "$work/one.summary"
"$converter" convert "$work/one" --lake "$work/lake" --rejects "$work/rejects"
"$converter" convert "$work/one" "$work/two" --lake "$work/lake" --rejects "$work/rejects"
"$converter" validate "$work/lake"

# Five million flows in one window, a table of a million: nothing is lost, and memory is bounded.
flows=5000000
target/release/flowlake-generate flood "$work/flood.pcap" $flows 0
target/release/flowlake-generate dropped "$work/dropped.pcap" $flows 0
python3 - "$agent" "$work" $flows <<'EOF'
import resource, subprocess, sys
agent, work, flows = sys.argv[1:]
for name, options, limit in [("flood", [], 400), ("flood, all of it dropped", ["--verdict", f"{work}/dropped.pcap"], 400)]:
    lines = packets = rejected = 0
    with subprocess.Popen([agent, "replay", f"{work}/flood.pcap", *options], stdout=subprocess.PIPE, text=True) as replay:
        next(replay.stdout)
        for line in replay.stdout:
            lines += 1
            packets += int(line.split(" ")[8])
            rejected += " REJECT " in line
    # Of the children so far: the second needs more than the first.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{name}: {lines} records of {packets} packets, {rejected} of them REJECT, peak memory {peak} MiB", flush=True)
    expected = int(flows)
    if replay.returncode or (lines, packets) != (expected, expected) or peak >= limit or rejected not in (0, expected):
        sys.exit(1)
EOF
rm "$work/flood.pcap" "$work/dropped.pcap"

# Every source's rows and native-shaped ones joined by position, as Athena does it, in Spark.
"$agent" replay --log-format all --output "$work/flows" tests/fixtures/demo/onprem.pcap.gz
mkdir "$work/sensors"
cat >"$work/sensors/conn.log" <<'EOF'
{"_path":"conn","ts":1700000000.5,"uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":40000,"id.resp_h":"10.0.0.2","id.resp_p":443,"proto":"tcp","duration":1.5,"conn_state":"SF","local_orig":true,"local_resp":false,"history":"ShADadFf","orig_pkts":5,"orig_ip_bytes":500,"resp_pkts":4,"resp_ip_bytes":4000}
EOF
cat >"$work/sensors/eve.json" <<'EOF'
{"timestamp":"2023-11-14T22:13:22.000000+0000","flow_id":1,"event_type":"flow","src_ip":"10.0.0.1","src_port":40000,"dest_ip":"10.0.0.2","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":5,"pkts_toclient":4,"bytes_toserver":570,"bytes_toclient":4056,"start":"2023-11-14T22:13:20.500000+0000","end":"2023-11-14T22:13:22.000000+0000","state":"closed","reason":"timeout"},"tcp":{"tcp_flags":"1b"}}
EOF
"$converter" convert --origin on-premises "$work/flows" --lake "$work/union"
"$converter" convert tests/fixtures/demo/cloud --lake "$work/union"
"$converter" convert "$work/sensors" --lake "$work/union" --account-id 123456789012 --region us-east-1
if command -v java >/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.3.0
  SPARK_LOCAL_IP=127.0.0.1 "$work/venv/bin/python" tests/soak/union.py "$work/union" 2>"$work/spark.log" ||
    { tail -n 40 "$work/spark.log" >&2; exit 1; }
  rm -r "$work/venv"
else
  echo "SKIPPED: Spark needs Java 17 (apt-get install openjdk-17-jre-headless)"
fi

# An hour of fuzzing in all, over every target.
if command -v cargo-fuzz >/dev/null; then
  SECONDS_EACH=${FUZZ_SECONDS_EACH:-520} make fuzz
else
  echo "SKIPPED: an hour of fuzzing needs cargo-fuzz (cargo install cargo-fuzz)"
fi
echo "soak: ok"
