//! flowlake's integration tests: one binary. They run the built programs as users do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bad_captures;
mod bad_logs;
mod batches;
mod captures;
mod cloud;
mod convert;
mod crash;
mod deliveries;
mod fault_proxy;
mod faults;
mod flow_logs;
mod followed;
mod forward;
mod fuzz_seeds;
mod lab;
mod lake;
mod line;
mod live;
mod live_service;
mod live_verdict;
mod mapping;
mod odd_columns;
mod odd_deliveries;
mod outage;
mod public_captures;
mod questions;
mod recipes;
mod replay;
mod round_trip;
mod security_lake;
mod sensors;
mod service;
mod sql;
mod support;
mod troubles;
mod tshark;
mod tunnels;
mod verdict;
