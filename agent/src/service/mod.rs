//! The service: live capture on this host's interfaces, for months.
//!
//! Owns the threads. Each interface has capture threads, which own their flow tables and never wait, and one closer, which
//! joins what they and the firewall's log hand over and writes the spool. Between them is a bounded inbox; nobody touches
//! it per packet. The supervisor opens what comes, ends what goes, and tries again.

pub mod config;

mod closer;
mod event;
mod firewall;
mod inbox;
mod interfaces;
mod marker;
mod run;
mod shard;

pub use event::{Event, Say};
pub use run::{Ended, run};
