//! Flow logs to OCSF lake files: the converter's rooms, left to right.
//!
//! [`input`] gives records, [`ocsf`] maps them to rows, [`lake`] makes sorted Parquet files of them, [`deliver`] publishes
//! each exactly once. Each imports only from its left; [`command`] wires them up and alone speaks to the user.

pub mod command;
pub mod deliver;
pub mod input;
pub mod lake;
pub mod ocsf;
