//! Flow logs to OCSF lake files: the converter's rooms, left to right.
//!
//! [`input`] gives records, [`ocsf`] maps them to rows, [`lake`] makes sorted Parquet files of them, [`batch`] does all of that with
//! some inputs, [`deliver`] publishes what comes out exactly once; [`forward`] delivers the records themselves beside it. Each imports only from its left, and from [`failure`] and [`aws`];
//! [`command`] wires them up and alone speaks to the user.

pub mod aws;
pub mod batch;
pub mod command;
pub mod deliver;
pub mod failure;
pub mod forward;
pub mod input;
pub mod lake;
pub mod ocsf;
pub mod provision;
pub mod service;
pub mod source;
