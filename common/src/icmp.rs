//! ICMP's messages that ask, and those that answer. Sources: RFC 792, 950, 1256, 4443, 4861, 2710, 4620.

/// The protocol number of ICMP.
pub const ICMP: u8 = 1;
/// The protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// Types of ICMP that ask and answer.
const ANSWERS: [(u8, u8); 10] =
    [(8, 0), (0, 8), (13, 14), (14, 13), (15, 16), (16, 15), (10, 9), (9, 10), (17, 18), (18, 17)];
/// Those of ICMPv6.
const ANSWERS_V6: [(u8, u8); 12] = [
    (128, 129),
    (129, 128),
    (133, 134),
    (134, 133),
    (135, 136),
    (136, 135),
    (130, 131),
    (131, 130),
    (144, 145),
    (145, 144),
    (139, 140),
    (140, 139),
];

/// The type of ICMP (`protocol` [`ICMP`] or [`ICMPV6`]) that answers this one, or that this one answers.
#[must_use]
pub fn answer(protocol: u8, icmp_type: u8) -> Option<u8> {
    let answers: &[(u8, u8)] = match protocol {
        ICMP => &ANSWERS,
        ICMPV6 => &ANSWERS_V6,
        _ => &[],
    };
    answers.iter().find(|(known, _)| *known == icmp_type).map(|(_, answer)| *answer)
}
