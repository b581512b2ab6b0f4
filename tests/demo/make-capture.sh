#!/usr/bin/env bash
#
# Makes the demo's data: a packet capture of an on-premises file server and the VPC flow logs of
# the cloud instance at the other end of its site-to-site VPN, both of the same five minutes.
#
#   sudo tests/demo/make-capture.sh [OUTPUT_DIRECTORY]
#
# Why in this way: the packets come from real TCP/IP stacks and real programs (curl, ping, ssh
# against sshd, dnsmasq), so that handshakes, closes, resets and delayed acknowledgements are as
# on a real network and not as the author of a generator thinks of them. Segmentation offloads
# are off, so that a packet in the capture is a packet on the wire and both ends count the same.
# Everything runs in network namespaces without a way out: nothing leaves this machine.
#
#   client 10.20.1.50 ------+
#   dns 10.20.1.53 ---------+-- router (site and VPN) --+-- cloud 10.40.2.20
#   fileserver 10.20.1.10 --+                           +-- internet 198.51.100.77
#
# The agent would run on the file server: its capture is the first fixture. The capture of the
# cloud instance is turned into flow log files by cloud_flow_logs.py and is then thrown away.
#
# Needs root and: curl dnsmasq ethtool iproute2 iputils-ping nftables openssh-client
# openssh-server procps python3 sshpass tcpdump. Takes five to eleven minutes: the traffic begins
# at a fixed place in the five minutes of a flow log file, so that the result always has two files
# and the same events in the same windows.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${1:-$HERE/../fixtures/demo}

DURATION=280         # seconds of traffic
LIMIT=720            # seconds after which a program left over ends itself
UPLOAD=25000000      # bytes to the cloud over IPv4 ...
UPLOAD_RATE=500000   # ... slow enough to span two windows
UPLOAD6=1000000      # bytes to the cloud over IPv6
LOGINS=40            # tries of the SSH brute force
MAX_FIXTURE=1500000  # bytes of the compressed capture

FILESERVER=10.20.1.10 FILESERVER6=2001:db8:20:1::10
CLOUD=10.40.2.20 CLOUD6=2001:db8:40:2::20

if [[ $EUID -ne 0 ]]; then
  echo "make-capture.sh: needs root (network namespaces)" >&2
  exit 1
fi
for tool in curl dnsmasq ethtool getent gzip ip nft pgrep ping python3 ssh sshd ssh-keygen sshpass tcpdump; do
  if ! PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null; then
    echo "make-capture.sh: $tool is missing" >&2
    exit 1
  fi
done
export PATH=$PATH:/usr/sbin:/sbin

WORK=$(mktemp -d)
NAMES=(fileserver client dns router cloud internet)
LOOPS=() # process ids of the traffic
SSHD=$(command -v sshd)

netns() { echo "flowlake-$$-$1"; }

cleanup() {
  local name pid
  # What runs in the namespaces was started here: the names carry this script's process id.
  for pid in "${LOOPS[@]}"; do
    # With what it waits for: a sleep is in no namespace.
    # shellcheck disable=SC2046 # one word for each process
    kill "$pid" $(pgrep -P "$pid") 2>/dev/null || true
  done
  for name in "${NAMES[@]}"; do
    for pid in $(ip netns pids "$(netns "$name")" 2>/dev/null || true); do
      kill "$pid" 2>/dev/null || true
    done
    ip netns del "$(netns "$name")" 2>/dev/null || true
  done
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { echo "$(date -u +%H:%M:%S) $*"; }

# enter NAME COMMAND...: becomes the command, in a namespace, with the site's resolver and with
# empty /run and /var/log, so that sshd finds its directory and writes no failed logins into this
# machine's records. For the background, where $! must be the command's own process id.
enter() {
  local name=$1
  shift
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec ip netns exec "$(netns "$name")" bash -c '
    mount --bind "$1" /etc/resolv.conf
    mount -t tmpfs tmpfs /var/log
    mount -t tmpfs tmpfs /run
    mkdir -p -m 0755 /run/sshd
    shift
    exec "$@"' enter "$WORK/resolv.conf" "$@"
}

# run NAME COMMAND...: the same, and comes back.
run() { (enter "$@"); }

# --- the network ---------------------------------------------------------------------------

# no_offloads NAME INTERFACE
no_offloads() {
  ip netns exec "$(netns "$1")" ethtool -K "$2" tso off gso off gro off sg off tx off rx off >/dev/null
}

# attach NAME NUMBER IPV4/LENGTH IPV6/LENGTH GATEWAY4 GATEWAY6: a host with an eth0 whose other
# end, to-NAME, is in the router.
attach() {
  local name=$1 number=$2 ns router
  ns=$(netns "$name")
  router=$(netns router)
  ip -n "$ns" link add eth0 address "02:00:00:00:00:$number" type veth \
    peer name "to-$name" address "02:00:00:00:01:$number" netns "$router"
  no_offloads "$name" eth0
  no_offloads router "to-$name"
  ip -n "$ns" link set eth0 mtu 1500 up
  ip -n "$ns" addr add "$3" dev eth0
  ip -n "$ns" addr add "$4" dev eth0 nodad
  ip -n "$router" link set "to-$name" mtu 1500 up
  ip -n "$ns" route add default via "$5"
  ip -n "$ns" -6 route add default via "$6"
}

build_network() {
  local name router
  router=$(netns router)
  for name in "${NAMES[@]}"; do
    ip netns add "$(netns "$name")"
    ip -n "$(netns "$name")" link set lo up
    # Addresses are static: no router solicitations.
    run "$name" bash -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra'
  done
  run router bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'

  ip -n "$router" link add lan address 02:00:00:00:01:01 type bridge
  no_offloads router lan
  ip -n "$router" link set lan up
  ip -n "$router" addr add 10.20.1.1/24 dev lan
  ip -n "$router" addr add 2001:db8:20:1::1/64 dev lan nodad
  attach fileserver 10 "$FILESERVER/24" "$FILESERVER6/64" 10.20.1.1 2001:db8:20:1::1
  attach client 50 10.20.1.50/24 2001:db8:20:1::50/64 10.20.1.1 2001:db8:20:1::1
  attach dns 53 10.20.1.53/24 2001:db8:20:1::53/64 10.20.1.1 2001:db8:20:1::1
  for name in fileserver client dns; do
    ip -n "$router" link set "to-$name" master lan
  done

  attach_far cloud 20 "$CLOUD/24" "$CLOUD6/64" 10.40.2.1 2001:db8:40:2::1
  attach_far internet 77 198.51.100.77/24 2001:db8:77::77/64 198.51.100.1 2001:db8:77::1

  # The cloud's security group, stateful and silent as the real one: what is not allowed gets no
  # answer. The counter is the check on cloud_flow_logs.py, which must find the same packets
  # rejected.
  run cloud nft -f - <<'NFT'
table inet security_group {
  counter dropped {}
  chain inbound {
    type filter hook input priority 0; policy accept;
    iif lo accept
    ct state established,related accept
    tcp dport { 443, 8080 } accept
    meta l4proto { icmp, ipv6-icmp } accept
    counter name dropped drop
  }
}
NFT
}

# attach_far NAME NUMBER IPV4/LENGTH IPV6/LENGTH ROUTER4 ROUTER6: a host beyond the router.
attach_far() {
  local router
  router=$(netns router)
  attach "$@"
  ip -n "$router" addr add "$5/24" dev "to-$1"
  ip -n "$router" addr add "$6/64" dev "to-$1" nodad
}

# --- servers and captures ------------------------------------------------------------------

start_servers() {
  # Names resolve to the site's hosts; anything unknown in the zone is NXDOMAIN.
  enter dns timeout "$LIMIT" dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
    --no-resolv --no-hosts --bind-interfaces --listen-address=10.20.1.53 --local=/corp.example/ \
    --host-record="fileserver.corp.example,$FILESERVER,$FILESERVER6" \
    --host-record="client.corp.example,10.20.1.50,2001:db8:20:1::50" \
    --host-record="app.cloud.example,$CLOUD,$CLOUD6" >"$WORK/dns.log" 2>&1 &
  enter fileserver timeout "$LIMIT" python3 "$HERE/traffic.py" serve --web 80 >"$WORK/web.log" 2>&1 &
  enter cloud timeout "$LIMIT" python3 "$HERE/traffic.py" serve --sink 443 --web 8080 >"$WORK/sink.log" 2>&1 &

  # A server nobody can log in to: the only user allowed does not exist.
  ssh-keygen -q -t ed25519 -N '' -C fileserver -f "$WORK/host_key"
  cat >"$WORK/sshd_config" <<CONFIG
HostKey $WORK/host_key
PidFile none
ListenAddress 0.0.0.0
ListenAddress ::
AllowUsers no-such-user
AuthorizedKeysFile none
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
CONFIG
  enter fileserver timeout "$LIMIT" "$SSHD" -D -f "$WORK/sshd_config" -E "$WORK/sshd.log" &
}

# capture NAME: 96 bytes hold all headers; the buffer is large enough to lose nothing.
capture() {
  enter "$1" timeout "$LIMIT" tcpdump -i eth0 -y EN10MB -s 96 -B 32768 -n -Z root \
    --time-stamp-precision=micro -w "$WORK/$1.pcap" 2>"$WORK/$1.tcpdump" &
}

# stop_capture PID NAME
stop_capture() {
  kill "$1"
  wait "$1" || true
  sed "s/^/$2: /" "$WORK/$2.tcpdump"
  if ! grep -q '^0 packets dropped by kernel' "$WORK/$2.tcpdump"; then
    echo "make-capture.sh: the capture of $2 is not complete" >&2
    exit 1
  fi
}

wait_for() { # NAME HOST PORT
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    # shellcheck disable=SC2016 # expanded by the inner shell
    if run "$1" bash -c ': <"/dev/tcp/$0/$1"' "$2" "$3" 2>/dev/null; then
      return
    fi
    sleep 0.2
  done
  echo "make-capture.sh: nothing answers on $2 port $3" >&2
  exit 1
}

# --- traffic -------------------------------------------------------------------------------

BEGIN=0
at() { # SECONDS: sleeps until so long after the beginning
  local now
  now=$(date +%s)
  if ((BEGIN + $1 > now)); then
    sleep "$((BEGIN + $1 - now))"
  fi
}
running() { (($(date +%s) < BEGIN + DURATION)); }
fetch() { # NAME URL [OPTION...]; the machine's own proxy settings and configuration do not count
  local name=$1 url=$2
  shift 2
  run "$name" curl -q --noproxy '*' -sS --max-time 10 -o /dev/null "$@" "$url"
}

web_from_client() {
  local sizes=(600 4000 18000 900 65000 250000) i=0
  while running; do
    fetch client "http://fileserver.corp.example/bytes/${sizes[i % 6]}" "-$((i / 2 % 2 ? 6 : 4))"
    i=$((i + 1))
    sleep 4
  done
}

web_from_cloud() {
  local sizes=(1200 30000 700 120000 6000) i=0
  while running; do
    if ((i % 2)); then
      fetch cloud "http://[$FILESERVER6]/bytes/${sizes[i % 5]}"
    else
      fetch cloud "http://$FILESERVER/bytes/${sizes[i % 5]}"
    fi
    i=$((i + 1))
    sleep 5
  done
}

# The file server looks at the application in the cloud, as a monitoring job would.
health_check() {
  while running; do
    fetch fileserver http://app.cloud.example:8080/bytes/64 -4
    sleep 20
  done
}

# Only the file server's lookups are in its capture: the switch keeps the client's from it.
lookups() { # NAME PERIOD
  local names=(app.cloud.example client.corp.example fileserver.corp.example printer.corp.example) i=0
  while running; do
    # The last name does not exist.
    run "$1" timeout 10 getent ahosts "${names[i % 4]}" >/dev/null || [[ $((i % 4)) -eq 3 ]]
    i=$((i + 1))
    sleep "$2"
  done
}

pings() {
  local second
  for second in 12 110 255; do
    at "$second"
    say "ping: client -> fileserver and fileserver -> cloud, IPv4 and IPv6"
    run client ping -q -c 5 -w 10 "$FILESERVER" >/dev/null
    run client ping -q -c 5 -w 10 "$FILESERVER6" >/dev/null
    run fileserver ping -q -c 3 -w 10 "$CLOUD" >/dev/null
    run fileserver ping -q -c 3 -w 10 "$CLOUD6" >/dev/null
  done
}

refused() {
  local second
  for second in 25 65 105 145 185 225 265; do
    at "$second"
    # 7: could not connect. Anything else is not what this event is about.
    fetch client "https://$FILESERVER:8443/" 2>/dev/null || [[ $? -eq 7 ]]
  done
}

scan_from_internet() {
  at 40
  say "port scan: internet -> fileserver, ports 21-80"
  say "port scan: $(run internet python3 "$HERE/traffic.py" scan "$FILESERVER" 21-80)"
}

brute_force() {
  local users=(root admin oracle backup) i code
  at 70
  say "SSH brute force: internet -> fileserver, $LOGINS logins"
  for ((i = 0; i < LOGINS; i++)); do
    code=0
    run internet timeout 20 sshpass -p "guess-$i" ssh -F /dev/null -o StrictHostKeyChecking=no \
      -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR \
      -o PubkeyAuthentication=no -o IdentityAgent=none -o NumberOfPasswordPrompts=1 \
      "${users[i % 4]}@$FILESERVER" true </dev/null 2>/dev/null || code=$?
    # 5: the password was wrong, 255: the server closed. A login is not to succeed.
    if [[ $code -ne 5 && $code -ne 255 ]]; then
      echo "make-capture.sh: ssh ended with $code" >&2
      return 1
    fi
  done
  say "SSH brute force: $(grep -c 'Failed password' "$WORK/sshd.log") failed logins"
}

scan_to_cloud() {
  at 130
  say "port scan: fileserver -> cloud, ports 1-150, 443 and 8080"
  say "port scan: $(run fileserver python3 "$HERE/traffic.py" scan "$CLOUD" 1-150,443,8080)"
}

uploads() {
  at 175
  say "upload: fileserver -> cloud port 443, $UPLOAD bytes over IPv4"
  run fileserver timeout 100 python3 "$HERE/traffic.py" put "$CLOUD" 443 "$UPLOAD" "$UPLOAD_RATE"
  say "upload: fileserver -> cloud port 443, $UPLOAD6 bytes over IPv6"
  run fileserver timeout 100 python3 "$HERE/traffic.py" put "$CLOUD6" 443 "$UPLOAD6" "$UPLOAD_RATE"
  say "upload: finished"
}

# --- all of it -----------------------------------------------------------------------------

# until_place SECONDS: how long it is to that place in the five minutes
until_place() { echo "$((($1 + 300 - $(date +%s) % 300) % 300))"; }

say "waits $(until_place 130) s"
sleep "$(until_place 130)"
echo "nameserver 10.20.1.53" >"$WORK/resolv.conf"
build_network
start_servers
wait_for client "$FILESERVER" 80
wait_for client "$FILESERVER" 22
wait_for fileserver "$CLOUD" 443
wait_for fileserver "$CLOUD" 8080

sleep "$(until_place 140)"
capture fileserver
onprem_pid=$!
capture cloud
cloud_pid=$!
sleep 2
dropped_before=$(run cloud nft list counter inet security_group dropped | awk '/packets/ { print $2 }')
BEGIN=$(date +%s)
say "begin"

web_from_client & LOOPS+=($!)
web_from_cloud & LOOPS+=($!)
health_check & LOOPS+=($!)
lookups fileserver 7 & LOOPS+=($!)
lookups client 11 & LOOPS+=($!)
pings & LOOPS+=($!)
refused & LOOPS+=($!)
scan_from_internet & LOOPS+=($!)
brute_force & LOOPS+=($!)
scan_to_cloud & LOOPS+=($!)
uploads & LOOPS+=($!)
for pid in "${LOOPS[@]}"; do
  wait "$pid" # a part that failed ends the script
done
sleep 2
say "end"
stop_capture "$onprem_pid" fileserver
stop_capture "$cloud_pid" cloud
dropped=$(run cloud nft list counter inet security_group dropped | awk '/packets/ { print $2 }')
dropped=$((dropped - dropped_before))

# --- fixtures ------------------------------------------------------------------------------

summary=$(python3 "$HERE/cloud_flow_logs.py" "$WORK/cloud.pcap" "$WORK/cloud")
echo "$summary"
if [[ $summary != *" rejected_packets=$dropped" ]]; then
  echo "make-capture.sh: the security group dropped $dropped packets, the records say otherwise" >&2
  exit 1
fi
gzip -9n <"$WORK/fileserver.pcap" >"$WORK/onprem.pcap.gz"
size=$(stat -c %s "$WORK/onprem.pcap.gz")
if ((size > MAX_FIXTURE)); then
  echo "make-capture.sh: the capture has $size bytes, more than $MAX_FIXTURE: make the upload smaller" >&2
  exit 1
fi
mkdir -p "$OUT"
rm -rf "${OUT:?}/cloud" "$OUT/onprem.pcap.gz"
cp "$WORK/onprem.pcap.gz" "$OUT/"
cp -r "$WORK/cloud" "$OUT/"
say "wrote $size bytes of capture and $(find "$OUT/cloud" -type f | wc -l) flow log files"
