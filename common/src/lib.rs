//! What agent and converter must agree on: the VPC flow log fields and their text, object names, decompression, time.
//!
//! Knows no packets, no OCSF, no AWS client. Everything here is a value or a pure function, except [`time`], the only
//! place that asks the clock, [`aside`] and [`spool`], which write files, and [`progress`], which draws on the terminal.

pub mod arguments;
pub mod aside;
pub mod codec;
pub mod config;
pub mod hash;
pub mod icmp;
pub mod outcome;
#[cfg(feature = "parquet")]
pub mod pages;
pub mod progress;
pub mod spool;
pub mod time;
pub mod vpc;
