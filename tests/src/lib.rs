//! What tests and benches need: packets, captures and flow logs of our own making, always the same for the same numbers.

pub mod capture;
pub mod corpus;
pub mod frame;
pub mod random;
pub mod traffic;
