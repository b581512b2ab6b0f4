//! Rows become lake files: partitions, sorting, Parquet, names, and the rules that such files keep.
//!
//! Rules: Security Lake User Guide, "Collecting data from custom sources". Invariant: what an input's objects are, and
//! which rows each holds, depends on the input and its placement alone, so that converting it again names the same
//! objects.

mod attributes;
mod partition;
mod stage;
mod validate;
mod writer;

pub use partition::{MAX_DAYS_AHEAD, Partition, is_partition_word, is_source_name};
pub use stage::{Stage, Staged};
pub use validate::{Report, validate};
pub use writer::{recorded_inputs, write};
