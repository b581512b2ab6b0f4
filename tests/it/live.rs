//! Live capture, in network namespaces of the test's own making.

use std::{
    collections::BTreeMap,
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use flowlake_common::time;

use crate::{
    lab::{Lab, ip, parse, script, send, sum},
    support::{Summary, agent, loudly, run},
};

/// TCP (with super-packets) and UDP, IPv4 and IPv6, fragments, and frames with VLAN tags: bytes equal the kernel's counters
/// less link headers, and a tcpdump of the same traffic, replayed, gives the same records.
#[test]
fn records_equal_the_kernels_counters_and_a_replayed_tcpdump() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let counters = "cat /sys/class/net/in0/statistics/rx_packets /sys/class/net/in0/statistics/rx_bytes \
                    /sys/class/net/in0/statistics/tx_packets /sys/class/net/in0/statistics/tx_bytes";
    let count = || -> Vec<u64> {
        lab.shell(&lab.host, counters).ended(0).text().lines().map(|line| line.parse().expect("a number")).collect()
    };
    Lab::wait_for_quiet();
    let running = lab.agent("");
    let before = count();
    // One for each way, as a capture of Ethernet frames does not tell it; whole headers, as the agent has them.
    let ways = [("ingress", "in"), ("egress", "out")];
    let mut dumps: Vec<Child> = ways.iter().map(|(_, way)| lab.dump(way)).collect();
    let traffic = script("live_traffic.py");
    let mut server = Lab::command(&lab.host)
        .args(["python3"])
        .arg(&traffic)
        .args(["serve", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut ready = [0; 1];
    server.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it listens");
    lab.shell(&lab.outside, &format!("python3 {} mix 10.9.0.2 fd09::2", traffic.display())).ended(0);
    assert!(server.wait().expect("it ends").success());
    thread::sleep(Duration::from_millis(700));
    let after = count();
    for dump in &mut dumps {
        run(Command::new("kill").args(["-INT", &dump.id().to_string()]));
        dump.wait().expect("it ends");
    }
    let said = running.stop();
    assert!(Summary::of(&said).adds_up(), "{said}");

    let records = lab.records();
    let delta: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    // 30 frames with one VLAN tag and 20 with two, injected by the traffic.
    let tags = 4 * (30 + 2 * 20);
    for (direction, packets, bytes, tags) in [("ingress", delta[0], delta[1], tags), ("egress", delta[2], delta[3], 0)]
    {
        let wanted = [("flow-direction", direction)];
        assert_eq!(sum(&records, "packets", &wanted), packets, "{direction}\n{said}");
        assert_eq!(sum(&records, "bytes", &wanted), bytes - 14 * packets - tags, "{direction}\n{said}");
    }
    assert_eq!(sum(&records, "packets", &[("dstport", "7100")]), 50, "tagged frames");
    let largest = records.iter().map(|record| {
        record["bytes"].parse::<u64>().expect("a number") / record["packets"].parse::<u64>().expect("a number")
    });
    assert!(largest.max().is_some_and(|bytes| bytes > 1500), "no super-packets");
    for kind in ["IPv4", "IPv6"] {
        assert!(sum(&records, "bytes", &[("type", kind), ("protocol", "6")]) > 2_000_000, "{kind}");
    }
    // Fragments have their datagram's ports.
    assert_eq!(sum(&records, "packets", &[("dstport", "7200"), ("type", "IPv4")]), 10 * 3);

    assert_eq!((records[0]["version"].as_str(), records[0]["interface-tag"].as_str()), ("11", "in0"));
    let id = records[0]["interface-id"].clone();
    for (direction, way) in ways {
        let mut replay = agent();
        replay.arg("replay").arg(lab.path(&format!("{way}.pcap"))).args(["--log-format", "all", "--interface-id", &id]);
        replay.args(["--account-id", "111122223333", "--region", "eu-central-1"]);
        let mut replayed = parse(&run(&mut replay).ended(0).text());
        for record in &mut replayed {
            record.insert("flow-direction".to_owned(), direction.to_owned());
            // A replay does not say whose machine it runs on.
            for tag in ["instance-tag", "interface-tag"] {
                assert_eq!(record.insert(tag.to_owned(), records[0][tag].clone()).as_deref(), Some("-"));
            }
        }
        let live: Vec<_> = records.iter().filter(|record| record["flow-direction"] == direction).cloned().collect();
        let only = |these: &[BTreeMap<String, String>], others: &[BTreeMap<String, String>]| {
            these.iter().filter(|record| !others.contains(record)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&live, &replayed), only(&replayed, &live));
        assert_eq!(live.len(), replayed.len());
    }
    loudly(&format!("live: {} records equal a replayed tcpdump; {:?} = rx, tx of the kernel", records.len(), delta));
}

/// A ring of 1 MiB and an agent that is held up: what the kernel dropped is said, and nothing else is missing.
#[test]
fn an_overload_is_skipdata_and_adds_up() {
    const SENT: u64 = 60_000;
    let Some(lab) = Lab::new() else {
        return;
    };
    let capture = "[[capture]]\ninterface = \"in0\"\nring-mib = 1\nfilter = \"udp port 7300\"\n";
    let running = lab.agent(capture);
    running.signal("-STOP");
    send(&lab, &lab.outside, &format!("{SENT} 100 10.9.0.2 7300"));
    running.signal("-CONT");
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    let summary = Summary::of(&said);
    let dropped = summary.not_recorded.get("dropped by the kernel, because the ring was full").copied().unwrap_or(0);
    assert!(dropped > 0 && summary.recorded > 0, "{said}");
    assert_eq!(summary.recorded + dropped, SENT, "{said}");
    let records = lab.records();
    assert_eq!(sum(&records, "packets", &[("log-status", "OK")]), summary.recorded, "{said}");
    assert!(records.iter().any(|record| record["log-status"] == "SKIPDATA"), "{said}");
    assert!(said.contains("raise ring-mib"), "{said}");
    loudly(&format!("overload: {SENT} sent = {} recorded + {dropped} dropped", summary.recorded));
}

/// The interface is deleted and made anew: the process goes on, records before and after are complete, and the gap is said.
#[test]
fn an_interface_that_comes_back_is_captured_again() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    send(&lab, &lab.outside, "100 100 10.9.0.2 7401");
    ip(&["-n", &lab.host, "link", "del", "in0"]);
    running.wait_for("not captured");
    thread::sleep(Duration::from_millis(500));
    lab.plug_in();
    running.wait_for("captured again");
    send(&lab, &lab.outside, "70 100 10.9.0.2 7402");
    // Down and up again: the handle survives.
    lab.shell(&lab.host, "ip link set in0 down").ended(0);
    running.wait_for("in0: down");
    lab.shell(
        &lab.host,
        "ip link set in0 up; ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 nud permanent dev in0",
    )
    .ended(0);
    running.wait_for("in0: up again");
    send(&lab, &lab.outside, "30 100 10.9.0.2 7403");
    thread::sleep(Duration::from_millis(500));
    let said = running.stop();
    let records = lab.records();
    for (port, packets) in [("7401", 100), ("7402", 70), ("7403", 30)] {
        assert_eq!(sum(&records, "packets", &[("dstport", port)]), packets, "{port}\n{said}");
    }
    let skipped = records.iter().filter(|record| record["log-status"] == "SKIPDATA").count();
    assert!(skipped >= 1, "{said}");
    let ids: std::collections::BTreeSet<&String> = records.iter().map(|record| &record["interface-id"]).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

/// After kill -9 the next start says SKIPDATA from the first second that was not written.
#[test]
fn a_killed_agent_leaves_skipdata_and_a_stopped_one_none() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let site = "[identity]\nvpc-id = \"site-7\"\n";
    let running = lab.agent(site);
    send(&lab, &lab.outside, "10 100 10.9.0.2 7500");
    let killed_at = time::now();
    running.signal("-KILL");
    drop(running);
    thread::sleep(Duration::from_millis(1100));
    let again = lab.agent(site);
    let started_at = time::now();
    let said = again.stop();
    assert!(said.contains("ended suddenly"), "{said}");
    let skipped: Vec<_> = lab.records().into_iter().filter(|record| record["log-status"] == "SKIPDATA").collect();
    assert_eq!(skipped.len(), 1, "{said}");
    let second = |field: &str| skipped[0][field].parse::<i64>().expect("a number");
    assert!(second("start") <= killed_at && second("end") >= killed_at && second("end") <= started_at, "{skipped:?}");
    assert_eq!(skipped[0]["vpc-id"], "site-7");
    // It was stopped: the next start has nothing to say.
    let said = lab.agent("").stop();
    assert!(!said.contains("ended suddenly"), "{said}");
    assert_eq!(lab.records().iter().filter(|record| record["log-status"] == "SKIPDATA").count(), 1);
}

/// A whole window without traffic is NODATA, and a window with traffic is not.
#[test]
fn a_quiet_window_is_nodata() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("[records]\ntraffic-type = \"ALL\"\nexclude = [{ ports = [7601] }]\n");
    send(&lab, &lab.outside, "5 100 10.9.0.2 7601");
    send(&lab, &lab.outside, "5 100 10.9.0.2 7602");
    let started = time::now();
    let next_window = (started / 60 + 1) * 60;
    while time::now() < next_window + 63 {
        thread::sleep(Duration::from_millis(200));
    }
    let said = running.stop();
    let records = lab.records();
    let quiet: Vec<_> = records.iter().filter(|record| record["log-status"] == "NODATA").collect();
    assert_eq!(quiet.len(), 1, "{said}\n{records:?}");
    assert_eq!(quiet[0]["start"], next_window.to_string());
    assert_eq!(quiet[0]["end"], (next_window + 59).to_string());
    assert_eq!(sum(&records, "packets", &[("dstport", "7602")]), 5);
    assert!(!records.iter().any(|record| record["dstport"] == "7601"));
    assert!(said.contains("1 records left out by the filters") && said.contains("5 packets in these"), "{said}");
}

/// A router between two interfaces: each packet is seen coming in on one and going out on the other.
#[test]
fn a_router_sees_each_packet_on_both_interfaces() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    lab.route();
    let running = lab.agent("[[capture]]\ninterface = \"in*\"\n[[capture]]\ninterface = \"far0\"\nthreads = 2\n");
    running.wait_for("far0: captured as");
    for address in ["10.8.0.1", "fd08::1"] {
        send(&lab, &lab.outside, &format!("40 100 {address} 7700"));
    }
    thread::sleep(Duration::from_millis(700));
    let said = running.stop();
    let records = lab.records();
    let ids: std::collections::BTreeSet<&String> = records.iter().map(|record| &record["interface-id"]).collect();
    assert_eq!(ids.len(), 2, "{said}");
    for (direction, kind) in [("ingress", "IPv4"), ("egress", "IPv4"), ("ingress", "IPv6"), ("egress", "IPv6")] {
        let wanted = [("flow-direction", direction), ("type", kind), ("dstport", "7700")];
        assert_eq!(sum(&records, "packets", &wanted), 40, "{direction} {kind}\n{said}");
        let of: std::collections::BTreeSet<&String> = records
            .iter()
            .filter(|record| wanted.iter().all(|(field, value)| record[*field] == *value))
            .map(|record| &record["interface-id"])
            .collect();
        assert_eq!(of.len(), 1, "{direction} on one interface");
    }
}

/// What could be captured is shown; the default route's interface is the default; a bridge and its port draw a warning;
/// `any` and unknown keys are refused with their line.
#[test]
fn interfaces_are_chosen_and_wrong_choices_are_said() {
    let Some(lab) = Lab::new() else {
        return;
    };
    lab.shell(&lab.host, "ip link add br0 type bridge; ip link set br0 up; ip link set in0 master br0").ended(0);
    let in_host = |arguments: &[&str]| {
        let program = agent();
        run(Lab::command(&lab.host).arg(program.get_program()).args(arguments))
    };
    let listed = in_host(&["interfaces"]).ended(0).text();
    assert!(listed.lines().any(|line| line.starts_with("in0 ") && line.contains(" up ")), "{listed}");
    assert!(listed.contains("made of in0: capture it or them, not both"), "{listed}");
    assert!(listed.contains("this process may capture (CAP_NET_RAW): yes"), "{listed}");

    let running = lab.agent("[[capture]]\ninterface = \"in*\"\n[[capture]]\ninterface = \"br0\"\n");
    running.wait_for("in0 is part of br0: what crosses both is counted twice");
    running.stop();

    let required = "account-id = \"111122223333\"\nregion = \"r\"\n";
    let config = |text: &str| {
        let path = crate::support::write(&lab.path(""), "check.toml", format!("{required}{text}").as_bytes());
        in_host(&["check", "--config", &path.display().to_string()])
    };
    config("").ended(0).says("capture 'default-route': no such interface now");
    lab.shell(&lab.host, "ip addr add 10.7.0.1/24 dev br0; ip route add default via 10.7.0.2").ended(0);
    config("").ended(0).says("capture 'default-route': br0").says("every record is ACCEPT");
    config("[[capture]]\ninterface = \"any\"\n").ended(64).says("check.toml:4: interface: 'any' would count");
    config("[verdict]\nnflog = 5\n").ended(64).says("check.toml:4: nflog: unknown field");
    in_host(&["check", "--config", "/does/not/exist"]).ended(64).says("/does/not/exist: No such file");
}
