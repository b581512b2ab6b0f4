//! Where records come from: flow log files, alone or in folders, line by line.
//!
//! Owns finding and opening files, lines and headers. Does not know OCSF. Memory is bounded by the longest line that is
//! taken, whatever the file holds.

mod csv;
mod file;
mod json;
mod lines;
mod log;
mod made;
mod parquet;
mod rows;
mod sensor;
mod suricata;
mod values;
mod zeek;

pub use file::{InputFile, Source, collect, finish};
pub use lines::{Damage, Line, Lines, MAX_LINE};
pub(crate) use log::begins_a_log;
pub use log::{COMMENT, FlowLog, Headers, Item, NotAFlowLog, Reject, begins_anew};
pub use rows::Dialect;
pub use sensor::{Mapped, Role, Sensor};
