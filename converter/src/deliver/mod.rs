//! Publishing: a batch's objects reach their store once, whatever is killed in between, and nothing that is there is ever changed.
//!
//! [`Store`] is where objects lie, [`Ledger`] what was promised, [`Lake`] a source of the lake with both. [`LogGroup`] and
//! [`DeliveryStream`] take records at least once.

mod cloudwatch_logs;
mod directory;
mod firehose;
mod lake;
mod ledger;
mod registration;
mod root;
mod s3;
mod store;

pub use cloudwatch_logs::{EVENT_OVERHEAD, LogEvent, LogGroup, MAX_EVENT_BYTES, MAX_EVENTS, MAX_SPAN_MS, Untimely};
pub use directory::Directory;
pub use firehose::{DeliveryStream, MAX_RECORD_BYTES, MAX_RECORDS, Untaken};
pub use lake::{Delivered, Lake, Settled};
pub use ledger::{Batch, Ledger, MAX_INPUTS, Plan, State};
pub use registration::{Registration, Registrations};
pub use root::Root;
pub use s3::{Bucket, S3Url};
pub use store::{Object, Store};
