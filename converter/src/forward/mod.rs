//! Beside the lake: VPC flow log records as they are, delivered as AWS delivers its own flow logs, so that what reads those reads them.
//!
//! Owns what waits ([`Queue`]) and how one input goes out ([`Sending`]): as files in S3, as log events in CloudWatch Logs, or as records
//! in a Firehose stream. In S3 every record is once; the other two take records at least once, and those that may have been taken before
//! are counted. Does not know the lake, nor when to try again.

mod batches;
mod flow_logs;
mod queue;
mod sending;

pub use flow_logs::{FlowLogs, flow_log_id};
pub use queue::{About, Entry, Queue};
pub use sending::{Between, Counts, Destination, Ended, Sending, Untimely};
