#!/usr/bin/env bash
# What a packet costs live: CPU time of the agent, and of softflowd beside it where that is installed, while tcpreplay sends the same
# frames over a veth pair. Losses are the programs' own counts. In namespaces of this script's own making.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=target/bench
packets=${PACKETS:-3000000} # of each round
rates=${RATES:-100000 200000 0} # packets per second; 0 is as fast as it goes
for tool in ip tcpreplay; do
  command -v "$tool" >/dev/null || { echo "SKIPPED: live capture, because $tool is not installed"; exit 0; }
done
mkdir -p "$work"
cargo build --release --quiet --workspace
target/release/flowlake-generate capture "$work/live.pcap" 100000 10000
near=fln$$ far=flf$$
ip netns add $near
ip netns add $far
trap 'ip netns del $near; ip netns del $far; rm -rf "$work"/live.*' EXIT
for namespace in $near $far; do # nothing but what is sent
  ip netns exec "$namespace" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
done
ip -n $far link add out0 type veth peer name in0 netns $near
ip -n $far link set out0 multicast off up
ip -n $near link set in0 multicast off up
ip -n $near link set lo up # where softflowd sends to
sleep 2.5

cat >"$work/live.toml" <<END
account-id = "111122223333"
region = "eu-central-1"
state = "$PWD/$work/live.state"
[[capture]]
interface = "in0"
ring-mib = 64
snap-length = 128
END

# CPU seconds of a process so far, user and system.
cpu() {
  awk -v tick="$(getconf CLK_TCK)" '{ print ($14 + $15) / tick }' "/proc/$1/stat"
}

send() {
  local speed=--pps=$1
  [[ $1 != 0 ]] || speed=--topspeed
  ip netns exec $far tcpreplay --quiet --preload-pcap "$speed" --loop=$((packets / 100000)) -i out0 "$work/live.pcap" 2>&1 |
    awk '/^Rated/ { print $(NF - 1) }'
}

say() { # program, rate, CPU seconds before and after, its losses
  awk -v program="$1" -v rate="$2" -v before="$3" -v after="$4" -v lost="$5" -v packets="$packets" 'BEGIN {
    printf "live: %-10s %7.0f packets per second: %.2f s CPU per million packets, %s lost\n",
      program, rate, (after - before) * 1e6 / packets, lost }'
}

for rate in $rates; do
  rm -rf "$work/live.state"
  ip netns exec $near target/release/flowlake-agent run --config "$work/live.toml" 2>"$work/live.said" &
  agent=$!
  sleep 1.5
  before=$(cpu $agent)
  rated=$(send "$rate")
  sleep 1.5
  after=$(cpu $agent)
  kill -TERM $agent
  wait $agent
  lost=$(awk '/dropped by the kernel/ { sum += $1 } END { print sum + 0 }' "$work/live.said")
  recorded=$(awk '/recorded, of/ { print $1 }' "$work/live.said")
  say flowlake "$rated" "$before" "$after" "$lost"
  ((recorded + lost == packets / 100000 * 100000)) || { echo "recorded $recorded + lost $lost is not what was sent"; cat "$work/live.said"; exit 1; }

  command -v softflowd >/dev/null || continue
  ip netns exec $near softflowd -d -i in0 -n 127.0.0.1:9 -c "$PWD/$work/live.ctl" -p "$PWD/$work/live.pid" 2>"$work/live.said" &
  other=$!
  sleep 1.5
  before=$(cpu $other)
  rated=$(send "$rate")
  sleep 1.5
  after=$(cpu $other)
  kill -TERM $other
  wait $other || true
  say softflowd "$rated" "$before" "$after" "?"
done
