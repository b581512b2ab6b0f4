#!/usr/bin/env bash
# What takes longer than `make test` may: every public capture against tshark; a large capture twice, with the same bytes and
# sums; a SYN flood of five times as many flows as the table holds.
set -euo pipefail
cd "$(dirname "$0")/../.."

FLOWLAKE_SOAK=1 cargo test --release -p flowlake-tests --test it -- tshark

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
python3 - "$agent" "$work/flood.pcap" $flows <<'END'
import resource, subprocess, sys
agent, capture, flows = sys.argv[1:]
lines = packets = 0
with subprocess.Popen([agent, "replay", capture], stdout=subprocess.PIPE, text=True) as replay:
    next(replay.stdout)
    for line in replay.stdout:
        lines += 1
        packets += int(line.split(" ")[8])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
print(f"flood: {lines} records of {packets} packets, peak memory {peak} MiB")
sys.exit(replay.returncode or lines != int(flows) or packets != int(flows) or peak >= 400)
END
rm "$work/flood.pcap"

# An hour of fuzzing in all, over every target.
if command -v cargo-fuzz >/dev/null; then
  SECONDS_EACH=${FUZZ_SECONDS_EACH:-520} make fuzz
else
  echo "SKIPPED: an hour of fuzzing needs cargo-fuzz (cargo install cargo-fuzz)"
fi
echo "soak: ok"
