//! One libpcap handle: on a device, or on groups of the firewall's log.
//!
//! libpcap tells a packet's way only by having one handle for each, inbound and outbound. The kernel filters them, so each
//! ring and each drop counter is of one way.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd},
};

use pcap::{Active, Capture, Linktype, Stat};

use super::{Device, Rights, socket};
use crate::capture::{Direction, Packet};

/// Milliseconds after which the kernel hands a block of the ring over though it is not full.
const BLOCK_TIMEOUT_MS: i32 = 100;
/// Packets of one dispatch: the other handle's ring must not starve.
const BATCH: usize = 4096;
/// libpcap's netlink buffer is as long as this; the kernel fills messages with many packets, and what does not fit is lost.
const NFLOG_SNAP_LENGTH: i32 = 262_144;
/// Link types whose header tells the packet's way, so that one handle is enough.
const COOKED: [u16; 2] = [113, 276];
/// Bytes of the kernel's queue for the firewall's log.
const NFLOG_QUEUE: usize = 16 << 20;

/// How a device is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapSettings {
    /// A filter in libpcap's language; empty takes everything.
    pub filter: String,
    /// Bytes of each packet that are captured.
    pub snap_length: u32,
    /// Bytes of the ring of each handle.
    pub ring_bytes: u32,
    /// Whether frames for other hosts are asked for.
    pub promiscuous: bool,
    /// Whether a switch mirrors other hosts' traffic to this device: all of it comes in, and that tells no direction.
    pub mirror: bool,
}

/// Why a tap could not be opened, or went away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// The device is switched off.
    #[error("it is down")]
    Down,
    /// This process may not.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// Another process reads the firewall's log group.
    #[error(
        "another process reads this NFLOG group, and the kernel allows one; end it (ulogd2, tcpdump …) or log to another group"
    )]
    GroupBusy,
    /// What libpcap or the kernel says.
    #[error("{0}")]
    Other(String),
}

/// The fanout groups of a device, for packets coming in and going out, once they are made.
#[derive(Debug, Default)]
pub struct FanoutGroups([Option<u16>; 2]);

/// An open handle. It never blocks.
pub struct Tap {
    handle: Capture<Active>,
    link_type: u16,
    direction: Option<Direction>,
    before: Stat,
    /// The kernel filter with which it begins.
    filter: Vec<String>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("link_type", &self.link_type).field("direction", &self.direction).finish()
    }
}

impl Tap {
    /// Opens a device: a handle for each way where they have to be told apart. With fanout groups these share the packets with
    /// the others of the groups; such taps give nothing until [`Tap::begin`].
    ///
    /// # Errors
    /// [`TapError`], saying what to do where that is known.
    pub fn open(
        device: &Device,
        settings: &TapSettings,
        fanout: Option<&mut FanoutGroups>,
    ) -> Result<Vec<Self>, TapError> {
        if !device.up {
            return Err(TapError::Down);
        }
        let [inbound, outbound] = fanout.map_or([None, None], |FanoutGroups(groups)| groups.each_mut().map(Some));
        let first = Self::open_one(device, settings)?;
        if COOKED.contains(&first.link_type) {
            return Ok(vec![first.ready("", None, settings, inbound)?]);
        }
        // The loopback shows each packet on its way out and in again; on a mirror port nothing that goes out matters.
        let ingress = (!settings.mirror).then_some(Direction::Ingress);
        let mut taps = vec![first.ready("inbound", ingress, settings, inbound)?];
        if !settings.mirror && !device.loopback {
            let second = Self::open_one(device, settings)?;
            taps.push(second.ready("outbound", Some(Direction::Egress), settings, outbound)?);
        }
        Ok(taps)
    }

    /// Opens groups of the firewall's log (NFLOG).
    ///
    /// # Errors
    /// [`TapError`]; [`TapError::GroupBusy`] when another process reads one of them.
    pub fn open_nflog(groups: &[u16]) -> Result<Self, TapError> {
        let names: Vec<String> = groups.iter().map(u16::to_string).collect();
        let device = format!("nflog:{}", names.join(","));
        let open = || Capture::from_device(device.as_str())?.snaplen(NFLOG_SNAP_LENGTH).open()?.setnonblock();
        let handle = open().map_err(|error| match error.to_string() {
            text if text.contains("not permitted") || text.contains("busy") => {
                if Rights::of_this_process().net_admin {
                    TapError::GroupBusy
                } else {
                    TapError::NotPermitted("reading the firewall's log needs CAP_NET_ADMIN")
                }
            }
            text => TapError::Other(text),
        })?;
        // The kernel grants what it may; a smaller queue overflows earlier, which is counted.
        let _granted = rustix::net::sockopt::set_socket_recv_buffer_size_force(handle.as_fd(), NFLOG_QUEUE);
        Self::new(handle)
    }

    fn open_one(device: &Device, settings: &TapSettings) -> Result<Self, TapError> {
        let open = || {
            Capture::from_device(device.name.as_str())?
                .snaplen(i32::try_from(settings.snap_length).unwrap_or(i32::MAX))
                .buffer_size(i32::try_from(settings.ring_bytes).unwrap_or(i32::MAX))
                .promisc(settings.promiscuous)
                .timeout(BLOCK_TIMEOUT_MS)
                .open()?
                .setnonblock()
        };
        let handle = open().map_err(|error| {
            if Rights::of_this_process().net_raw {
                other(error)
            } else {
                TapError::NotPermitted("capturing needs CAP_NET_RAW: run the agent's service, or as root")
            }
        })?;
        Self::new(handle)
    }

    fn new(mut handle: Capture<Active>) -> Result<Self, TapError> {
        let link_type = u16::try_from(handle.get_datalink().0).unwrap_or(u16::MAX);
        let before = handle.stats().map_err(other)?;
        Ok(Self { handle, link_type, direction: None, before, filter: Vec::new() })
    }

    /// Filters, and from here on counts.
    fn ready(
        mut self,
        way: &str,
        direction: Option<Direction>,
        settings: &TapSettings,
        group: Option<&mut Option<u16>>,
    ) -> Result<Self, TapError> {
        socket::stamp_on_arrival(self.handle.as_fd()).map_err(other)?;
        // What came in before the kernel filters is filtered here, by libpcap.
        if !settings.filter.is_empty() {
            self.handle.filter(&settings.filter, true).map_err(other)?;
        }
        if !way.is_empty() {
            let ways = if way == "inbound" { pcap::Direction::In } else { pcap::Direction::Out };
            self.handle.direction(ways).map_err(other)?;
        }
        let filter = match (way, settings.filter.as_str()) {
            ("", filter) => filter.to_owned(),
            (way, "") => way.to_owned(),
            (way, filter) => format!("{way} and ({filter})"),
        };
        let program = self.handle.compile(&filter, true).map_err(other)?;
        self.filter = program.get_instructions().iter().map(ToString::to_string).collect();
        self.direction = direction;
        match group {
            None => self.filter_and_count()?,
            Some(group) => {
                // Until all have joined, every member would get every packet.
                socket::attach_filter(self.handle.as_fd(), &[socket::NOTHING.to_owned()]).map_err(other)?;
                *group = Some(socket::join_fanout(self.handle.as_fd(), *group).map_err(other)?);
            }
        }
        Ok(self)
    }

    /// Begins with a tap of a fanout group, some tenths of a second after all have joined: what came to it before came to the
    /// others too.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn begin(&mut self) -> Result<(), TapError> {
        while self.dispatch(|_| ())? > 0 {}
        self.filter_and_count()
    }

    fn filter_and_count(&mut self) -> Result<(), TapError> {
        socket::attach_filter(self.handle.as_fd(), &self.filter).map_err(other)?;
        self.before = self.handle.stats().map_err(other)?;
        Ok(())
    }

    /// Gives the packets that are there, a bounded number of them, and says how many.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn dispatch(&mut self, mut take: impl FnMut(&Packet<'_>)) -> Result<usize, TapError> {
        let (link_type, direction) = (self.link_type, self.direction);
        let result = self.handle.dispatch(Some(BATCH), |captured| {
            let time = captured.header.ts;
            take(&Packet {
                time_us: time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec),
                interface: 0,
                link_type,
                direction,
                data: captured.data,
                wire_length: captured.header.len,
            });
        });
        match result {
            Ok(count) => Ok(count),
            Err(pcap::Error::TimeoutExpired) => Ok(0),
            Err(error) => Err(other(error)),
        }
    }

    /// Packets for which there was no room in the ring since the last call; of the firewall's log, how often its queue
    /// overflowed. A device that is gone has lost nothing more.
    pub fn dropped(&mut self) -> u64 {
        let Ok(now) = self.handle.stats() else {
            return 0;
        };
        // libpcap's counters are 32 bits wide and wrap.
        let dropped = now.dropped.wrapping_sub(self.before.dropped);
        self.before = now;
        dropped.into()
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Checks a capture filter without a device, as if for Ethernet.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), String> {
    let dead = Capture::dead(Linktype::ETHERNET).map_err(|error| error.to_string())?;
    dead.compile(filter, true).map(drop).map_err(|error| error.to_string())
}

fn other(error: impl fmt::Display) -> TapError {
    TapError::Other(error.to_string())
}
