#!/usr/bin/env bash
# A recipe of packaging/firewall as shipped, on a firewall in namespaces: `outside` sends UDP and TCP over IPv4 and IPv6 to
# `host` and through it to `inner` behind the bridge docker0; host's rules drop some. Captures host's outer interface and
# NFLOG group 5, and prints per port what was sent and what the rules themselves say that they dropped. Mounts, processes
# and networks are private and end with this script, whatever becomes of it. Exit 77 where that is not allowed.
#
# usage: recipes.sh RECIPE FOLDER
set -euo pipefail
recipe=$1 folder=$(realpath "$2")
here=$(realpath "$(dirname "$0")")
shipped=$(realpath "$here/../../packaging/firewall")

if [[ ${FLOWLAKE_PRIVATE:-} != yes ]]; then
  private=(unshare --mount --net --pid --fork --kill-child --mount-proc)
  if ! "${private[@]}" mount -t tmpfs tmpfs /run 2>/dev/null; then
    echo "a firewall needs the right to make namespaces; run as root" >&2
    exit 77
  fi
  FLOWLAKE_PRIVATE=yes exec timeout 100 "${private[@]}" bash "$here/recipes.sh" "$recipe" "$folder"
fi

# Nothing below /run, /etc/ufw, /etc/firewalld and the like is the host's own any more.
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/dbus /run/firewalld /run/netns /run/private
own() { # own PATH: what is written there stays here
  mkdir -p "/run/private$1"
  cp -a "$1/." "/run/private$1/"
  mount --bind "/run/private$1" "$1"
}
own /usr/local/sbin
install -m 755 "$shipped/iptables.sh" /usr/local/sbin/flowlake-iptables
install -m 755 "$shipped/firewalld.sh" /usr/local/sbin/flowlake-firewalld

within() { # within NAMESPACE COMMAND...: `host` is this one
  if [[ $1 == host ]]; then "${@:2}"; else ip netns exec "$@"; fi
}
ip netns add outside
ip netns add inner
mount -t sysfs sysfs /sys 2>/dev/null || true # bridges and devices of this network, not of the machine
for name in host outside inner; do # no packets but ours
  within "$name" sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_dad=0
done
ip link set lo up
ip link add docker0 type bridge
ip link add in0 type veth peer name out0 netns outside
ip link add in1 type veth peer name inner0 netns inner
ip link set in1 master docker0 up
for side in "outside out0 9 1" "inner inner0 17 2"; do
  read -r namespace device net last <<<"$side"
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set "$device" up
  ip -n "$namespace" addr add "10.$net.0.$last/24" dev "$device"
  ip -n "$namespace" addr add "fd$net::$last/64" dev "$device" nodad
  ip -n "$namespace" route add default via "10.$net.0.9"
  ip -n "$namespace" route add default via "fd$net::9"
done
for side in "in0 9" "docker0 17"; do
  read -r device net <<<"$side"
  ip link set "$device" up
  ip addr add "10.$net.0.9/24" dev "$device"
  ip addr add "fd$net::9/64" dev "$device" nodad
done
ip -n outside addr add 10.9.0.7/24 dev out0
ip -n outside addr add fd9::7/64 dev out0 nodad
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

sender='
import socket, sys
kind, port, datagrams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sent = 0
for pair in sys.argv[4:]:
    source, target = pair.split(">")
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    for number in range(10):
        if kind == "udp":
            with socket.socket(family, socket.SOCK_DGRAM) as one:
                one.bind((source, 6000 + number))
                for _ in range(datagrams):
                    try:
                        one.sendto(b"x" * 1000, (target, port))
                    except (PermissionError, ConnectionRefusedError):
                        pass  # dropped on its way out: the kernel tells the sender
                    sent += 1
        elif kind == "syn":  # one SYN, given up before it could be sent again
            with socket.socket(family, socket.SOCK_STREAM) as one:
                one.bind((source, 0))
                one.setblocking(False)
                one.connect_ex((target, port))
                sent += 1
        else:  # a RST of no connection: invalid to conntrack
            with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as one:
                one.bind((source, 0))
                segment = (6000 + number).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(8) + b"\x50\x04" + bytes(6)
                one.sendto(segment, (target, 0))
                sent += 1
print(sent)
'
send() { # send NAMESPACE KIND PORT FROM TO [DATAGRAMS]: FROM and TO are the ends of 10.x.0.y and fdx::y; prints how many
  local from=$4 to=$5
  local pairs=("10.${from/./.0.}>10.${to/./.0.}" "fd${from/./::}>fd${to/./::}")
  within "$1" python3 -c "$sender" "$2" "$3" "${6:-3}" "${pairs[@]}"
}

start_capture() { # whole messages: with a short snap length libpcap's netlink buffer loses most of a busy group
  tcpdump -Z root -i in0 -s 128 -U -w "$folder/tap.pcap" 'udp or tcp' 2>"$folder/tap.log" & tap=$!
  tcpdump -Z root -i nflog:5 -s 65535 -U -w "$folder/nflog.pcap" 2>"$folder/nflog.log" & log=$!
  for name in tap nflog; do
    for _ in $(seq 50); do
      grep -q 'listening on' "$folder/$name.log" && break
      sleep 0.1
    done
    grep -q 'listening on' "$folder/$name.log" || { cat "$folder/$name.log" >&2; exit 77; }
  done
}
stop_capture() {
  sleep 2.5 # the kernel keeps log messages back for up to a second, and so may libpcap
  kill -INT "$tap" "$log"
  wait "$tap" "$log" || true
}
port() { # port PORT DIRECTION SENT DROPPED
  echo "port $*"
}
settled() { # settled TOOL WHAT: the watching service has logged a change
  for _ in $(seq 50); do
    "$1" check >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "$1 watch did not follow $2:" >&2
  "$1" check >&2
  exit 1
}

counted() { # counted PATTERN: packets of the iptables rules, not ours, that match
  { iptables-save -c && ip6tables-save -c; } | grep -v ' -j NFLOG' | grep -E -- "$1" | tr -d '[' |
    awk -F: '{ sum += $1 } END { print sum + 0 }'
}
total() { # what all rules and policies of iptables dropped
  local policies
  policies=$({ iptables-save -c && ip6tables-save -c; } | sed -n 's/^:[^ ]* DROP \[\([0-9]*\):.*/\1/p' | paste -sd+)
  echo $(($(counted ' -j (DROP|REJECT)') + policies))
}
watching() { # watching TOOL: what the service runs
  "$1" watch >&2 &
  watch=$!
}
undone() { # undone TOOL: the service stopped, no rule of ours is left
  if [[ -n ${watch:-} ]]; then
    kill "$watch"
    wait "$watch" || true
    # It is told to end, and may take a moment.
    for _ in {1..50}; do
      [[ -n $(pgrep -x nft) ]] || break
      sleep 0.1
    done
    [[ -z $(pgrep -x nft) ]] || { echo "$1 watch left its nft monitor behind" >&2 && exit 1; }
  fi
  "$1" undo
  if nft list ruleset 2>/dev/null | grep flowlake-drop: | grep -v flowlake-drop:rich >&2; then
    echo "$1 undo left rules behind" >&2
    exit 1
  fi
}
again() { # again TOOL: a second time changes nothing
  "$1" apply
  "$1" check
}

# shellcheck source=tests/it/recipes.rules.sh
source "$here/recipes.rules.sh"
case $recipe in
  nftables) nftables ;;
  iptables | ufw | docker | firewalld) "${recipe}_" ;;
  *) echo "recipes.sh: no recipe $recipe" >&2 && exit 64 ;;
esac
