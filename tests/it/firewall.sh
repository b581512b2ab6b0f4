#!/usr/bin/env bash
# A firewall in namespaces: `outside` sends UDP over IPv4 and IPv6 through `host`, whose nftables rules drop some on input,
# forward and output and log each drop to NFLOG group 5. Captures host's outer interface and the log, and prints what the
# rules counted. Everything is of this script's making, bounded, and gone at its end. Exit 77 where that is not allowed.
#
# usage: firewall.sh FOLDER
set -euo pipefail
folder=$1
host=flh$$ outside=flo$$
pids=()

cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  ip netns del "$host" 2>/dev/null || true
  ip netns del "$outside" 2>/dev/null || true
}
trap cleanup EXIT

if ! ip netns add "$host" 2>/dev/null || ! ip netns add "$outside"; then
  echo "a real firewall needs the right to make network namespaces; run as root" >&2
  exit 77
fi
ip -n "$outside" link add out0 type veth peer name in0 netns "$host"
for side in "$outside out0 10.9.0.1/24 fd09::1/64" "$host in0 10.9.0.2/24 fd09::2/64"; do
  read -r namespace device v4 v6 <<<"$side"
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set "$device" up
  ip -n "$namespace" addr add "$v4" dev "$device"
  ip -n "$namespace" addr add "$v6" dev "$device" nodad
done
ip -n "$outside" route add 10.99.0.0/16 via 10.9.0.2
ip netns exec "$host" sysctl -qw net.ipv4.ip_forward=1
ip -n "$host" route add 10.99.0.0/16 via 10.9.0.1

ip netns exec "$host" nft -f - <<'END'
table inet firewall {
  counter input { }
  counter forward { }
  counter output { }
  chain input {
    type filter hook input priority 0; policy accept;
    udp dport 7001 udp sport 6000-6009 counter name input log prefix "flowlake-drop:input" group 5 drop
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    udp dport 7002 counter name forward log prefix "flowlake-drop:forward" group 5 drop
  }
  chain output {
    type filter hook output priority 0; policy accept;
    udp dport 7003 counter name output log prefix "flowlake-drop:output" group 5 drop
  }
}
END

# Whole packets: with a short snap length libpcap's netlink buffer loses most of a busy group.
ip netns exec "$host" tcpdump -i in0 -s 128 -U -w "$folder/tap.pcap" udp 2>"$folder/tap.log" & pids+=($!)
ip netns exec "$host" tcpdump -i nflog:5 -s 65535 -U -w "$folder/nflog.pcap" 2>"$folder/nflog.log" & pids+=($!)
for log in tap nflog; do
  for _ in $(seq 50); do
    grep -q 'listening on' "$folder/$log.log" && break
    sleep 0.1
  done
  grep -q 'listening on' "$folder/$log.log" || { cat "$folder/$log.log" >&2; exit 77; }
done

# Twenty source ports, ten of which are dropped; three datagrams each.
sender='
import socket, sys
namespace, first, last, port, addresses = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
sent = 0
for address in addresses:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for source in range(first, last):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind(("", source))
            for _ in range(3):
                try:
                    one.sendto(b"x" * 100, (address, port))
                except PermissionError:
                    pass  # dropped on its way out: the kernel tells the sender
                sent += 1
print(namespace, sent)
'
ip netns exec "$outside" python3 -c "$sender" sent 6000 6020 7001 10.9.0.2 fd09::2
ip netns exec "$outside" python3 -c "$sender" forwarded 6000 6010 7002 10.99.0.1
ip netns exec "$host" python3 -c "$sender" out 6000 6005 7003 10.9.0.1 fd09::1
sleep 2.5 # the kernel keeps log messages back for up to a second, and so may libpcap
for pid in "${pids[@]}"; do kill -INT "$pid"; done
wait "${pids[@]}" || true
pids=()
for counter in input forward output; do
  packets=$(ip netns exec "$host" nft list counter inet firewall "$counter" | grep -o 'packets [0-9]*' | cut -d' ' -f2)
  echo "$counter $packets"
done
