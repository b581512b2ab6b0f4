//! What tests and benches need: packets, captures and flow logs of our own making, always the same for the same numbers.

pub mod capture;
pub mod corpus;
pub mod frame;
pub mod fuzz;
pub mod mapping;
pub mod random;
pub mod seeds;
pub mod traffic;
