//! Records in a delivery stream of Amazon Data Firehose: in batches as PutRecordBatch takes them.
//!
//! Source of the limits: Amazon Data Firehose API reference, "PutRecordBatch".

use aws_sdk_firehose::{Client, primitives::Blob, types::Record};

use crate::{
    aws::{Aws, failure},
    failure::{Failure, Kind},
};

/// Records of a batch.
pub const MAX_RECORDS: usize = 500;
/// Bytes of a batch.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// A delivery stream.
#[derive(Debug, Clone)]
pub struct DeliveryStream {
    aws: Aws,
    client: Client,
    name: String,
}

/// Records of a batch that were not taken, and may be later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// Which of them, in order.
    pub at: Vec<usize>,
    /// What the server said of the first.
    pub why: String,
}

impl DeliveryStream {
    /// The stream of a name; it has to be there.
    #[must_use]
    pub fn new(aws: Aws, name: String) -> Self {
        Self { client: aws.firehose(), aws, name }
    }

    /// Which stream it is, and in which Region.
    #[must_use]
    pub fn place(&self) -> String {
        format!("delivery stream {} in {:?}", self.name, self.aws.region())
    }

    /// Puts a batch of records, within the limits. Gives those that were not taken, if any.
    ///
    /// # Errors
    /// When none was taken, or nobody knows.
    pub fn put(&self, records: &[&[u8]]) -> Result<Option<Untaken>, Failure> {
        let mut batch = Vec::with_capacity(records.len());
        for record in records {
            let record = Record::builder().data(Blob::new(*record)).build();
            batch.push(record.map_err(|error| Failure::refused(self.what(), error.to_string()))?);
        }
        let put = self.client.put_record_batch().delivery_stream_name(&self.name).set_records(Some(batch));
        let answer = self.aws.wait(put.send()).map_err(|error| failure(self.what(), &error))?;
        let mut untaken = Untaken { at: Vec::new(), why: String::new() };
        for (at, response) in answer.request_responses().iter().enumerate() {
            let Some(code) = response.error_code() else {
                continue;
            };
            if untaken.at.is_empty() {
                untaken.why = format!("{code}: {}", response.error_message().unwrap_or("no reason"));
            }
            untaken.at.push(at);
        }
        // What the server counts and does not name, nobody can send again.
        if untaken.at.is_empty() && answer.failed_put_count() > 0 {
            let why = format!("{} records failed, and none is named", answer.failed_put_count());
            return Err(Failure { kind: Kind::Transient, what: self.what(), why });
        }
        Ok((!untaken.at.is_empty()).then_some(untaken))
    }

    /// What is tried, for a person.
    #[must_use]
    pub fn what(&self) -> String {
        format!("PutRecordBatch {}", self.name)
    }
}
