//! Where records come from: flow log files, alone or in folders, line by line.
//!
//! Owns finding and opening files, lines and headers. Does not know OCSF. Memory is bounded by the longest line that is
//! taken, whatever the file holds.

mod file;
mod lines;
mod log;

pub use file::{InputFile, Source, collect, finish};
pub use lines::{Damage, Line, Lines, MAX_LINE};
pub use log::{COMMENT, FlowLog, Item, NotAFlowLog, Reject, begins_a_log};
