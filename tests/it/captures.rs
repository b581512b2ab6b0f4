//! Every kind of capture says the same about the same packets.

use std::{path::Path, process::Command};

use flowlake_tests::{
    capture::{Interface, Pcap, Pcapng, Seen},
    frame::{ACK, FIN, Link, PSH, Packet, SYN, Transport, ip, v4, v6},
};

use crate::support::{Summary, agent, gzip, run, run_with_input, write};

/// A short conversation: TCP over IPv4, UDP over IPv6, ICMP, two minutes.
fn conversation() -> Vec<(u64, Vec<u8>)> {
    let tcp = |source, destination, ports: (u16, u16), flags, payload| {
        ip(&Packet { source, destination, transport: Transport::Tcp(ports.0, ports.1, flags), payload })
    };
    let (a, b) = (v4(1), v4(2));
    let udp = Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(40_000, 53), payload: 30 };
    let ping = Packet { source: a, destination: b, transport: Transport::Other(1), payload: 56 };
    vec![
        (1_700_000_000, tcp(a, b, (50_000, 443), SYN, 0)),
        (1_700_000_001, tcp(b, a, (443, 50_000), SYN | ACK, 0)),
        (1_700_000_002, tcp(a, b, (50_000, 443), ACK | PSH, 100)),
        (1_700_000_003, ip(&udp)),
        (1_700_000_040, ip(&ping)),
        (1_700_000_041, tcp(a, b, (50_000, 443), ACK | FIN, 0)),
    ]
}

const EXPECTED: &str = "\
srcaddr dstaddr srcport dstport protocol packets bytes start end tcp-flags type
10.0.0.1 10.0.0.2 50000 443 6 2 180 1700000000 1700000002 2 IPv4
10.0.0.2 10.0.0.1 443 50000 6 1 40 1700000001 1700000001 18 IPv4
2001:db8::1 2001:db8::2 40000 53 17 1 78 1700000003 1700000003 0 IPv6
10.0.0.1 10.0.0.2 0 0 1 1 76 1700000040 1700000040 0 IPv4
10.0.0.1 10.0.0.2 50000 443 6 1 40 1700000041 1700000041 1 IPv4
";
const FORMAT: &str =
    "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${tcp-flags} ${type}";

fn seen(link: Link) -> Vec<Seen> {
    conversation().into_iter().map(|(time, packet)| Seen::whole(time, link.frame(&packet))).collect()
}

fn replay(format: &str) -> Command {
    let mut command = agent();
    command.args(["replay", "--log-format", format]);
    command
}

#[track_caller]
fn assert_says(folder: &Path, name: &str, content: &[u8], format: &str, expected: &str) {
    let file = write(folder, name, content);
    let ran = run(replay(format).arg(file)).ended(0);
    assert_eq!(ran.text(), expected, "{name}");
}

#[test]
fn byte_order_time_resolution_and_link_type_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for link in Link::ALL {
        let seen = seen(link);
        for (big_endian, nanoseconds) in [(false, false), (false, true), (true, false), (true, true)] {
            let pcap = Pcap { big_endian, nanoseconds }.write(link.link_type(), &seen);
            assert_says(folder.path(), &format!("{link:?} {big_endian} {nanoseconds}.pcap"), &pcap, FORMAT, EXPECTED);
        }
        // Powers of ten, powers of two, an offset, no option at all: microseconds.
        for (resolution, offset) in [(Some(9), 0), (Some(0x80 | 20), 0), (Some(3), 1_000_000_000), (None, -3600)] {
            for big_endian in [false, true] {
                let mut pcapng = Pcapng::new(big_endian);
                pcapng.interface(Interface { link_type: link.link_type(), name: "eth0", resolution, offset });
                seen.iter().for_each(|seen| pcapng.packet(seen, None));
                let name = format!("{link:?} {resolution:?} {offset} {big_endian}.pcapng");
                assert_says(folder.path(), &name, &pcapng.finish(), FORMAT, EXPECTED);
            }
        }
    }
}

#[test]
fn packed_captures_and_standard_input_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = Pcap::default().write(1, &seen(Link::Ethernet));
    let packed = gzip(&pcap);
    assert_says(folder.path(), "named.wrongly.pcap", &packed, FORMAT, EXPECTED);
    assert_says(folder.path(), "c.zst", &zstd::encode_all(&pcap[..], 3).unwrap(), FORMAT, EXPECTED);
    for input in [&pcap, &packed] {
        assert_eq!(run_with_input(replay(FORMAT).arg("-"), input).ended(0).text(), EXPECTED);
    }
}

#[test]
fn sections_and_interfaces_of_a_pcapng_are_one_capture_or_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = seen(Link::Ethernet);
    let mut pcapng = Pcapng::new(false);
    let interface = |name, link_type| Interface { link_type, name, resolution: Some(9), offset: 0 };
    pcapng.interface(interface("eth0", 1));
    pcapng.interface(interface("eth1", 101));
    pcapng.packet(&seen[0], None);
    // The second packet again, on the other interface, which has no link header.
    let raw = Seen { interface: 1, ..Seen::whole(1_700_000_001, conversation().swap_remove(1).1) };
    pcapng.packet(&raw, None);
    pcapng.block(0x0bad, b"unknown!");
    pcapng.section(true);
    pcapng.interface(interface("eth0", 1));
    seen.drain(..2);
    seen.iter().for_each(|seen| pcapng.packet(seen, None));
    let content = pcapng.finish();
    assert_says(folder.path(), "sections.pcapng", &content, FORMAT, EXPECTED);

    let file = write(folder.path(), "sections.pcapng", &content);
    let ran = run(replay("${interface-id} ${srcaddr}").arg("--per-interface").arg(&file)).ended(0);
    let text = ran.text();
    let ids: Vec<&str> = text.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    // Records stand by window, then by interface: eth0's two of the first, eth1's one, eth0's two of the second.
    let (eth0, eth1) = (ids[0], ids[2]);
    assert_ne!(eth0, eth1);
    assert_eq!(ids.iter().filter(|id| **id == eth1).count(), 1, "{text}");
    assert!(ids.iter().all(|id| id.len() == 21 && id.starts_with("eni-f")), "{text}");
}

#[test]
fn direction_comes_from_the_capture_and_else_from_the_local_networks() {
    let folder = tempfile::tempdir().unwrap();
    let direction = "${srcaddr} ${flow-direction}";
    let packets = &conversation()[..2];
    let mut outgoing = Link::Sll.frame(&packets[0].1);
    outgoing[1] = 4;
    let cooked = [Seen::whole(1, outgoing), Seen::whole(2, Link::Sll.frame(&packets[1].1))];
    let expected = "srcaddr flow-direction\n10.0.0.1 egress\n10.0.0.2 ingress\n";
    assert_says(folder.path(), "sll", &Pcap::default().write(113, &cooked), direction, expected);

    let mut pcapng = Pcapng::new(true);
    pcapng.interface(Interface { link_type: 101, name: "", resolution: None, offset: 0 });
    for ((time, packet), flag) in packets.iter().zip([2, 1]) {
        pcapng.packet(&Seen::whole(*time, packet.clone()), Some(flag));
    }
    let pcapng = pcapng.finish();
    assert_says(folder.path(), "flags", &pcapng, direction, expected);
    // The capture knows better than the networks.
    let flags = folder.path().join("flags");
    let ran = run(replay(direction).args(["--local-networks", "10.0.0.2"]).arg(&flags)).ended(0);
    assert_eq!(ran.text(), expected);

    let raw: Vec<Seen> = packets.iter().map(|(time, packet)| Seen::whole(*time, packet.clone())).collect();
    let file = write(folder.path(), "raw", &Pcap::default().write(101, &raw));
    for (networks, expected) in [
        ("10.0.0.1/32,192.0.2.0/24", ["egress", "ingress"]),
        ("10.0.0.2", ["ingress", "egress"]),
        ("10.0.0.0/8", ["-", "-"]),
        ("192.0.2.0/24", ["-", "-"]),
    ] {
        let ran = run(replay("${flow-direction}").args(["--local-networks", networks]).arg(&file)).ended(0);
        assert_eq!(ran.text().lines().skip(1).collect::<Vec<_>>(), expected, "{networks}");
    }
}

#[test]
fn a_simple_packet_has_no_time_and_is_recorded_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(false);
    pcapng.interface(Interface { link_type: 101, name: "", resolution: None, offset: 0 });
    pcapng.simple_packet(&conversation()[0].1);
    let file = write(folder.path(), "simple", &pcapng.finish());
    let ran = run(replay("${packets} ${bytes} ${start}").arg(file)).ended(0).says("unlikely time");
    assert_eq!(ran.text(), "packets bytes start\n1 40 0\n");
}

#[test]
fn padding_offload_and_snap_length_do_not_change_what_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let packet = Packet { source: v4(1), destination: v4(2), transport: Transport::Tcp(1, 2, ACK), payload: 1000 };
    let whole = Link::Ethernet.frame(&ip(&packet));
    let wire_length = u32::try_from(whole.len()).unwrap();
    let mut zero_length = whole.clone();
    zero_length[16..18].fill(0);
    let short = Packet { transport: Transport::Udp(1, 2), payload: 0, ..packet };
    let padded = [Link::Ethernet.frame(&ip(&short)), vec![0; 18]].concat();
    let cut = |frame: &[u8], at: usize| Seen { time_ns: 0, frame: frame[..at].to_vec(), wire_length, interface: 0 };
    for (name, seen, expected) in [
        ("whole", Seen::whole(0, whole.clone()), "1 2 6 1040"),
        ("snap length 128", cut(&whole, 128), "1 2 6 1040"),
        ("ports cut off", cut(&whole, 14 + 20 + 3), "0 0 6 1040"),
        ("IP length 0", Seen::whole(0, zero_length.clone()), "1 2 6 1040"),
        ("IP length 0, cut", cut(&zero_length, 64), "1 2 6 1040"),
        ("padded", Seen::whole(0, padded), "1 2 17 28"),
    ] {
        let expected = format!("srcport dstport protocol bytes\n{expected}\n");
        let pcap = Pcap::default().write(1, &[seen]);
        assert_says(folder.path(), name, &pcap, "${srcport} ${dstport} ${protocol} ${bytes}", &expected);
    }
    // IPv4 options, of which the snap length left some: addresses and protocol are there, ports are not.
    let mut options = whole.clone();
    options[14] = 0x4f;
    assert_says(
        folder.path(),
        "options cut off",
        &Pcap::default().write(1, &[cut(&options, 14 + 30)]),
        "${srcport} ${protocol} ${bytes}",
        "srcport protocol bytes\n0 6 1040\n",
    );
    let header_cut = Pcap::default().write(1, &[cut(&whole, 14 + 19)]);
    let file = write(folder.path(), "header cut", &header_cut);
    let summary = Summary::of(&run(replay("default").arg(file)).ended(0).stderr);
    assert_eq!((summary.packets, summary.recorded), (1, 0));
    assert_eq!(summary.not_recorded["captured too short for addresses and protocol"], 1);
}

#[test]
fn fragments_carry_the_ports_of_their_first() {
    let folder = tempfile::tempdir().unwrap();
    let whole = ip(&Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(7, 8), payload: 32 });
    // Identification 9, more fragments or not, offset in units of 8 bytes.
    let fragment = |more: bool, offset: u8| {
        let mut packet = whole.clone();
        packet[5] = 9;
        packet[6] = if more { 0x20 } else { 0 };
        packet[7] = offset;
        packet
    };
    let (first, second) = (fragment(true, 0), fragment(false, 5));
    let line = |ports: &str, packets: usize| format!("{ports} 17 {packets} {}\n", 60 * packets);
    for (name, times, packets, expected) in [
        ("in order", [0, 1], [&first, &second], line("7 8", 2)),
        ("out of order", [0, 1], [&second, &first], line("0 0", 1) + &line("7 8", 1)),
        ("too late", [0, 31], [&first, &second], line("7 8", 1) + &line("0 0", 1)),
    ] {
        let seen = times.into_iter().zip(packets).map(|(time, packet)| Seen::whole(time, packet.clone()));
        let pcap = Pcap::default().write(101, &seen.collect::<Vec<_>>());
        let expected = format!("srcport dstport protocol packets bytes\n{expected}");
        assert_says(folder.path(), name, &pcap, "${srcport} ${dstport} ${protocol} ${packets} ${bytes}", &expected);
    }
}

#[test]
fn ipv6_extension_headers_are_looked_through_and_ah_and_esp_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let udp = [0, 7, 0, 8, 0, 8, 0, 0];
    let header = |next: u8, payload: usize| {
        let mut header = vec![0x60, 0, 0, 0, 0, u8::try_from(payload).unwrap(), next, 64];
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        header
    };
    // Each is eight bytes; next header first, length 0 means eight.
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let atomic = |next: u8| vec![next, 0, 0, 0, 0, 0, 0, 5];
    let chain = [options(43), options(60), options(44), atomic(17), udp.to_vec()].concat();
    let ah = [51, 0, 0, 0, 0, 0, 0, 0];
    for (name, packet, expected) in [
        ("chain", [header(0, chain.len()), chain].concat(), "7 8 17 80"),
        ("ah", [header(51, 8), ah.to_vec()].concat(), "0 0 51 48"),
        ("esp", [header(50, 8), ah.to_vec()].concat(), "0 0 50 48"),
        ("nothing", [header(59, 0), vec![0; 6]].concat(), "0 0 59 40"),
        ("jumbogram", [header(0, 0), options(17), udp.to_vec()].concat(), "7 8 17 56"),
    ] {
        let pcap = Pcap::default().write(101, &[Seen::whole(0, packet)]);
        let expected = format!("srcport dstport protocol bytes\n{expected}\n");
        assert_says(folder.path(), name, &pcap, "${srcport} ${dstport} ${protocol} ${bytes}", &expected);
    }
}
