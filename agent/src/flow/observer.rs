//! The way of every packet, replayed or live: decoded, its fragment completed, added to its window, counted.

use std::{net::IpAddr, ops::Range};

use flowlake_common::time;
use ipnet::IpNet;

use super::{Action, Counters, Key, Part, Seen, Settings, Windows};
use crate::{
    capture::{Direction, Packet},
    decode::{self, Decoded, FiveTuple, Fragments, Tunnels},
};

const MICROSECONDS: i64 = 1_000_000;
/// Packet times are held to what the calendar can print.
const TIMES_HELD: (i64, i64) = (i64::MIN / 2, time::MAX_SECONDS * MICROSECONDS);
/// Times that are believed: 2010 to 2099.
const LIKELY_TIMES: Range<i64> = time::YEAR_2010 * MICROSECONDS..4_102_444_800 * MICROSECONDS;

/// How packets become flows.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Windows and their bounds.
    pub flow: Settings,
    /// Tunnels whose innermost IP header makes the flow.
    pub decapsulate: Tunnels,
    /// Whether ICMP "administratively prohibited" makes the packet that it quotes a refused one.
    pub icmp_prohibited: bool,
    /// Networks of this side: they tell a direction where the capture tells none.
    pub local_networks: Vec<IpNet>,
}

/// A packet that has a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// What was decoded.
    pub decoded: Decoded,
    /// When it was seen, microseconds since the epoch.
    pub time_us: i64,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// What became of it.
    pub action: Action,
}

/// Everything that packets run through, up to their windows.
#[derive(Debug)]
pub struct Observer {
    rules: Rules,
    fragments: Fragments,
    windows: Windows,
    /// Where the packets went.
    pub counters: Counters,
}

impl Observer {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let windows = Windows::new(rules.flow);
        Self { rules, fragments: Fragments::default(), windows, counters: Counters::default() }
    }

    /// Decodes a packet, and counts it. `None` when it has no flow: the reason is counted.
    #[inline]
    pub fn decode(&mut self, packet: &Packet<'_>) -> Option<Sighting> {
        self.counters.packets += 1;
        match decode::decode(packet.link_type, packet.data, packet.wire_length, self.rules.decapsulate) {
            Ok(decoded) => {
                let direction = decoded.direction.or(packet.direction).or_else(|| self.rules.direction(&decoded.tuple));
                let action = if decoded.dropped.is_some() { Action::Reject } else { Action::Accept };
                Some(Sighting { action, decoded, time_us: decoded.time_us.unwrap_or(packet.time_us), direction })
            }
            Err(reason) => {
                self.counters.lost(reason);
                None
            }
        }
    }

    /// Adds a packet that was decoded here, and counts it as recorded. `closed` is called for what has to close first.
    ///
    /// # Errors
    /// What `closed` gives back. The packet is then not added.
    #[inline]
    pub fn add<E>(
        &mut self,
        sighting: Sighting,
        interface: u16,
        closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let (ip_bytes, time_us) = (sighting.decoded.ip_bytes, sighting.time_us);
        let ports_missing = self.observe(sighting, interface, closed)?;
        self.counters.recorded += 1;
        self.counters.ip_bytes += u64::from(ip_bytes);
        self.counters.ports_missing += u64::from(ports_missing);
        self.counters.odd_times += u64::from(!LIKELY_TIMES.contains(&time_us));
        Ok(())
    }

    /// Where a packet is an ICMP message by which a firewall on the way refuses another, and the rules want it: marks the
    /// other, which went the other way, as refused. It was counted when it was seen.
    ///
    /// # Errors
    /// What `closed` gives back.
    #[inline]
    pub fn mark_prohibited<E>(
        &mut self,
        packet: &Packet<'_>,
        sighting: &Sighting,
        interface: u16,
        closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        const ICMPS: [u8; 2] = [1, 58];
        if !self.rules.icmp_prohibited || !ICMPS.contains(&sighting.decoded.tuple.protocol) {
            return Ok(());
        }
        let Some(decoded) = decode::prohibited(packet.link_type, packet.data, packet.wire_length) else {
            return Ok(());
        };
        let direction = sighting.direction.map(|direction| match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        });
        let quoted = Sighting { decoded, direction, action: Action::Prohibited, ..*sighting };
        self.observe(quoted, interface, closed).map(drop)
    }

    /// Adds a packet without counting it. Says whether its ports are missing.
    ///
    /// # Errors
    /// What `closed` gives back. The packet is then not added.
    #[inline]
    pub fn observe<E>(
        &mut self,
        sighting: Sighting,
        interface: u16,
        closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Sighting { mut decoded, time_us, action, .. } = sighting;
        let time_us = held(time_us);
        if action == Action::Prohibited {
            // What a message quotes teaches nothing: anybody may send it.
            self.fragments.look_up(&mut decoded, time_us);
        } else {
            self.fragments.complete(&mut decoded, time_us);
        }
        self.add_up(Sighting { decoded, ..sighting }, interface, closed)?;
        Ok(decoded.ports_missing)
    }

    /// Adds a packet that is complete, without counting it.
    ///
    /// # Errors
    /// What `closed` gives back. The packet is then not added.
    #[inline]
    pub fn add_up<E>(
        &mut self,
        sighting: Sighting,
        interface: u16,
        closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let Sighting { decoded, time_us, direction, action } = sighting;
        let key = Key { tuple: decoded.tuple, interface, direction, action };
        let seen = Seen {
            bytes: decoded.ip_bytes,
            tcp_flags: decoded.tcp_flags,
            first_fragment: decoded.fragment.is_some_and(|fragment| fragment.first),
            later_fragment: decoded.fragment.is_some_and(|fragment| !fragment.first),
            fragment_bytes: decoded.fragment.map_or(0, |fragment| fragment.header_bytes),
        };
        self.windows.observe(held(time_us), key, seen, closed)
    }

    /// The windows.
    pub fn windows(&mut self) -> &mut Windows {
        &mut self.windows
    }
}

/// A packet's time as far as it is held: where the calendar can print it.
#[must_use]
pub fn held(time_us: i64) -> i64 {
    time_us.clamp(TIMES_HELD.0, TIMES_HELD.1)
}

impl Rules {
    /// The direction that the local networks tell: from them egress, to them ingress; both or none tells nothing.
    fn direction(&self, tuple: &FiveTuple) -> Option<Direction> {
        if self.local_networks.is_empty() {
            return None;
        }
        let local = |address: IpAddr| self.local_networks.iter().any(|network| network.contains(&address));
        match (local(tuple.source()), local(tuple.destination())) {
            (true, false) => Some(Direction::Egress),
            (false, true) => Some(Direction::Ingress),
            _ => None,
        }
    }
}
