//! The service when things go wrong: floods, devices that vanish or cannot be captured, folders that cannot be written.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use crate::{
    lab::{Lab, ip, script, send, sum},
    support::{Summary, loudly, run, write},
};

fn flood(lab: &Lab, count: u32, port: u16) {
    let sender = script("live_traffic.py");
    lab.shell(&lab.outside, &format!("python3 {} flows {count} 10.9.0.2 {port}", sender.display())).ended(0);
}

/// More flows than the table holds, some of them all dropped by the firewall: none is lost, none of these is called accepted, and
/// no window that had them is called quiet.
#[test]
fn a_blocked_flood_is_rejected_and_another_recorded() {
    const FLOWS: u32 = 30_000;
    let Some(lab) = Lab::new() else {
        return;
    };
    let rules = "table inet firewall { counter dropped { }
                 chain prerouting { type filter hook prerouting priority -150;
                 udp dport 7801 counter name dropped log group 5 snaplen 128 drop
                 }\n}\n";
    write(&lab.path(""), "rules.nft", rules.as_bytes());
    lab.shell(&lab.host, &format!("nft -f {}", lab.path("rules.nft").display())).ended(0);
    let running = lab.agent("max-flows = 10000\n[verdict]\nnflog-groups = [5]\n");
    flood(&lab, FLOWS, 7801);
    flood(&lab, FLOWS, 7802);
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    assert!(Summary::of(&said).adds_up(), "{said}");
    let records = lab.records();
    let packets = |port: &str, action: &str| sum(&records, "packets", &[("dstport", port), ("action", action)]);
    let listed = lab.shell(&lab.host, "nft list counter inet firewall dropped").ended(0).text();
    assert!(listed.contains(&format!("packets {FLOWS} ")), "{listed}");
    assert_eq!((packets("7801", "REJECT"), packets("7801", "ACCEPT")), (FLOWS.into(), 0), "{said}");
    assert_eq!((packets("7802", "ACCEPT"), packets("7802", "REJECT")), (FLOWS.into(), 0), "{said}");
    assert!(!records.iter().any(|record| record["log-status"] != "OK"), "{said}");
    loudly(&format!("flood: {FLOWS} dropped and {FLOWS} accepted, with a table of 10000"));
}

/// A tunnel device cannot be captured with a filter for VLANs. It is up, so what it carries is not recorded: SKIPDATA, not NODATA.
#[test]
fn a_device_that_is_up_and_cannot_be_captured_is_skipdata() {
    let Some(lab) = Lab::new() else {
        return;
    };
    if lab.shell(&lab.host, "ip tuntap add tun0 mode tun && ip link set tun0 up").code != 0 {
        loudly("SKIPPED: a device that cannot be captured needs the tun driver");
        return;
    }
    let more = "[[capture]]\ninterface = \"tun0\"\nfilter = \"ether src 02:00:00:00:00:01\"\n\
                [[capture]]\ninterface = \"eht0\"\n";
    let running = lab.start_agent("state", &[], more);
    running.wait_for("tun0: not captured");
    running.wait_for("capture 'eht0': no such interface now");
    running.signal("-HUP");
    running.wait_for("SIGHUP changes nothing");
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    let records = lab.records();
    assert!(
        !records.is_empty() && records.iter().all(|record| record["log-status"] == "SKIPDATA"),
        "{records:?}\n{said}"
    );

    let running = lab.start_agent("other", &["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"], "");
    assert!(running.ended(1).contains("capturing needs CAP_NET_RAW"));
}

/// Several threads, begun in the middle of traffic: every packet is counted once. Two agents that have the same process number do
/// not take each other's packets.
#[test]
fn fanout_counts_every_packet_once_and_agents_do_not_share_it() {
    const FLOWS: u32 = 60_000;
    let Some(lab) = Lab::new() else {
        return;
    };
    let capture =
        "[[capture]]\ninterface = \"in0\"\nthreads = 4\nring-mib = 8\nfilter = \"udp dst portrange 7800-7899\"\n";
    let own_numbers = ["unshare", "--pid", "--fork", "--kill-child"];
    let agents = [("one", 7803), ("two", 7813)].map(|(state, port)| {
        let running = lab.start_agent(state, &own_numbers, capture);
        let sending = thread::scope(|scope| {
            let sender = scope.spawn(|| flood(&lab, FLOWS, port));
            running.wait_for("captured as");
            sender.join()
        });
        sending.expect("the traffic was sent");
        running
    });
    flood(&lab, 1000, 7804);
    thread::sleep(Duration::from_millis(700));
    for (running, (state, port)) in agents.into_iter().zip([("one", "7803"), ("two", "7813")]) {
        // The signal is for the agent, which is the child of what made its numbers.
        running.signal_child("-TERM");
        let said = running.ended(0);
        assert!(Summary::of(&said).adds_up(), "{said}");
        let records = lab.records_of(state);
        assert_eq!(sum(&records, "packets", &[("dstport", "7804")]), 1000, "{state}: {said}");
        let mut seen: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for record in records.iter().filter(|record| record["dstport"] == port) {
            let flow = (record["srcaddr"].as_str(), record["srcport"].as_str(), record["dstport"].as_str());
            *seen.entry(flow).or_default() += record["packets"].parse::<u64>().expect("a number");
        }
        assert!(seen.values().all(|packets| *packets == 1), "{state}: counted twice\n{said}");
        loudly(&format!("fanout, agent {state}: {} of {FLOWS} flows seen since it began, each once", seen.len()));
    }
}

/// Deleted while packets go out: what was in the ring is recorded.
#[test]
fn an_interface_that_vanishes_gives_what_it_sent() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    let mut dump = lab.dump("out");
    let sender = script("live_traffic.py");
    thread::scope(|scope| {
        scope.spawn(|| lab.shell(&lab.host, &format!("python3 {} udp 200000 100 10.9.0.1 7805", sender.display())));
        // On a busy machine the sender takes its time to begin.
        let sent = || lab.shell(&lab.host, "cat /sys/class/net/in0/statistics/tx_packets").text().trim().parse::<u64>();
        while sent().expect("a number") < 5000 {
            thread::sleep(Duration::from_millis(10));
        }
        ip(&["-n", &lab.host, "link", "del", "in0"]);
    });
    running.wait_for("not captured");
    thread::sleep(Duration::from_millis(700));
    let said = running.stop();
    run(std::process::Command::new("kill").args(["-INT", &dump.id().to_string()]));
    dump.wait().expect("it ends");
    let summary = Summary::of(&said);
    assert!(summary.adds_up(), "{said}");
    let dumped = fs::read_to_string(lab.path("out.log")).expect("what tcpdump said");
    let dumped: u64 = dumped
        .lines()
        .find_map(|line| line.strip_suffix(" packets captured"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("{dumped}"));
    let sent = sum(&lab.records(), "packets", &[("dstport", "7805")]);
    let dropped = summary.not_recorded.get("dropped by the kernel, because the ring was full").copied().unwrap_or(0);
    assert!(sent > 0 && sent + dropped >= dumped, "{sent} recorded, {dropped} dropped, {dumped} in tcpdump\n{said}");
    loudly(&format!("vanished: {sent} recorded and {dropped} dropped, tcpdump captured {dumped}"));
}

/// Renamed and renamed back, under one pattern: no packet is counted twice.
#[test]
fn a_renamed_interface_is_captured_once() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("[[capture]]\ninterface = \"in*\"\n");
    let rename = |from: &str, to: &str| {
        let script = format!(
            "ip link set {from} down; ip link set {from} name {to} up
             ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 nud permanent dev {to}"
        );
        lab.shell(&lab.host, &script).ended(0);
    };
    let mut sent = 0;
    for (from, to) in [("in0", "inx"), ("inx", "in0"), ("in0", "iny")] {
        send(&lab, &lab.outside, "200 100 10.9.0.2 7806");
        rename(from, to);
        running.wait_for(&format!("{to}: captured"));
        send(&lab, &lab.outside, "200 100 10.9.0.2 7806");
        sent += 400;
        thread::sleep(Duration::from_millis(300));
    }
    let said = running.stop();
    let records = lab.records();
    let recorded = sum(&records, "packets", &[("dstport", "7806")]);
    assert!(recorded <= sent && recorded >= sent * 3 / 4, "{recorded} of {sent}\n{said}");
    // What came between the end of one capture and the begin of the next is missing, under either new name too.
    let skipped =
        records.iter().filter(|record| record["log-status"] == "SKIPDATA").map(|record| &record["interface-id"]);
    assert_eq!(skipped.collect::<std::collections::BTreeSet<_>>().len(), 3, "{said}");
}

/// The default route moves: so does the capture.
#[test]
fn the_default_routes_interface_is_captured() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    lab.route();
    lab.shell(&lab.host, "ip route add default via 10.9.0.1 dev in0").ended(0);
    let running = lab.agent("[[capture]]\ninterface = \"default-route\"\n");
    running.wait_for("in0: captured as");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7807");
    thread::sleep(Duration::from_millis(400));
    lab.shell(&lab.host, "ip route replace default via 10.8.0.1 dev far0").ended(0);
    running.wait_for("in0: not captured any more");
    running.wait_for("far0: captured as");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7808");
    send(&lab, &lab.host, "10 100 10.8.0.1 7809");
    thread::sleep(Duration::from_millis(400));
    let said = running.stop();
    let records = lab.records();
    let packets = |port: &str| sum(&records, "packets", &[("dstport", port)]);
    assert_eq!((packets("7807"), packets("7808"), packets("7809")), (10, 0, 10), "{said}");
}

/// A mirror port: what comes in goes either way, as the local networks tell; what this host sends by it is not the mirror's.
#[test]
fn a_mirror_ports_directions_are_those_of_the_local_networks() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let more = "local-networks = [\"10.9.0.1/32\"]\n[[capture]]\ninterface = \"in0\"\nmirror = true\n";
    let running = lab.agent(more);
    send(&lab, &lab.outside, "10 100 10.9.0.2 7810");
    send(&lab, &lab.host, "10 100 10.9.0.1 7811");
    thread::sleep(Duration::from_millis(400));
    let said = running.stop();
    let records = lab.records();
    let packets =
        |port: &str, direction: &str| sum(&records, "packets", &[("dstport", port), ("flow-direction", direction)]);
    assert_eq!((packets("7810", "egress"), packets("7810", "ingress")), (10, 0), "{said}");
    assert!(!records.iter().any(|record| record["dstport"] == "7811"), "{said}");
}

/// Records that cannot be written at the end are counted, and the next start says SKIPDATA from their window on.
#[test]
fn what_cannot_be_written_is_an_error_and_is_said_later() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7812");
    let sent_at = flowlake_common::time::now();
    let spool = lab.path("state/spool");
    fs::remove_dir_all(&spool).expect("the spool");
    fs::write(&spool, b"").expect("a file in its place");
    running.signal("-TERM");
    let said = running.ended(1);
    assert!(said.contains("cannot write records") && said.contains("records that could not be written"), "{said}");
    assert!(Summary::of(&said).adds_up() && Summary::of(&said).recorded == 0, "{said}");
    fs::remove_file(&spool).expect("the file");
    let said = lab.agent("").stop();
    assert!(said.contains("ended suddenly"), "{said}");
    let records = lab.records();
    let skipped = records.iter().find(|record| record["log-status"] == "SKIPDATA").expect("SKIPDATA");
    assert!(skipped["start"].parse::<i64>().is_ok_and(|start| start <= sent_at), "{skipped:?}");
}

/// No room on the disk: the oldest files make some, and their time is SKIPDATA; what cannot be written then is SKIPDATA of the next
/// run, which needs no help.
#[test]
fn a_full_spool_gives_its_oldest_up_and_says_so() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7820");
    thread::sleep(Duration::from_millis(1200));
    running.stop();
    assert_eq!(sum(&lab.records(), "packets", &[("dstport", "7820")]), 10);
    // More than any disk has.
    let running = lab.agent("spool-min-free-mib = 1000000000\n");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7821");
    thread::sleep(Duration::from_millis(1200));
    running.signal("-TERM");
    let said = running.ended(1);
    assert!(said.contains("its oldest ") && said.contains("were given up and are SKIPDATA"), "{said}");
    assert!(said.contains("the spool is full, and has nothing more to give up: its disk has "), "{said}");
    assert!(said.contains("records that could not be written"), "{said}");
    let records = lab.records();
    assert_eq!(sum(&records, "packets", &[("dstport", "7820")]), 0, "{said}");
    assert!(records.iter().all(|record| record["log-status"] == "SKIPDATA"), "{records:?}");
    let running = lab.agent("");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7822");
    thread::sleep(Duration::from_millis(1200));
    let said = running.stop();
    let records = lab.records();
    assert_eq!(sum(&records, "packets", &[("dstport", "7822")]), 10, "{said}");
    let skipped = records.iter().filter(|record| record["log-status"] == "SKIPDATA").count();
    assert!(skipped >= 2, "{records:?}");
}
