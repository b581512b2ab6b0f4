//! Tunnels: the outermost IP header unless a kind was asked for, then the innermost, and its bytes.

use flowlake_tests::{
    capture::{Pcap, Seen},
    frame::{ACK, Link, Packet, Transport, ip, v4, v6},
};

use crate::support::{agent, run, write};

/// An IPv4 packet of a protocol, with these bytes above IP.
fn carrying(protocol: u8, above: &[u8]) -> Vec<u8> {
    let (source, destination) = (v4(0x0101), v4(0x0202));
    let transport = Transport::Other(protocol);
    let mut packet = ip(&Packet { source, destination, transport, payload: above.len() });
    packet[20..].copy_from_slice(above);
    packet
}

/// A UDP datagram to a port in an IPv4 packet.
fn datagram(port: u16, above: &[u8]) -> Vec<u8> {
    let length = u16::try_from(above.len() + 8).unwrap().to_be_bytes();
    carrying(17, &[&[0xc0, 0], &port.to_be_bytes()[..], &length, &[0, 0], above].concat())
}

/// What is inside of all of them: TCP 7 > 8 with 100 bytes, over IPv4 140 bytes long, over IPv6 160.
fn inside(ipv6: bool) -> Vec<u8> {
    let (source, destination) = if ipv6 { (v6(1), v6(2)) } else { (v4(1), v4(2)) };
    ip(&Packet { source, destination, transport: Transport::Tcp(7, 8, ACK), payload: 100 })
}

#[track_caller]
fn assert_flow(packet: Vec<u8>, decapsulate: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "c.pcap", &Pcap::default().write(101, &[Seen::whole(0, packet)]));
    let format = "${srcaddr} ${srcport} ${dstport} ${protocol} ${bytes}";
    let mut command = agent();
    command.args(["replay", "--log-format", format]).arg(file);
    if !decapsulate.is_empty() {
        command.args(["--decapsulate", decapsulate]);
    }
    let text = run(&mut command).ended(0).text();
    assert_eq!(text.lines().nth(1), Some(expected), "--decapsulate {decapsulate}");
}

#[test]
fn each_kind_is_looked_into_when_it_is_asked_for() {
    let (four, six) = (inside(false), inside(true));
    let ethernet = Link::Vlan.frame(&four);
    let join = |parts: &[&[u8]]| parts.concat();
    let gtp = join(&[&[0x30, 255, 0, 140, 0, 0, 0, 1], &four]);
    let gtp_extended = join(&[&[0x36, 255, 0, 148, 0, 0, 0, 1, 0, 1, 0, 0x85, 1, 0x10, 9, 0], &four]);
    for (kind, packet, inner) in [
        ("ipip", carrying(4, &four), "10.0.0.1 7 8 6 140"),
        ("ipip", carrying(41, &six), "2001:db8::1 7 8 6 160"),
        ("gre", carrying(47, &join(&[&[0, 0, 8, 0], &four])), "10.0.0.1 7 8 6 140"),
        (
            "gre",
            carrying(47, &join(&[&[0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1], &six])),
            "2001:db8::1 7 8 6 160",
        ),
        ("gre", carrying(47, &join(&[&[0x20, 0, 0x65, 0x58, 0, 0, 0, 9], &ethernet])), "10.0.0.1 7 8 6 140"),
        (
            "gre",
            carrying(
                47,
                &join(&[&[0x30, 0x81, 0x88, 0x0b, 0, 144, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21], &four]),
            ),
            "10.0.0.1 7 8 6 140",
        ),
        ("erspan", carrying(47, &join(&[&[0, 0, 0x88, 0xbe], &ethernet])), "10.0.0.1 7 8 6 140"),
        (
            "erspan",
            carrying(47, &join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 0, 0, 0, 0, 0], &ethernet])),
            "10.0.0.1 7 8 6 140",
        ),
        (
            "erspan",
            carrying(
                47,
                &join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &ethernet]),
            ),
            "10.0.0.1 7 8 6 140",
        ),
        ("vxlan", datagram(4789, &join(&[&[8, 0, 0, 0, 0, 0, 9, 0], &ethernet])), "10.0.0.1 7 8 6 140"),
        (
            "geneve",
            datagram(6081, &join(&[&[1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 0], &ethernet])),
            "10.0.0.1 7 8 6 140",
        ),
        ("geneve", datagram(6081, &join(&[&[0, 0, 0x86, 0xdd, 0, 0, 9, 0], &six])), "2001:db8::1 7 8 6 160"),
        ("gtp-u", datagram(2152, &gtp), "10.0.0.1 7 8 6 140"),
        ("gtp-u", datagram(2152, &gtp_extended), "10.0.0.1 7 8 6 140"),
        // One in another: each has to be asked for.
        (
            "ipip,vxlan",
            carrying(4, &datagram(4789, &join(&[&[8, 0, 0, 0, 0, 0, 9, 0], &ethernet]))),
            "10.0.0.1 7 8 6 140",
        ),
    ] {
        let length = packet.len();
        let outer = match packet[9] {
            17 => format!("10.0.1.1 49152 {} 17 {length}", u16::from_be_bytes([packet[22], packet[23]])),
            protocol => format!("10.0.1.1 0 0 {protocol} {length}"),
        };
        assert_flow(packet.clone(), kind, inner);
        assert_flow(packet.clone(), "", &outer);
        let others =
            ["gre", "erspan", "vxlan", "geneve", "ipip", "gtp-u"].into_iter().filter(|other| !kind.contains(other));
        assert_flow(packet, &others.collect::<Vec<_>>().join(","), &outer);
    }
}

/// What a tunnel carries that cannot be read leaves the header around it.
#[test]
fn a_tunnel_with_nothing_readable_inside_is_its_own_flow() {
    let all = "gre,erspan,vxlan,geneve,ipip,gtp-u";
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    for (packet, expected) in [
        (datagram(4789, &[&[8, 0, 0, 0, 0, 0, 9, 0], &arp[..]].concat()), "10.0.1.1 49152 4789 17"),
        (datagram(4789, &[8, 0]), "10.0.1.1 49152 4789 17"),
        (datagram(2152, &[0x30, 1, 0, 0, 0, 0, 0, 0]), "10.0.1.1 49152 2152 17"),
        (carrying(47, &[0]), "10.0.1.1 0 0 47"),
        (carrying(4, &inside(false)[..10]), "10.0.1.1 0 0 4"),
    ] {
        let expected = format!("{expected} {}", packet.len());
        assert_flow(packet, all, &expected);
    }
    run(agent().args(["replay", "-", "--decapsulate", "gre,wireguard"])).ended(64).says("--decapsulate 'wireguard'");
}

/// An Ethernet pseudowire without a control word, to addresses that begin with the bits of IPv4 and IPv6; and IPv6 from addresses in
/// which the number of an EtherType stands.
#[test]
fn below_mpls_an_address_is_not_taken_for_ip() {
    let folder = tempfile::tempdir().unwrap();
    let label = [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0x47, 0, 1, 1, 64];
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0], &[0; 24]].concat();
    for first in [0x44, 0x46, 0x45, 0x60, 0x6c] {
        for (ipv6, link) in [(false, Link::Ethernet), (true, Link::Ethernet), (false, Link::Vlan), (true, Link::Vlan)] {
            let mut frame = link.frame(&inside(ipv6));
            frame[..6].copy_from_slice(&[first, 0x2b, 0x59, 0, 0, 38]);
            let mut no_ip = arp.clone();
            no_ip[0] = first;
            let seen = [[&label[..], &frame].concat(), [&label[..], &no_ip].concat()];
            let seen = seen.map(|frame| Seen::whole(0, frame));
            let file = write(folder.path(), "c.pcap", &Pcap::default().write(1, &seen));
            let ran =
                run(agent().args(["replay", "--log-format", "${srcaddr} ${protocol} ${bytes}"]).arg(file)).ended(0);
            let expected = if ipv6 { "2001:db8::1 6 160" } else { "10.0.0.1 6 140" };
            let text = ran.text();
            assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), [expected], "{first:x}");
            ran.says("1 not recorded: not IP");
        }
    }
    // Behind more headers; behind a control word something that only looks so at another place.
    let control = [0, 0, 0, 0];
    let mut pppoe = Link::Pppoe.frame(&inside(false));
    pppoe[0] = 0x64;
    let mut arp_of_odd_address = [&control[..], &arp].concat();
    arp_of_odd_address[4 + 6..4 + 12].copy_from_slice(&[0, 0x11, 8, 0, 0x45, 1]);
    for (below, expected) in [(pppoe, vec!["10.0.0.1 6 140"]), (arp_of_odd_address, vec![])] {
        let file =
            write(folder.path(), "c.pcap", &Pcap::default().write(1, &[Seen::whole(0, [&label[..], &below].concat())]));
        let ran = run(agent().args(["replay", "--log-format", "${srcaddr} ${protocol} ${bytes}"]).arg(file)).ended(0);
        assert_eq!(ran.text().lines().skip(1).collect::<Vec<_>>(), expected);
    }
    // Cut by the snap length.
    for first in [0x48, 0x60] {
        let mut frame = Link::Ethernet.frame(&inside(true));
        frame[..6].copy_from_slice(&[first, 0xa4, 0x4c, 1, 2, 3]);
        let frame = [&label[..], &frame].concat();
        let cut = Seen { frame: frame[..100].to_vec(), ..Seen::whole(0, frame) };
        let file = write(folder.path(), "c.pcap", &Pcap::default().write(1, &[cut]));
        let ran = run(agent().args(["replay", "--log-format", "${srcaddr} ${bytes}"]).arg(file)).ended(0);
        assert_eq!(ran.text().lines().nth(1), Some("2001:db8::1 160"));
    }
    // What looks like a header of ARP or IPv6 stands there, too.
    for (ether_type, behind) in [
        ([8, 0], [0; 4]),
        ([8, 6], [0, 1, 8, 0]),
        ([0x81, 0], [0; 4]),
        ([0x86, 0xdd], [0x60, 0, 0, 0]),
        ([0x88, 0x64], [0; 4]),
        ([0x88, 0x64], [0x11, 0, 0, 1]),
        ([0x88, 0x47], [0; 4]),
        ([0x88, 0xcc], [0; 4]),
    ] {
        let mut packet = inside(true);
        packet[12..14].copy_from_slice(&ether_type);
        packet[14..18].copy_from_slice(&behind);
        // With a trailer its length tells nothing.
        let trailer: &[u8] = if ether_type[0] == 0x88 { &[0; 4] } else { &[] };
        let seen = [Seen::whole(0, [&label[..], &packet, trailer].concat())];
        let file = write(folder.path(), "c.pcap", &Pcap::default().write(1, &seen));
        let ran = run(agent().args(["replay", "--log-format", "${bytes}"]).arg(file)).ended(0);
        assert_eq!(ran.text().lines().nth(1), Some("160"), "{ether_type:x?}");
    }
}
