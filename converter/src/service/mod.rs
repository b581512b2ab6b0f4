//! The service: what arrives is put into batches and delivered, each record once, until a signal.
//!
//! Owns the order of things: an input is hashed, asked for in the ledger, held, converted with others, published, and only then let go
//! of. Speaks in [`Event`]s.

pub mod config;
mod event;
mod flight;
mod forwarder;
mod held;
mod lake;
mod lock;
mod parked;
mod run;
mod status;
mod stop;
mod work;

pub use event::{Event, Say};
pub use forwarder::{ForwardStatus, stray_forwards};
pub use lock::is_running;
pub use parked::{Parked, ParkedInput};
pub use run::{Ended, run};
pub use status::{Latency, Status};
