//! Adds packets up: one entry per flow in each window of time. Pure: time is the packet's.
//!
//! A record is one direction of one 5-tuple on one interface in one window. Invariants: every packet observed is in
//! exactly one closed window; memory is bounded by the flow limit, because a full table gives up its oldest chunk early.

mod counters;
mod filter;
mod observer;
mod part;
mod table;
mod verdict;
mod window;

pub use counters::{Counters, Lost};
pub use filter::{FlowMatch, LeftOut, RecordFilter, TrafficType};
pub use observer::{Observer, Rules, Sighting, held};
pub use part::{Closed, Part};
pub use table::{Action, Entry, Key, Seen};
pub use verdict::Drops;
pub use window::{Settings, Windows};
