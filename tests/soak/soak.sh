#!/usr/bin/env bash
# What takes longer than `make test` may: every public capture against tshark; a large capture twice, with the same bytes and
# sums.
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
echo "soak: ok"
