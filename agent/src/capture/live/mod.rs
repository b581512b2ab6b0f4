//! Live capture with libpcap: devices, taps on them, and the firewall's log.
//!
//! A tap never blocks: its descriptor is polled, because a blocking read does not return on an idle link and windows
//! would not close.

mod device;
mod rights;
mod socket;
mod tap;

pub use device::{Device, default_route_devices, devices, dropped_by_device};
pub use rights::Rights;
pub use tap::{FanoutGroups, Tap, TapError, TapSettings, check_filter};
