#!/usr/bin/env bash
# Two ratios in one run, against what users have today: replay against `nfpcapd -r`, conversion against DuckDB. CPU time of
# whole processes, user and system, one after the other and in turn, because machines are noisy; the median counts.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=target/bench
rounds=${ROUNDS:-3}
packets=${PACKETS:-3000000}
mkdir -p "$work"
cargo build --release --quiet --workspace
agent=target/release/flowlake-agent
converter=target/release/flowlake-converter
generate=target/release/flowlake-generate

# CPU seconds of a command, user and system together.
cpu() {
  local TIMEFORMAT='%U %S'
  { time "$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }; } 2>&1 | awk '{ print $1 + $2 }'
}

median() {
  sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

# name, what is counted, how many, then two functions to compare.
compare() {
  local name=$1 unit=$2 count=$3 ours=$4 theirs=$5 our_times=() their_times=() mine other
  "$ours" >"$work/first" # a warm-up, so that both find their input in memory
  for _ in $(seq "$rounds"); do
    our_times+=("$("$ours")")
    their_times+=("$("$theirs")")
  done
  mine=$(printf '%s\n' "${our_times[@]}" | median)
  other=$(printf '%s\n' "${their_times[@]}" | median)
  awk -v name="$name" -v unit="$unit" -v count="$count" -v mine="$mine" -v other="$other" 'BEGIN {
    printf "%s: %.2f s against %.2f s CPU, ratio %.3f (%.0f k %s per CPU second)\n", name, mine, other, mine / other, count / mine / 1000, unit }'
}

our_replay() {
  rm -rf "$work/flow-logs"
  cpu "$agent" replay "$work/large.pcap" --output "$work/flow-logs"
}
nfpcapd_replay() {
  rm -rf "$work/nf" && mkdir "$work/nf"
  cpu nfpcapd -r "$work/large.pcap" -l "$work/nf" -S 0
}
our_conversion() {
  rm -rf "$work/lake" "$work/rejects"
  cpu "$converter" convert "$work/$version" --lake "$work/lake" --rejects "$work/rejects"
}
duckdb_conversion() {
  cpu target/venv/bin/python ../shared/tools/duckdb_convert.py "$version" "$work/$version" "$work/duckdb"
}

if command -v nfpcapd >/dev/null; then
  [[ -s $work/large.pcap ]] || "$generate" capture "$work/large.pcap" "$packets" 200000
  compare "replay : nfpcapd" packets "$packets" our_replay nfpcapd_replay
else
  echo "SKIPPED: replay : nfpcapd, because nfpcapd is not installed (Debian package nfdump)"
fi

if [[ -f ../shared/tools/duckdb_convert.py ]]; then
  for version in v2 v5; do
    [[ -d $work/$version ]] || "$generate" "$version" "$work/$version" 20 50000
    compare "convert $version : DuckDB" rows 1000000 our_conversion duckdb_conversion
    du -sb "$work/lake" "$work/duckdb" | awk '{ printf "  %s: %.1f bytes per row\n", $2, $1 / 1000000 }'
  done
else
  echo "SKIPPED: convert : DuckDB, because ../shared/tools is not beside the repository"
fi
