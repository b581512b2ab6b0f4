//! What this process may capture.

use std::fs;

/// The capabilities that capture needs (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `CAP_NET_RAW`: to capture on devices.
    pub net_raw: bool,
    /// `CAP_NET_ADMIN`: to read the firewall's log.
    pub net_admin: bool,
}

impl Rights {
    /// Of this process, now.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn of(status: &str) -> Self {
        const NET_ADMIN: u64 = 1 << 12;
        const NET_RAW: u64 = 1 << 13;
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
        Self { net_raw: bits & NET_RAW != 0, net_admin: bits & NET_ADMIN != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_counts() {
        let rights = |text: &str| (Rights::of(text).net_raw, Rights::of(text).net_admin);
        assert_eq!(rights("Name:\tx\nCapPrm:\t0000000000003000\nCapEff:\t0000000000002000\n"), (true, false));
        assert_eq!(rights("CapEff:\t000001ffffffffff\n"), (true, true));
        assert_eq!(rights(""), (false, false));
    }
}
