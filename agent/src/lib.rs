//! Packets to flow records: the agent's rooms, left to right.
//!
//! [`capture`] gives packets, [`decode`] finds the 5-tuple, [`flow`] adds up windows, [`emit`] writes VPC flow log
//! records. Each imports only from its left; [`command`] wires them up and alone speaks to the user. `decode` and `flow`
//! are pure functions of bytes and packet time: no device, no clock, no async runtime.

pub mod capture;
pub mod command;
pub mod decode;
pub mod emit;
pub mod flow;
pub mod identity;
pub mod service;
