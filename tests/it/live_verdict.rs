//! The verdict of a real firewall, live, in network namespaces of the test's own making.

use std::{collections::BTreeMap, process::Command, thread, time::Duration};

use crate::{
    lab::{Lab, ip, parse, script, send, sum},
    support::{Summary, agent, loudly, run},
};

type Record = BTreeMap<String, String>;

/// What nftables drops and logs is REJECT, as many as its counters say: on every hook, TCP and UDP, IPv4 and IPv6, behind
/// DNAT, and of fragments. What was seen and not dropped is ACCEPT.
#[test]
fn rejects_equal_the_counters_of_nftables() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    lab.route();
    let log = |rule: &str, name: &str| {
        format!("{rule} counter name {name} log prefix \"drop:{name} \" group 5 snaplen 128 drop")
    };
    let names =
        ["prerouting", "input", "input_tcp", "translated", "fragments", "answered", "forward", "output", "leaving"];
    let of_inet = &names[..names.len() - 1];
    let counters: String = of_inet.iter().map(|name| format!("counter {name} {{ }}\n")).collect();
    // Half of the source ports of 7001 and 7002 are dropped.
    let rules = format!(
        "table inet firewall {{\n{counters}\
         chain prerouting {{ type filter hook prerouting priority -150; {}\n }}\n\
         chain input {{ type filter hook input priority 0; {} ; {} ; {} ; {} ; {}\n }}\n\
         chain forward {{ type filter hook forward priority 0; {}\n }}\n\
         chain output {{ type filter hook output priority 0; {}\n }}\n}}\n\
         table ip nat {{ chain prerouting {{ type nat hook prerouting priority -100; udp dport 7005 dnat to 10.9.0.2:7055\n}}\n}}\n",
        log("udp dport 7001 udp sport 6000-6009", "prerouting"),
        log("udp dport 7002 udp sport 6000-6009", "input"),
        log("tcp dport 7012", "input_tcp"),
        log("udp dport 7055", "translated"),
        log("udp dport 7200", "fragments"),
        // A firewall that says so to the sender is heard twice, by its log and by its answer.
        log("udp dport 7008", "answered").replace(" drop", " reject with icmpx type admin-prohibited"),
        log("udp dport 7003", "forward"),
        log("udp dport 7004", "output"),
    );
    // On its way out of a device a packet has its Ethernet header, and nobody sees it after that.
    let leaving = format!(
        "table netdev leaving {{ counter leaving {{ }}\nchain egress {{ type filter hook egress device in0 priority 0; {}\n }}\n}}\n",
        log("udp dport 7009", "leaving")
    );
    crate::support::write(&lab.path(""), "rules.nft", format!("{rules}{leaving}").as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    // A firewall elsewhere that refuses and says so.
    let refuse = "table inet refuse { chain input { type filter hook input priority 0;
                  udp dport 7006 counter reject with icmpx type admin-prohibited\n}\n}\n";
    crate::support::write(&lab.path(""), "refuse.nft", refuse.as_bytes());
    lab.shell(&lab.outside, &format!("nft -f {}", lab.path("refuse.nft").display())).ended(0);
    let running =
        lab.agent("[verdict]\nnflog-groups = [5]\nicmp-prohibited = true\n[[capture]]\ninterface = \"in0\"\n");
    // A second reader of the group is told so.
    let other = crate::support::write(
        &lab.path(""),
        "other.toml",
        format!(
            "account-id = \"111122223333\"\nregion = \"r\"\nstate = \"{}\"\n[verdict]\nnflog-groups = [5]\n",
            lab.path("other").display()
        )
        .as_bytes(),
    );
    let program = agent();
    let mut second = Lab::command(&lab.host);
    run(second.arg(program.get_program()).args(["run", "--config"]).arg(other)).ended(1).says("another process reads");

    let sender = script("live_traffic.py");
    let sender = sender.display();
    for (namespace, what) in [
        (&lab.outside, "ports 6000 20 10.9.0.2 7001"),
        (&lab.outside, "ports 6000 20 fd09::2 7001"),
        (&lab.outside, "ports 6000 20 10.9.0.2 7002"),
        (&lab.outside, "ports 6000 20 fd09::2 7002"),
        (&lab.outside, "ports 6000 5 10.8.0.1 7003"),
        (&lab.outside, "ports 6000 5 fd08::1 7003"),
        (&lab.host, "ports 6000 5 10.9.0.1 7004"),
        (&lab.host, "ports 6000 5 fd09::1 7004"),
        (&lab.outside, "ports 6000 5 10.9.0.2 7005"),
        (&lab.outside, "ports 6000 1 10.9.0.2 7008"),
        (&lab.outside, "ports 6000 1 fd09::2 7008"),
        (&lab.host, "ports 6000 5 10.9.0.1 7009"),
        (&lab.host, "ports 6000 5 fd09::1 7009"),
        (&lab.host, "ports 6000 1 10.9.0.1 7006"),
        (&lab.host, "ports 6000 1 fd09::1 7006"),
        (&lab.outside, "udp 6 4000 10.9.0.2 7200"),
        (&lab.outside, "connect 4 10.9.0.2 7012"),
        (&lab.outside, "connect 4 fd09::2 7012"),
    ] {
        lab.shell(namespace, &format!("python3 {sender} {what}")).ended(0);
    }
    let said = running.stop();
    let listed = lab.shell(&lab.host, "nft list counters").ended(0).text();
    let counted = |name: &str| -> u64 {
        let after = listed.split(&format!("counter {name} {{")).nth(1).expect("the counter");
        let words: Vec<&str> = after.split_whitespace().collect();
        words[1].parse().expect("a number")
    };
    let records = lab.records();
    let packets = |action: &str, port: &str| sum(&records, "packets", &[("action", action), ("dstport", port)]);
    let mut line = String::new();
    for (name, port) in names.iter().zip(["7001", "7002", "7012", "7055", "7200", "7008", "7003", "7004", "7009"]) {
        assert!(counted(name) > 0, "{name}\n{listed}");
        assert_eq!(packets("REJECT", port), counted(name), "{name}\n{said}");
        line.push_str(&format!(" {name} {}", counted(name)));
    }
    // Half was dropped, and what was sent is either.
    for port in ["7001", "7002"] {
        assert_eq!((packets("REJECT", port), packets("ACCEPT", port)), (60, 60), "{port}\n{said}");
    }
    // All of it was dropped on its way in, or never reached the wire.
    for port in ["7003", "7004", "7008", "7009", "7012"] {
        assert_eq!(packets("ACCEPT", port), 0, "{port}\n{said}");
    }
    // Seen on its way out, and refused elsewhere.
    assert_eq!((packets("REJECT", "7006"), packets("ACCEPT", "7006")), (6, 0), "{said}");
    // The firewall saw another port than the wire had: both are said, and that they did not meet.
    assert_eq!(packets("ACCEPT", "7005"), 15);
    assert!(said.contains("15 of them were not seen on their way in"), "{said}");
    // It saw six datagrams put together, the wire three fragments of each: none of them is accepted.
    assert_eq!((packets("REJECT", "7200"), packets("ACCEPT", "7200")), (6, 0), "{said}");
    assert!(!records.iter().any(|record| record["log-status"] == "SKIPDATA"), "{said}");
    loudly(&format!("firewall, live: REJECT equals the counters:{line}"));
}

/// The agent is held up while the firewall drops more than the log's queue holds: nobody knows how many drops were lost, so the
/// window is SKIPDATA, the count is "or more", and no drop that was read is missing.
#[test]
fn an_overflow_of_the_firewalls_log_is_skipdata() {
    const SENT: u64 = 60_000;
    let Some(lab) = Lab::new() else {
        return;
    };
    let rules = "table inet firewall { counter dropped { }
                 chain input { type filter hook input priority 0; udp dport 7020 counter name dropped log group 5 drop
                 }\n}\n";
    crate::support::write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    let running = lab.agent("[verdict]\nnflog-groups = [5]\n[[capture]]\ninterface = \"in0\"\nring-mib = 256\n");
    running.signal("-STOP");
    send(&lab, &lab.outside, &format!("{SENT} 1400 10.9.0.2 7020"));
    running.signal("-CONT");
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    assert!(said.contains("or more drops of the firewall, whose log overflowed"), "{said}");
    assert!(Summary::of(&said).adds_up(), "{said}");
    let records = lab.records();
    let packets = |action: &str| sum(&records, "packets", &[("action", action), ("dstport", "7020")]);
    let (rejected, accepted) = (packets("REJECT"), packets("ACCEPT"));
    assert!(rejected > 0 && accepted > 0, "{said}");
    assert_eq!(rejected + accepted, SENT, "{said}");
    assert!(records.iter().any(|record| record["log-status"] == "SKIPDATA"), "{said}");
    loudly(&format!(
        "firewall's log overflowed: {SENT} dropped = {rejected} REJECT + {accepted} not known, and SKIPDATA"
    ));
}

/// Opening many interfaces takes a while. What is dropped meanwhile on the first of them is known to be its own.
#[test]
fn drops_while_other_interfaces_are_opened_are_known() {
    let Some(lab) = Lab::new() else {
        return;
    };
    lab.shell(
        &lab.host,
        "for n in 1 2 3 4 5 6; do ip link add inx$n type veth peer name y$n; ip link set inx$n up; done",
    )
    .ended(0);
    let rules = "table inet firewall { chain input { type filter hook input priority 0; udp dport 7031 log group 5 snaplen 128 drop\n}\n}\n";
    crate::support::write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    let mut sender = Lab::command(&lab.outside);
    sender.arg("python3").arg(script("live_traffic.py")).args(["steady", "3000", "10.9.0.2", "7031"]);
    let mut sender = sender.spawn().expect("python3 starts");
    let running = lab.agent("[verdict]\nnflog-groups = [5]\n[[capture]]\ninterface = \"in*\"\nthreads = 2\n");
    assert!(sender.wait().expect("it ends").success());
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    let records = lab.records();
    let packets = |action: &str| sum(&records, "packets", &[("action", action), ("dstport", "7031")]);
    assert_eq!(packets("ACCEPT"), 0, "{said}");
    assert!(packets("REJECT") > 1000, "{said}");
}

/// Of a bridge that is not captured the kernel may not say which port a packet came by: its drops are no port's, and that is said.
#[test]
fn drops_of_a_bridge_are_given_to_no_port_by_guess() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let made = lab.shell(
        &lab.host,
        "ip link add br0 type bridge; ip link add inp type veth peer name other
         ip link set inp master br0 up; ip link set in0 master br0; ip link set other up; ip link set br0 up
         ip addr flush dev in0; ip addr add 10.9.0.2/24 dev br0; ip link set br0 address 02:00:00:00:00:02
         [ ! -e /proc/sys/net/bridge ] || sysctl -qw net.bridge.bridge-nf-call-iptables=0",
    );
    if made.code != 0 {
        loudly("SKIPPED: a bridge needs the bridge driver");
        return;
    }
    let rules = "table inet firewall { chain input { type filter hook input priority 0; udp dport 7032 log group 5 snaplen 128 drop\n}\n}\n";
    crate::support::write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    let running = lab.agent("[verdict]\nnflog-groups = [5]\n[[capture]]\ninterface = \"in*\"\n");
    running.wait_for("br0 is not captured, but a part of it is");
    send(&lab, &lab.outside, "60 100 10.9.0.2 7032");
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    let records = lab.records();
    let packets = |action: &str| sum(&records, "packets", &[("action", action), ("dstport", "7032")]);
    assert_eq!((packets("REJECT"), packets("ACCEPT")), (0, 60), "{said}");
    assert!(said.contains(" 60 more were on interfaces that are not captured"), "{said}");
}

/// The kernel keeps its log back for up to a second: what was dropped on an interface that vanishes right after is no ACCEPT.
#[test]
fn late_drops_belong_to_the_interface_that_vanished() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let rules = "table inet firewall { chain input { type filter hook input priority 0; udp dport 7030 log group 5 snaplen 128 drop\n}\n}\n";
    crate::support::write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    let running = lab.agent("[verdict]\nnflog-groups = [5]\n[[capture]]\ninterface = \"in*\"\n");
    send(&lab, &lab.outside, "60 100 10.9.0.2 7030");
    ip(&["-n", &lab.host, "link", "set", "in0", "down"]);
    ip(&["-n", &lab.host, "link", "set", "in0", "name", "in1", "up"]);
    ip(&["-n", &lab.host, "link", "del", "in1"]);
    thread::sleep(Duration::from_millis(2500));
    let said = running.stop();
    let records = lab.records();
    let packets = |action: &str| sum(&records, "packets", &[("action", action), ("dstport", "7030")]);
    assert_eq!((packets("REJECT"), packets("ACCEPT")), (60, 0), "{said}");
    let ids: std::collections::BTreeSet<&String> =
        records.iter().filter(|record| record["dstport"] == "7030").map(|record| &record["interface-id"]).collect();
    assert_eq!(ids.len(), 1, "{said}");
}

/// The firewall logs each drop to two groups: the agent reads one, tcpdump the other, and a second tcpdump the interface. Both
/// captures, replayed with the agent's settings, give the live run's records: of what was dropped in part and whole, of
/// fragments, and of what was translated before the drop.
#[test]
fn records_with_drops_equal_a_replayed_tcpdump() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let drop = |rule: &str| format!("{rule} log group 5 snaplen 256 log group 6 snaplen 256 drop\n");
    let rules = format!(
        "table inet firewall {{\n\
         chain prerouting {{ type filter hook prerouting priority -150; {}}}\n\
         chain input {{ type filter hook input priority 0; {}{}{}{}}}\n}}\n\
         table ip nat {{ chain prerouting {{ type nat hook prerouting priority -100; udp dport 7005 dnat to 10.9.0.2:7055\n}}\n}}\n",
        drop("udp dport 7001 udp sport 6000-6009"),
        drop("udp dport 7002 udp sport 6000-6009"),
        drop("tcp dport 7012"),
        drop("udp dport 7055"),
        drop("udp dport 7200"),
    );
    crate::support::write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    Lab::wait_for_quiet();
    let running = lab.agent("[verdict]\nnflog-groups = [5]\n[[capture]]\ninterface = \"in0\"\n");
    let mut dumps =
        [lab.dump_to("tap", "in0", &["-Q", "in", "-s", "256"]), lab.dump_to("drops", "nflog:6", &["-s", "65535"])];
    let sender = script("live_traffic.py");
    for what in [
        "ports 6000 20 10.9.0.2 7001",
        "ports 6000 20 fd09::2 7001",
        "ports 6000 20 10.9.0.2 7002",
        "ports 6000 5 10.9.0.2 7005",
        "ports 6000 5 10.9.0.2 7006",
        "udp 6 4000 10.9.0.2 7200",
        "udp 6 4000 fd09::2 7201",
        "connect 4 10.9.0.2 7012",
        "connect 4 fd09::2 7012",
    ] {
        // A record has whole seconds, and two captures of one packet differ by microseconds.
        lab.shell(&lab.outside, &format!("python3 {} settled {what}", sender.display())).ended(0);
    }
    // The kernel keeps messages of the log back for up to a second.
    thread::sleep(Duration::from_millis(1500));
    for dump in &mut dumps {
        run(Command::new("kill").args(["-INT", &dump.id().to_string()]));
        dump.wait().expect("it ends");
    }
    let said = running.stop();
    let live: Vec<_> = lab.records().into_iter().filter(|record| record["flow-direction"] == "ingress").collect();
    let mut replay = agent();
    replay.arg("replay").arg(lab.path("tap.pcap")).arg("--verdict").arg(lab.path("drops.pcap"));
    replay.args(["--log-format", "all", "--interface-id", &live[0]["interface-id"], "--account-id", "111122223333"]);
    replay.args(["--region", "eu-central-1"]);
    let mut replayed = parse(&run(&mut replay).ended(0).text());
    for record in &mut replayed {
        // What a capture of Ethernet frames does not tell, and whose machine it was.
        for field in ["flow-direction", "instance-tag", "interface-tag"] {
            record.insert(field.to_owned(), live[0][field].clone());
        }
    }
    let only = |these: &[Record], others: &[Record]| {
        these.iter().filter(|record| !others.contains(record)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(only(&live, &replayed), only(&replayed, &live), "{said}");
    assert_eq!(live.len(), replayed.len());
    for (action, port, packets) in [
        ("REJECT", "7001", 60),
        ("ACCEPT", "7001", 60),
        ("REJECT", "7055", 15),
        ("REJECT", "7200", 6),
        ("ACCEPT", "7201", 18),
    ] {
        assert_eq!(
            sum(&replayed, "packets", &[("action", action), ("dstport", port)]),
            packets,
            "{action} {port}\n{said}"
        );
    }
    assert!(sum(&replayed, "packets", &[("action", "REJECT"), ("dstport", "7012")]) >= 8);
    let rejects = live.iter().filter(|record| record["action"] == "REJECT").count();
    loudly(&format!("firewall, live: {} records, {rejects} of them REJECT, equal the replayed tcpdumps", live.len()));
}
