# shellcheck shell=bash
# The firewalls of recipes.sh: each lays out its rules, applies its recipe, sends, and says what the rules dropped.
#
# Ports: 7001 to 7003 rules on input (UDP, TCP, reject), 7004 input's policy, 7005 accepted on input; 7006 a rule and 7007
# the policy on forward, 7008 accepted there; 7009 a rule and 7010 the policy on output; 7011 prerouting; 7012 invalid to
# conntrack. Where a firewall has no such place, its function says what it does with the port.

declare -A sent
hand_made() { # what is sent through a ruleset that is written by hand
  sent[7001]=$(send outside udp 7001 9.1 9.9 20)
  sent[7002]=$(send outside syn 7002 9.1 9.9)
  sent[7003]=$(send outside udp 7003 9.1 9.9)
  sent[7004]=$(send outside udp 7004 9.1 9.9)
  sent[7005]=$(send outside syn 7005 9.1 9.9)
  sent[7006]=$(send outside udp 7006 9.1 17.2)
  sent[7007]=$(send outside syn 7007 9.1 17.2)
  sent[7008]=$(send outside udp 7008 9.1 17.2)
  sent[7009]=$(send host udp 7009 9.9 9.1)
  sent[7010]=$(send host udp 7010 9.9 9.1)
  sent[7011]=$(send outside udp 7011 9.1 9.9)
  sent[7012]=$(send outside rst 7012 9.1 9.9)
}
hand_made_ports() {
  local name
  for name in 7001 7002 7003 7004 7006 7007 7011 7012; do port $name ingress "${sent[$name]}" "$(dropped $name)"; done
  for name in 7005 7008; do port $name ingress "${sent[$name]}" 0; done
  for name in 7009 7010; do port $name egress "${sent[$name]}" "$(dropped $name)"; done
}

nftables() {
  local name
  {
    echo "table inet filter {"
    # shellcheck disable=SC2154  # recipes.sh sets it
    echo "include \"$shipped/nftables.nft\""
    for name in 7001 7002 7003 7004 7006 7007 7009 7010 7011 7012; do echo "counter c$name { }"; done
    cat <<'END'
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    udp dport 7011 counter name c7011 goto flowlake-drop-prerouting
  }
  chain input {
    type filter hook input priority filter; policy drop;
    tcp dport 7012 ct state invalid counter name c7012
    ct state vmap { established : accept, related : accept, invalid : goto flowlake-drop-input }
    meta l4proto { icmp, ipv6-icmp } accept
    udp dport 7001 counter name c7001 goto flowlake-drop-input
    tcp dport 7002 counter name c7002 goto flowlake-drop-input
    udp dport 7003 counter name c7003 log prefix "flowlake-drop:input" group 5 snaplen 128 reject
    meta l4proto { tcp, udp } th dport 7005 accept
    udp dport 7004 counter name c7004
    jump flowlake-log-input
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    meta l4proto { icmp, ipv6-icmp } accept
    udp dport 7006 counter name c7006 goto flowlake-drop-forward
    udp dport 7008 accept
    tcp dport 7007 counter name c7007
    jump flowlake-log-forward
  }
  chain output {
    type filter hook output priority filter; policy drop;
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp, igmp } accept
    udp dport 7009 counter name c7009 goto flowlake-drop-output
    udp dport 7010 counter name c7010
    jump flowlake-log-output
  }
}
END
  } | nft -f -
  start_capture
  hand_made
  stop_capture
  dropped() { nft list counter inet filter "c$1" | grep -o 'packets [0-9]*' | cut -d' ' -f2; }
  hand_made_ports
  echo "total $(nft list counters table inet filter | awk '$1 == "packets" { sum += $2 } END { print sum }')"
}

iptables_rules() { # iptables_rules ICMP: the same rules for both protocols
  cat <<END
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp --dport 7011 -j DROP
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:mine - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p $1 -j ACCEPT
-A INPUT -j mine
-A INPUT -p tcp --dport 7005 -j ACCEPT
-A INPUT -p udp --dport 7004 -j RETURN
-A mine -p udp --dport 7001 -m comment --comment "not -j DROP" -j DROP
-A mine -p tcp --dport 7002 -j REJECT --reject-with tcp-reset
-A mine -p udp --dport 7003 -j REJECT
-A FORWARD -p $1 -j ACCEPT
-A FORWARD -p udp --dport 7006 -j DROP
-A FORWARD -p udp --dport 7008 -j ACCEPT
-A FORWARD -p tcp --dport 7007
-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A OUTPUT -p $1 -j ACCEPT
-A OUTPUT -p igmp -j ACCEPT
-A OUTPUT -p udp --dport 7009 -j DROP
-A OUTPUT -p udp --dport 7010
COMMIT
END
}
iptables_() {
  iptables_rules icmp | iptables-restore
  iptables_rules ipv6-icmp | ip6tables-restore
  saved() { { iptables-save && ip6tables-save; } 2>/dev/null | sed '/^#/d; s/^\(:.*\) \[.*/\1/'; }
  saved >/run/before
  flowlake-iptables apply
  again flowlake-iptables
  start_capture
  before=$(total)
  hand_made
  stop_capture
  dropped() { if [[ $1 == 7012 ]]; then counted '--ctstate INVALID -j DROP'; else counted "--dport $1( |\$)"; fi; }
  hand_made_ports
  echo "total $(($(total) - before))"
  undone flowlake-iptables
  saved | diff /run/before - >&2
}

ufw_() {
  own /etc/ufw
  own /etc/default
  install -m 755 "$shipped/ufw-after.init" /etc/ufw/after.init
  sed -i 's/^IPT_SYSCTL=.*/IPT_SYSCTL=/' /etc/default/ufw # no settings but the test's
  {
    watching flowlake-iptables
    ufw --force enable
    ufw logging off
    ufw deny 7001/udp
    ufw reject 7003/udp
    ufw allow 7005
    ufw limit 7014/tcp
    ufw deny 7013/udp
    ufw route deny proto udp to any port 7006
    ufw route allow proto udp to any port 7008
    ufw deny out 7009/udp
    settled flowlake-iptables "ufw's commands"
    ufw reload
    flowlake-iptables check
    # On running rules: one more, one less.
    ufw deny 7002/tcp
    ufw delete deny 7013/udp
    ufw allow 7013/udp
    settled flowlake-iptables "a new ufw deny"
  } >&2
  start_capture
  before=$(total)
  hand_made
  sent[7014]=$(send outside syn 7014 9.1 9.9)
  sent[7013]=$(send outside udp 7013 9.1 9.9)
  stop_capture
  for name in 7001 7002 7003; do
    port $name ingress "${sent[$name]}" "$(counted "ufw6?-user-input .*--dport $name .*(DROP|REJECT)")"
  done
  for name in 7004 7007 7011; do port $name ingress "${sent[$name]}" "${sent[$name]}"; done
  for name in 7005 7008 7013; do port $name ingress "${sent[$name]}" 0; done
  port 7006 ingress "${sent[7006]}" "$(counted 'ufw6?-user-forward .*--dport 7006 .*DROP')"
  port 7009 egress "${sent[7009]}" "$(counted 'ufw6?-user-output .*--dport 7009 .*DROP')"
  port 7014 ingress "${sent[7014]}" "$(counted 'ufw6?-user-limit -j REJECT')"
  port 7012 ingress "${sent[7012]}" "$(counted 'before-input .*INVALID -j DROP')"
  echo "total $(($(total) - before))"
  ufw disable >&2
  flowlake-iptables check # stopped: no drop is left, and no log
  undone flowlake-iptables
}

docker_rules() { # docker_rules CONTAINER SECOND ICMP: as dockerd 28 lays them out for docker0 with a port 7008 published
  cat <<END
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d $2 ! -i docker0 -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d $1 ! -i docker0 -o docker0 -p udp -m udp --dport 7008 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -p udp -m udp --dport 7006 -j DROP
COMMIT
END
}
docker_() {
  docker_rules 10.17.0.2/32 10.17.0.3/32 | iptables-restore
  docker_rules fd17::2/128 fd17::3/128 | ip6tables-restore
  # What the drop-in runs once dockerd has started.
  eval "$(sed -n 's/^ExecStartPost=-//p' "$shipped/docker.conf")"
  again flowlake-iptables
  watching flowlake-iptables
  sleep 1
  # A second network while dockerd runs.
  ip link add br-two type bridge
  ip link set br-two up
  ip addr add 10.18.0.9/24 dev br-two
  ip addr add fd18::9/64 dev br-two nodad
  for tool in iptables ip6tables; do
    "$tool" -I DOCKER-ISOLATION-STAGE-1 -i br-two ! -o br-two -j DOCKER-ISOLATION-STAGE-2
    "$tool" -I DOCKER-ISOLATION-STAGE-2 -o br-two -j DROP
    "$tool" -A DOCKER ! -i br-two -o br-two -j DROP
  done
  settled flowlake-iptables "a new network"
  ip route add 10.99.0.0/16 via 10.9.0.1
  ip -6 route add fd99::/64 via fd9::1
  start_capture
  before=$(total)
  sent[7004]=$(send outside udp 7004 9.1 99.1)
  sent[7005]=$(send outside syn 7005 9.1 9.9)
  sent[7006]=$(send outside udp 7006 9.1 17.2)
  sent[7007]=$(send outside syn 7007 9.1 17.2)
  sent[7008]=$(send outside udp 7008 9.1 17.2)
  sent[7010]=$(send inner udp 7010 17.2 18.2)
  sent[7011]=$(send outside udp 7011 9.1 17.3)
  stop_capture
  port 7004 ingress "${sent[7004]}" "${sent[7004]}"
  port 7006 ingress "${sent[7006]}" "$(counted 'DOCKER-USER .*-j DROP')"
  port 7007 ingress "${sent[7007]}" "$(counted 'DOCKER ! -i docker0 -o docker0 -j DROP')"
  port 7010 unseen "${sent[7010]}" "$(counted 'STAGE-2 -o br-two -j DROP')"
  port 7011 ingress "${sent[7011]}" "$(counted 'PREROUTING .*-j DROP')"
  for name in 7005 7008; do port $name ingress "${sent[$name]}" 0; done
  echo "total $(($(total) - before))"
  undone flowlake-iptables
}

firewalld_() {
  for path in /etc/firewalld /var/log; do own "$path"; done
  cat >/run/bus.conf <<'END'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_destination="*" eavesdrop="true"/> <allow eavesdrop="true"/>
  </policy>
</busconfig>
END
  dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile >&2 &
  while [[ ! -S /run/dbus/system_bus_socket ]]; do sleep 0.1; done
  watching flowlake-firewalld
  firewalld --nofork --nopid >&2 &
  for _ in $(seq 100); do
    firewall-cmd --state >/dev/null 2>&1 && break
    sleep 0.1
  done
  {
    cmd=(firewall-cmd --permanent)
    "${cmd[@]}" --zone=public --add-interface=in0
    "${cmd[@]}" --new-zone=inner
    "${cmd[@]}" --zone=inner --add-interface=docker0
    "${cmd[@]}" --zone=public --add-port=7005/tcp --add-port=7013/udp
    "${cmd[@]}" --zone=public --add-rich-rule='rule port port=7001 protocol=udp drop'
    "${cmd[@]}" --zone=public --add-rich-rule='rule port port=7003 protocol=udp reject'
    # As the recipe says for a priority of one's own.
    rule='rule priority=-5 port port=7011 protocol=udp nflog group=5 prefix="flowlake-drop:rich" drop'
    "${cmd[@]}" --zone=public --add-rich-rule="$rule"
    for source in 10.9.0.7 fd9::7; do "${cmd[@]}" --zone=drop --add-source=$source; done
    "${cmd[@]}" --new-policy=inwards
    "${cmd[@]}" --policy=inwards --add-ingress-zone=public
    "${cmd[@]}" --policy=inwards --add-egress-zone=inner
    "${cmd[@]}" --policy=inwards --add-port=7008/udp
    "${cmd[@]}" --policy=inwards --add-rich-rule='rule port port=7006 protocol=udp drop'
    "${cmd[@]}" --new-policy=outwards
    "${cmd[@]}" --policy=outwards --add-ingress-zone=HOST
    "${cmd[@]}" --policy=outwards --add-egress-zone=public
    "${cmd[@]}" --policy=outwards --add-rich-rule='rule port port=7009 protocol=udp drop'
    firewall-cmd --reload
    settled flowlake-firewalld "a reload"
    # On running rules: one more, one less.
    firewall-cmd --zone=public --add-rich-rule='rule port port=7002 protocol=tcp reject'
    settled flowlake-firewalld "a new rich rule"
    firewall-cmd --zone=public --add-rich-rule='rule port port=7013 protocol=udp drop'
    settled flowlake-firewalld "a new rich rule"
    firewall-cmd --zone=public --remove-rich-rule='rule port port=7013 protocol=udp drop'
    settled flowlake-firewalld "a rich rule that went"
    again flowlake-firewalld
  } >&2
  start_capture
  hand_made
  sent[7014]=$(send outside udp 7014 9.7 9.9)
  sent[7013]=$(send outside udp 7013 9.1 9.9)
  stop_capture
  # firewalld's rules do not count: what was sent to them is what they dropped.
  for name in 7001 7002 7003 7004 7006 7007 7011 7012 7014; do port $name ingress "${sent[$name]}" "${sent[$name]}"; done
  for name in 7005 7008 7013; do port $name ingress "${sent[$name]}" 0; done
  port 7009 egress "${sent[7009]}" "${sent[7009]}"
  undone flowlake-firewalld
}
