//! A large Ethernet capture for benches and soaks: many flows, both families, some VLANs, and what it adds up to.

use std::io::{self, Write};

use crate::{
    capture::{Pcap, Seen},
    frame::{ACK, Link, Packet, SYN, Transport, ip, v4, v6},
    random::Random,
};

/// What a generated capture adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// Seconds over which the packets are spread.
const SECONDS: u64 = 600;
/// Bytes of each packet that are captured.
const SNAP_LENGTH: usize = 128;

/// Writes a pcap of `packets` packets in at most `flows` unidirectional flows, some far busier than others: TCP, UDP and
/// ICMP, a tenth IPv6, a tenth behind a VLAN tag.
///
/// # Errors
/// When it cannot be written.
pub fn write(out: &mut impl Write, packets: u64, flows: u64) -> io::Result<Totals> {
    let mut random = Random::new(7);
    write_frames(out, 1, packets, |number| {
        // The square makes low flow numbers common: a few elephants, many mice.
        let draw = (random.below(1 << 16) * random.below(1 << 16)) >> 16;
        let flow = u32::try_from((draw * flows) >> 16).unwrap_or(0);
        let bytes = ip(&packet(flow, &mut random));
        let link = if flow % 10 == 3 { Link::Vlan } else { Link::Ethernet };
        let second = 1_700_000_000 + number * SECONDS / packets;
        (second * 1_000_000_000 + random.below(1_000_000_000), link, bytes)
    })
}

/// Writes a pcap of a SYN flood: `flows` packets within one minute, each a flow of its own, to one address, as an interface sees
/// them or as the firewall logs them.
///
/// # Errors
/// When it cannot be written.
pub fn write_flood(out: &mut impl Write, flows: u64, link: Link) -> io::Result<Totals> {
    write_frames(out, link.link_type(), flows, |number| {
        let source = v4(u32::try_from(number & 0x00ff_ffff).unwrap_or(0));
        let port = u16::try_from(number >> 24).unwrap_or(0);
        let syn = Packet { source, destination: v4(1), transport: Transport::Tcp(port, 443, SYN), payload: 0 };
        // 1,700,000,040 is the first second of a minute.
        let time_ns = 1_700_000_040 * 1_000_000_000 + number * 59_000_000_000 / flows.max(1);
        (time_ns, link, ip(&syn))
    })
}

/// Writes a pcap of `count` frames, of each of which `make` gives time, link and IP packet.
fn write_frames(
    out: &mut impl Write,
    link_type: u16,
    count: u64,
    mut make: impl FnMut(u64) -> (u64, Link, Vec<u8>),
) -> io::Result<Totals> {
    let mut totals = Totals::default();
    let mut buffer = Pcap::default().write(link_type, &[]);
    let header = buffer.len();
    for number in 0..count {
        let (time_ns, link, bytes) = make(number);
        totals.packets += 1;
        totals.bytes += bytes.len() as u64;
        let mut frame = link.frame(&bytes);
        let wire_length = u32::try_from(frame.len()).unwrap_or(0);
        frame.truncate(SNAP_LENGTH);
        let record = Pcap::default().write(link_type, &[Seen { time_ns, frame, wire_length, interface: 0 }]);
        buffer.extend_from_slice(&record[header..]);
        if buffer.len() > 1 << 20 {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)?;
    Ok(totals)
}

fn packet(flow: u32, random: &mut Random) -> Packet {
    let address = if flow % 10 == 7 { v6 } else { v4 };
    let port = u16::try_from(1024 + flow % 60_000).unwrap_or(0);
    let transport = match flow % 5 {
        0..=2 => Transport::Tcp(port, 443, if random.once_in(20) { SYN } else { ACK }),
        3 => Transport::Udp(port, 53),
        _ => Transport::Other(1),
    };
    let payload = usize::try_from(random.below(1400)).unwrap_or(0);
    Packet { source: address(flow), destination: address(0x00ff_0000 | (flow % 251)), transport, payload }
}
