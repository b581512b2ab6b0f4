//! The network devices of this host, as the kernel's files show them (`/sys/class/net`, `/proc/net`).

use std::{fs, io, path::Path};

const SYSFS: &str = "/sys/class/net";
/// More devices are not looked at.
const MAX_DEVICES: usize = 4096;
/// `IFF_UP` (if.h).
const FLAG_UP: u32 = 1;
/// `IFF_LOOPBACK` (if.h).
const FLAG_LOOPBACK: u32 = 8;
/// `RTF_UP` and `RTF_REJECT` (route.h).
const ROUTE_UP: u32 = 1;
const ROUTE_REJECT: u32 = 0x200;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name, such as `eth0`.
    pub name: String,
    /// The kernel's number of it (ifindex); a device that is made anew gets another.
    pub index: u32,
    /// Whether it is switched on: a device that is not cannot be captured.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Its hardware address; empty where it has none.
    pub address: String,
    /// Devices that it is made of: the members of a bond, the ports of a bridge, the device below a VLAN.
    pub lower: Vec<String>,
}

/// Every device, by name. Those that vanish meanwhile are left out.
///
/// # Errors
/// When the kernel's folder cannot be read.
pub fn devices() -> io::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(SYSFS)?.take(MAX_DEVICES) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(device) = read(&name) {
            devices.push(device);
        }
    }
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(devices)
}

fn read(name: &str) -> Option<Device> {
    let folder = Path::new(SYSFS).join(name);
    let text = |file: &str| fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned());
    // Some entries, such as bonding_masters, are no devices.
    let index = text("ifindex")?.parse().ok()?;
    let flags = u32::from_str_radix(text("flags")?.trim_start_matches("0x"), 16).ok()?;
    let address = text("address").filter(|address| address.bytes().any(|byte| !b"0:".contains(&byte)));
    let mut lower: Vec<String> = fs::read_dir(&folder)
        .ok()?
        .take(MAX_DEVICES)
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("lower_").map(str::to_owned))
        .collect();
    lower.sort();
    Some(Device {
        name: name.to_owned(),
        index,
        up: flags & FLAG_UP != 0,
        loopback: flags & FLAG_LOOPBACK != 0,
        address: address.unwrap_or_default(),
        lower,
    })
}

/// Packets that a device and its driver dropped before anybody could capture them; `None` when it is not there. libpcap counts
/// them in promiscuous mode alone.
#[must_use]
pub fn dropped_by_device(name: &str) -> Option<u64> {
    let folder = Path::new(SYSFS).join(name).join("statistics");
    let count = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    Some(count("rx_missed_errors")?.saturating_add(count("rx_fifo_errors")?))
}

impl Device {
    /// Whether it is made of another, directly or by way of others.
    #[must_use]
    pub fn is_above(&self, other: &str, devices: &[Self]) -> bool {
        /// A VLAN on a bridge on a bond on a VLAN … of that many levels.
        const LEVELS: usize = 8;
        let mut below: Vec<&str> = self.lower.iter().map(String::as_str).collect();
        for _ in 0..LEVELS {
            if below.contains(&other) {
                return true;
            }
            let next = devices.iter().filter(|device| below.contains(&device.name.as_str()));
            below = next.flat_map(|device| device.lower.iter().map(String::as_str)).collect();
        }
        false
    }
}

/// The devices that default routes of IPv4 and IPv6 leave by, each once.
#[must_use]
pub fn default_route_devices() -> Vec<String> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    default_routes(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

/// Columns: of IPv4 device, destination, gateway, flags, counters (3), mask; of IPv6 destination, its length, source, its
/// length, next hop, metric, counters (2), flags, device. Numbers are hexadecimal.
fn default_routes(ipv4: &str, ipv6: &str) -> Vec<String> {
    let usable = |flags: &str| {
        u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & ROUTE_UP != 0 && flags & ROUTE_REJECT == 0)
    };
    let zero = |word: &str| word.bytes().all(|byte| byte == b'0');
    let mut names: Vec<String> = Vec::new();
    for line in ipv4.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, destination, _, flags, _, _, _, mask, ..] = words[..]
            && zero(destination)
            && zero(mask)
            && usable(flags)
        {
            names.push(name.to_owned());
        }
    }
    for line in ipv6.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [destination, length, _, _, _, _, _, _, flags, name] = words[..]
            && zero(destination)
            && zero(length)
            && usable(flags)
            && name != "lo"
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_of_both_families_are_found() {
        let ipv4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                    eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let ipv6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                    fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wlan0\n\
                    00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                    00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(default_routes(ipv4, ipv6), ["eth0", "wlan0"]);
        assert!(default_routes("garbage\n\u{0}", "a b c").is_empty());
    }

    #[test]
    fn what_a_device_is_made_of_is_found_below_others() {
        let device = |name: &str, lower: &[&str]| Device {
            name: name.to_owned(),
            index: 1,
            up: true,
            loopback: false,
            address: String::new(),
            lower: lower.iter().map(ToString::to_string).collect(),
        };
        let devices = [device("eth0", &[]), device("br0", &["eth0"]), device("mv0", &["br0"]), device("odd", &["odd"])];
        assert!(devices[2].is_above("eth0", &devices) && devices[2].is_above("br0", &devices));
        assert!(!devices[0].is_above("mv0", &devices) && !devices[3].is_above("eth0", &devices));
    }

    #[test]
    fn this_host_has_a_loopback() {
        assert!(dropped_by_device("lo").is_some() && dropped_by_device("no such device").is_none());
        let devices = devices().unwrap();
        assert!(devices.iter().any(|device| device.loopback && device.index > 0), "{devices:?}");
    }
}
