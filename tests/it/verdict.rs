//! The firewall's verdict in replay: what it dropped is REJECT, and no ACCEPT for what was seen and dropped.

use std::process::Command;

use flowlake_tests::{
    capture::{Pcap, Seen},
    frame::{Link, Packet, SYN, Transport, ip, v4, v6},
};

use crate::support::{Ran, agent, loudly, run, write};

const LINKTYPE_NFLOG: u16 = 239;

/// A message of the firewall's log, as the kernel and libpcap write it: hook, prefix, perhaps a time, and the packet.
fn logged(hook: u8, time: Option<u64>, packet: &[u8]) -> Vec<u8> {
    // AF_INET or AF_INET6, and the EtherType.
    let (family, ether_type) = if packet[0] >> 4 == 6 { (10, [0x86, 0xdd]) } else { (2, [8, 0]) };
    let mut message = vec![family, 0, 0, 5];
    let mut attribute = |kind: u8, value: &[u8]| {
        let length = u16::try_from(value.len() + 4).unwrap().to_le_bytes();
        message.extend([&length[..], &[kind, 0], value].concat());
        message.resize(message.len().next_multiple_of(4), 0);
    };
    attribute(1, &[ether_type[0], ether_type[1], hook, 0]);
    attribute(10, b"flowlake-drop:in\0");
    if let Some(time) = time {
        attribute(3, &[time.to_be_bytes(), 250_000_u64.to_be_bytes()].concat());
    }
    attribute(9, packet);
    message
}

fn syn(destination_port: u16) -> Vec<u8> {
    let transport = Transport::Tcp(50_000, destination_port, SYN);
    ip(&Packet { source: v4(1), destination: v4(2), transport, payload: 0 })
}

const T: u64 = 1_700_000_000;
const FORMAT: &str =
    "${srcport} ${dstport} ${packets} ${bytes} ${start} ${end} ${action} ${tcp-flags} ${flow-direction}";

fn replay(arguments: &[&std::path::Path]) -> Ran {
    let mut command = agent();
    command.args(["replay", "--log-format", FORMAT]).arg(arguments[0]);
    if let Some(log) = arguments.get(1) {
        command.arg("--verdict").arg(log);
    }
    run(&mut command)
}

fn lines(ran: &Ran) -> Vec<String> {
    ran.text().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_log_alone_gives_reject_records_with_the_kernels_times() {
    let folder = tempfile::tempdir().unwrap();
    // Captured a minute after the kernel took the packet; the second has no time of its own.
    let seen = [Seen::whole(T + 60, logged(1, Some(T), &syn(22))), Seen::whole(T + 60, logged(3, None, &syn(23)))];
    let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &seen));
    let ran = replay(&[&log]).ended(0);
    assert_eq!(
        lines(&ran),
        [format!("50000 22 1 40 {T} {T} REJECT 2 ingress"), format!("50000 23 1 40 {0} {0} REJECT 2 egress", T + 60)]
    );
}

#[test]
fn what_was_seen_and_dropped_is_rejected_and_the_rest_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |time: u64, port: u16| Seen::whole(T + time, Link::Ethernet.frame(&syn(port)));
    let tap = [frame(0, 22), frame(1, 22), frame(2, 22), frame(3, 23), frame(4, 80), frame(70, 22)];
    let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &tap));
    let drop = |time: u64, hook: u8, port: u16| Seen::whole(T + time, logged(hook, None, &syn(port)));
    // Two of three on input, one in prerouting, one on its way out that no tap saw, one that was translated before.
    let log = [drop(0, 1, 22), drop(2, 1, 22), drop(3, 0, 23), drop(5, 4, 80), drop(6, 2, 99), drop(200, 1, 7)];
    let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &log));
    let ran = replay(&[&tap, &log]).ended(0);
    let at = |time: u64| T + time;
    assert_eq!(
        lines(&ran),
        [
            format!("50000 22 1 40 {} {} ACCEPT 2 -", at(0), at(2)),
            format!("50000 22 2 80 {} {} REJECT 2 ingress", at(0), at(2)),
            format!("50000 23 1 40 {0} {0} REJECT 2 ingress", at(3)),
            format!("50000 80 1 40 {0} {0} ACCEPT 2 -", at(4)),
            format!("50000 80 1 40 {0} {0} REJECT 2 egress", at(5)),
            format!("50000 99 1 40 {0} {0} REJECT 2 ingress", at(6)),
            format!("50000 22 1 40 {0} {0} ACCEPT 2 -", at(70)),
            format!("50000 7 1 40 {0} {0} REJECT 2 ingress", at(200)),
        ]
    );
    ran.says("6 packets read").says("6 drops in the firewall's log").says("2 of them were not seen on their way in");
}

/// Packets by what became of them.
fn actions(ran: &Ran) -> (u64, u64) {
    let packets = |action: &str| {
        let of = lines(ran).into_iter().filter(|line| line.contains(action));
        of.map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()).sum()
    };
    (packets("ACCEPT"), packets("REJECT"))
}

/// A drop meets what was seen by its own time: in logs of any length, though packets or messages of the log are out of order or of
/// another year.
#[test]
fn drops_meet_their_packets_whatever_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |time: u64| Seen::whole(T + time, Link::Ethernet.frame(&syn(22)));
    let drop = |time: u64| Seen::whole(T + time, logged(1, None, &syn(22)));
    let far = 4_000_000_000 - T;
    for (name, tap, log, expected) in [
        ("long", (0..9000).map(frame).collect::<Vec<_>>(), (0..9000).map(drop).collect::<Vec<_>>(), (0, 9000)),
        (
            "a packet of another year first",
            [far].into_iter().chain(0..500).map(frame).collect(),
            (0..500).map(drop).collect(),
            (1, 500),
        ),
        (
            "a drop of another year first",
            (0..500).map(frame).collect(),
            [far].into_iter().chain(0..500).map(drop).collect(),
            (0, 501),
        ),
        (
            "a step in the middle",
            (0..250).chain([7200]).chain(250..500).map(frame).collect(),
            (0..250).chain([7200]).chain(250..500).map(drop).collect(),
            (0, 501),
        ),
        (
            "a clock ahead for longer than is read ahead, then set back",
            (7200..7700).chain(0..500).map(frame).collect(),
            (0..70_000).map(|number| 7200 + number / 140).chain(0..500).map(drop).collect(),
            (0, 70_500),
        ),
        ("a log that goes on for long", (0..300).map(frame).collect(), (0..20_000).map(drop).collect(), (0, 20_000)),
        (
            "a packet of another year first, and all dropped for long",
            [far].into_iter().chain(0..9000).map(frame).collect(),
            (0..9000).map(drop).collect(),
            (1, 9000),
        ),
        (
            "both clocks set back by hours",
            (100_000..104_200).chain(0..5000).map(frame).collect(),
            (100_000..104_200).chain(0..5000).map(drop).collect(),
            (0, 9200),
        ),
        (
            "a clock set back over the same hours",
            (0..120).map(|minute| minute * 60).chain((0..120).map(|minute| minute * 60 + 1)).map(frame).collect(),
            (0..120).map(|minute| drop(minute * 60 + 1)).collect(),
            (120, 120),
        ),
        ("the log turned round", (0..500).map(frame).collect(), (0..500).rev().map(drop).collect(), (0, 500)),
    ] {
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &tap));
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &log));
        let ran = replay(&[&tap, &log]).ended(0);
        assert_eq!(actions(&ran), expected, "{name}");
    }
}

/// A firewall that drops a datagram's fragments one by one, and lets empty datagrams of the same flow pass; and one that drops the
/// later fragments alone, whose ports only the capture tells.
#[test]
fn fragments_that_are_dropped_one_by_one_meet_their_flow() {
    let folder = tempfile::tempdir().unwrap();
    let [first, later] = fragments();
    let empty = ip(&Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(7, 8), payload: 0 });
    let tap: Vec<Seen> = (0..)
        .zip([&first, &later, &empty, &empty])
        .map(|(time, packet)| Seen::whole(T + time, packet.clone()))
        .collect();
    let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(101, &tap));
    let other = syn(22);
    let drops = |dropped: &[(u64, &Vec<u8>)]| -> Vec<Seen> {
        dropped.iter().map(|(time, packet)| Seen::whole(T + time, logged(0, None, packet))).collect()
    };
    for (dropped, expected) in [(vec![(0, &first), (1, &later)], (2, 2)), (vec![(1, &later)], (3, 1))] {
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &drops(&dropped)));
        let ran = replay(&[&tap, &log]).ended(0);
        assert_eq!(actions(&ran), expected);
        assert!(lines(&ran).iter().all(|line| line.starts_with("7 8 ")), "{}", ran.text());
    }
    // The later one first, in both.
    let turned = |time: u64| [(time, &later), (time + 1, &first)];
    for (dropped, expected) in [(&turned(0)[..], (0, 2)), (&turned(0)[..1], (1, 1))] {
        let tap: Vec<Seen> = turned(0).iter().map(|(time, packet)| Seen::whole(T + time, (*packet).clone())).collect();
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(101, &tap));
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &drops(dropped)));
        let ran = replay(&[&tap, &log]).ended(0);
        assert_eq!(actions(&ran), expected, "{}", ran.text());
        assert!(lines(&ran).iter().any(|line| line.starts_with("7 8 1 ")), "{}", ran.text());
    }
    // The later fragment alone, where a packet or a drop before is of another time, or the log is ahead of the capture.
    let seen = |packets: &[(u64, &Vec<u8>)]| -> Vec<Seen> {
        packets.iter().map(|(time, packet)| Seen::whole(T + time, (*packet).clone())).collect()
    };
    for (name, packets, dropped) in [
        ("a packet ahead", vec![(5, &other), (1, &first), (2, &later)], vec![(2, &later)]),
        ("a packet of another year", vec![(2_000_000_000, &other), (1, &first), (2, &later)], vec![(2, &later)]),
        ("a drop ahead", vec![(1, &first), (2, &later)], vec![(300, &other), (2, &later)]),
        ("the log ahead", vec![(2, &first), (3, &later)], vec![(1, &later)]),
    ] {
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(101, &seen(&packets)));
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &drops(&dropped)));
        let ran = replay(&[&tap, &log]).ended(0);
        let of_datagram: Vec<String> = lines(&ran).into_iter().filter(|line| line.starts_with("7 8 1 ")).collect();
        assert_eq!(of_datagram.len(), 2, "{name}: {}", ran.text());
        assert!(of_datagram[0].contains("ACCEPT") != of_datagram[1].contains("ACCEPT"), "{name}: {}", ran.text());
    }
}

/// A datagram of very many fragments of which all but the first are dropped, one by one; and one that is dropped put together, beside
/// whole ones of the same flow, in whatever parts of a window they are seen.
#[test]
fn of_many_fragments_each_drop_meets_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let of_datagram = |number: u16, payload: usize, piece: usize| -> Vec<Vec<u8>> {
        let whole = ip(&Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(7, 8), payload });
        let pieces = whole[20..].chunks(piece);
        let last = pieces.len() - 1;
        let fragment = |(place, data): (usize, &[u8])| {
            let mut packet = [&whole[..20], data].concat();
            let offset = u16::try_from(place * piece / 8).unwrap() | if place < last { 0x2000 } else { 0 };
            packet[2..4].copy_from_slice(&u16::try_from(20 + data.len()).unwrap().to_be_bytes());
            packet[4..6].copy_from_slice(&number.to_be_bytes());
            packet[6..8].copy_from_slice(&offset.to_be_bytes());
            packet
        };
        pieces.enumerate().map(fragment).collect()
    };
    let of_files = |tap: &[Seen], log: &[Seen]| {
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, tap));
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, log));
        replay(&[&tap, &log]).ended(0)
    };
    let frame = |time: u64, packet: &[u8]| Seen::whole(T + time, Link::Ethernet.frame(packet));
    let many = of_datagram(9, 8000, 16);
    let tap: Vec<Seen> = many.iter().map(|packet| frame(0, packet)).collect();
    let log: Vec<Seen> = many[1..].iter().map(|packet| Seen::whole(T, logged(0, None, packet))).collect();
    let ran = of_files(&tap, &log);
    assert_eq!(actions(&ran), (1, 500), "{}", ran.text());

    let whole = |payload| ip(&Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(7, 8), payload });
    let log = [2000, 300].map(|payload| Seen::whole(T, logged(1, None, &whole(payload))));
    let fragments = of_datagram(9, 2000, 1000).into_iter().map(|packet| frame(0, &packet));
    let minutes = (1..=4).map(|minute| frame(minute * 60, &syn(22)));
    for tap in [
        fragments.clone().chain([frame(1, &whole(300))]).collect::<Vec<_>>(),
        fragments.clone().chain(minutes.clone()).chain([frame(1, &whole(300))]).collect(),
        [frame(1, &whole(300))].into_iter().chain(minutes).chain(fragments).collect(),
    ] {
        let ran = of_files(&tap, &log);
        let of_flow: Vec<String> = lines(&ran).into_iter().filter(|line| line.starts_with("7 8 ")).collect();
        assert!(of_flow.len() == 1 && of_flow[0].starts_with("7 8 2 2356 "), "{}", ran.text());
    }
}

/// A firewall that drops first fragments alone, because only they have ports: the later ones and whole datagrams are what they were,
/// in whatever parts of a window they are seen. And one that drops datagrams put together, of IPv6 and with options.
#[test]
fn in_parts_of_a_window_fragments_are_told_from_whole_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |time: u64, packet: &[u8]| Seen::whole(T + time, Link::Ethernet.frame(packet));
    let other: Vec<Seen> = (1..=4).map(|minute| frame(minute * 60, &syn(22))).collect();
    let of_files = |tap: &[Seen], log: &[Seen]| {
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, tap));
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, log));
        replay(&[&tap, &log]).ended(0)
    };
    let [first, later] = fragments();
    let whole = ip(&Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(7, 8), payload: 1400 });
    for order in
        [[&first, &later, &whole], [&later, &whole, &first], [&whole, &first, &later], [&first, &whole, &later]]
    {
        let mut tap = Vec::new();
        for packet in order {
            tap.push(frame(0, packet));
            tap.extend(other.iter().cloned());
        }
        let log = [&first, &whole].map(|packet| Seen::whole(T, logged(0, None, packet)));
        let ran = of_files(&tap, &log);
        let of_flow = |action: &str| -> u64 {
            let of = lines(&ran).into_iter().filter(|line| line.contains(action) && !line.starts_with("50000 "));
            of.map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()).sum()
        };
        assert_eq!((of_flow("ACCEPT"), of_flow("REJECT")), (1, 2), "{}", ran.text());
    }
    // Put together, as a firewall with connection tracking has it.
    let together = ip(&Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(7, 8), payload: 1000 });
    let tap = [&[frame(0, &first)][..], &other, &[frame(0, &later)]].concat();
    let ran = of_files(&tap, &[Seen::whole(T, logged(1, None, &together))]);
    assert!(lines(&ran).iter().all(|line| line.starts_with("50000 ") || line.contains("REJECT")), "{}", ran.text());
}

/// What a dropped datagram carries may look like a message of the log in the other byte order.
#[test]
fn a_dropped_packet_cannot_forge_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut packet = ip(&Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(7, 8), payload: 3000 });
    let forged = logged(1, None, &syn(22));
    // The first attribute's length, 8, is 2048 in the other order: attributes would go on there.
    let at = 4 + 2048 - (4 + 8 + 4);
    packet[at..at + forged.len() - 4].copy_from_slice(&forged[4..]);
    let mut message = vec![2, 0, 0, 5];
    message.extend(
        [&[0, 8, 0, 1, 8, 0, 1, 0][..], &u16::try_from(packet.len() + 4).unwrap().to_be_bytes(), &[0, 9]].concat(),
    );
    message.extend(packet);
    let log = write(folder.path(), "n.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &[Seen::whole(T, message)]));
    let ran = replay(&[&log]).ended(0);
    assert_eq!(lines(&ran), [format!("7 8 1 3028 {T} {T} REJECT 0 ingress")]);
}

/// A window that is opened again has the bytes that were not dropped; and a log that was cut short still tells of its drops.
#[test]
fn bytes_are_those_of_what_was_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let datagram =
        |payload: usize| ip(&Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(7, 8), payload });
    let seen = |time: u64, payload| Seen::whole(T + time, Link::Ethernet.frame(&datagram(payload)));
    let minutes = (1..=4).map(|minute| Seen::whole(T + minute * 60, Link::Ethernet.frame(&syn(22))));
    for (first, late) in [(10, 1000), (1000, 10)] {
        let tap: Vec<Seen> = [seen(0, first)].into_iter().chain(minutes.clone()).chain([seen(1, late)]).collect();
        let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &tap));
        let mut dropped = Seen::whole(T + 1, logged(1, None, &datagram(late)));
        dropped.frame.truncate(80);
        let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &[dropped]));
        let ran = replay(&[&tap, &log]).ended(0);
        let of_flow: Vec<String> = lines(&ran).into_iter().filter(|line| line.starts_with("7 8 ")).collect();
        let bytes = |action: &str| -> usize {
            let of_action = of_flow.iter().filter(|line| line.contains(action));
            of_action.map(|line| line.split(' ').nth(3).unwrap().parse::<usize>().unwrap()).sum()
        };
        assert_eq!((bytes("ACCEPT"), bytes("REJECT")), (first + 28, late + 28), "{}", ran.text());
    }
}

/// The last of all times is one too, and a flood of which everything is dropped in a table that is too small.
#[test]
fn every_drop_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &[]));
    let log = [Seen::whole(T, logged(1, Some(9_223_372_036_854), &syn(22)))];
    let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &log));
    assert_eq!(actions(&replay(&[&tap, &log]).ended(0)), (0, 1));
    let flows = 0..20_000_u16;
    let tap: Vec<Seen> = flows.clone().map(|port| Seen::whole(T, Link::Ethernet.frame(&syn(port)))).collect();
    let log: Vec<Seen> = flows.map(|port| Seen::whole(T, logged(1, None, &syn(port)))).collect();
    let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &tap));
    let log = write(folder.path(), "nflog.pcap", &Pcap::default().write(LINKTYPE_NFLOG, &log));
    let ran = replay(&[&tap, &log]).ended(0);
    assert_eq!(actions(&ran), (0, 20_000));
}

/// A datagram from port 7 to port 8 in two fragments of IPv6.
fn fragments() -> [Vec<u8>; 2] {
    let whole = ip(&Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(7, 8), payload: 1000 });
    let fragment = |offset: u16, piece: &[u8], more: u16| {
        let mut packet = whole[..40].to_vec();
        packet[4..6].copy_from_slice(&u16::try_from(piece.len() + 8).unwrap().to_be_bytes());
        packet[6] = 44;
        packet.extend([17, 0]);
        packet.extend((offset | more).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(piece);
        packet
    };
    [fragment(0, &whole[40..552], 1), fragment(512, &whole[552..], 0)]
}

#[test]
fn a_log_that_cannot_be_read_is_an_error_and_nothing_is_called_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let tap = [Seen::whole(T, Link::Ethernet.frame(&syn(22)))];
    let tap = write(folder.path(), "tap.pcap", &Pcap::default().write(1, &tap));
    let garbage = write(folder.path(), "garbage", b"garbage, no capture at all");
    replay(&[&tap, &garbage]).ended(1).says("--verdict: ").says("nothing was replayed");
    replay(&[&tap, &tap]).ended(1).says("no NFLOG capture").says("nothing was replayed");
    run(agent().args(["replay", "-", "--verdict", "-"])).ended(64).says("read once");
    run(agent().args(["replay", "-", "--verdict", "x", "--decapsulate", "gre"])).ended(64).says("--decapsulate");
    let mut cut = Pcap::default().write(LINKTYPE_NFLOG, &[Seen::whole(T, logged(1, None, &syn(22)))]);
    cut.extend([1, 2, 3]);
    let cut = write(folder.path(), "cut", &cut);
    let ran = replay(&[&tap, &cut]).ended(1).says("drops after it are not known");
    assert_eq!(lines(&ran), [format!("50000 22 1 40 {T} {T} REJECT 2 ingress")]);
}

/// A real firewall: nftables drops on input, output and forward, IPv4 and IPv6, in namespaces; the tap and the log are
/// captured by tcpdump, and the rules' own counters say what was dropped.
#[test]
fn rejects_equal_the_firewalls_own_counters() {
    for tool in ["ip", "nft", "tcpdump", "python3"] {
        if Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output()
            .is_ok_and(|found| !found.status.success())
        {
            loudly(&format!("SKIPPED: a real firewall needs {tool}"));
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = crate::support::repository().join("tests/it/firewall.sh");
    let ran = run(Command::new("bash").arg(script).arg(folder.path()));
    if ran.code == 77 {
        loudly(&format!("SKIPPED: {}", ran.stderr.trim()));
        return;
    }
    let ran = ran.ended(0);
    let text = ran.text();
    let count = |name: &str| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" "))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim().parse().unwrap()
    };
    let (tap, log) = (folder.path().join("tap.pcap"), folder.path().join("nflog.pcap"));
    let records = replay(&[&tap, &log]).ended(0);
    let sum = |action: &str, direction: &str, port: u64| -> u64 {
        let lines = lines(&records);
        let words = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        words
            .filter(|words| {
                words[6] == action && words[1] == port.to_string() && (direction.is_empty() || words[8] == direction)
            })
            .map(|words| words[2].parse::<u64>().unwrap())
            .sum()
    };
    for (port, name, direction) in
        [(7001, "input", "ingress"), (7002, "forward", "ingress"), (7003, "output", "egress")]
    {
        let dropped = count(name);
        assert!(dropped > 0, "{name}: {text}");
        assert_eq!(sum("REJECT", direction, port), dropped, "{name}\n{}", records.text());
    }
    // Half of what was sent to this port was dropped, on the way in.
    let sent = count("sent");
    assert_eq!(sum("ACCEPT", "", 7001) + sum("REJECT", "", 7001), sent, "{}", records.text());
    assert_eq!(sum("ACCEPT", "", 7002), 0);
    loudly(&format!("firewall: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
}
