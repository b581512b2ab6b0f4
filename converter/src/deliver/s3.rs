//! Objects in a bucket: create-only, each with a checksum of its bytes and a word on what is in it.

use std::{fmt, fs::File, io, path::Path};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use flowlake_common::hash::{HashingReader, sha256};

use super::Object;
use crate::{
    aws::{Aws, failure},
    failure::{Failure, Kind},
};

/// The metadata of an object that says its inputs, and that says its rows: `x-amz-meta-…`.
const INPUTS: &str = "flowlake-inputs";
const ROWS: &str = "flowlake-rows";
/// An entry of the ledger is small; more is not read.
const MAX_SMALL: i64 = 16 << 20;

/// A bucket, or what is below a prefix in it.
#[derive(Debug, Clone)]
pub struct Bucket {
    aws: Aws,
    client: Client,
    bucket: String,
    /// Empty, or with `/` at its end.
    prefix: String,
}

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket's name.
    pub bucket: String,
    /// Empty, or with `/` at its end.
    pub prefix: String,
}

impl S3Url {
    /// Reads `s3://bucket/prefix`; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (bucket, prefix) = text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(plain) || prefix.bytes().any(|byte| byte <= b' ') {
            return None;
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Some(Self { bucket: bucket.to_owned(), prefix })
    }

    /// What is below a name in it.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), prefix: format!("{}{name}/", self.prefix) }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl Bucket {
    /// What is at an address.
    #[must_use]
    pub fn new(aws: Aws, url: S3Url) -> Self {
        Self { client: aws.s3(), aws, bucket: url.bucket, prefix: url.prefix }
    }

    fn named(&self, what: &str, key: &str) -> String {
        format!("{what} {self}{key}")
    }

    /// Writes a small object unless one has its name; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self, key: &str, content: &[u8]) -> Result<bool, Failure> {
        self.put(key, &sha256(content), || Ok(ByteStream::from(content.to_vec())), None)
    }

    /// Publishes a finished file unless one has its name; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn publish(&self, key: &str, file: &Path, object: &Object) -> Result<bool, Failure> {
        let disk = |error: io::Error| Failure::of_disk(format!("cannot read {}", file.display()), &error);
        let hash = HashingReader::new(File::open(file).map_err(disk)?).finish().map_err(disk)?;
        let body = || self.aws.wait(ByteStream::from_path(file)).map_err(|error| disk(io::Error::other(error)));
        self.put(key, &hash, body, Some(object))
    }

    fn put(
        &self,
        key: &str,
        hash: &str,
        body: impl FnOnce() -> Result<ByteStream, Failure>,
        object: Option<&Object>,
    ) -> Result<bool, Failure> {
        let mut put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(format!("{}{key}", self.prefix))
            .if_none_match("*")
            .checksum_sha256(of_hex(hash))
            .body(body()?);
        if let Some(Object { inputs, rows }) = object {
            put = put.metadata(INPUTS, inputs).metadata(ROWS, rows.to_string());
        }
        match self.aws.wait(put.send()) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, 412, "PreconditionFailed") => Ok(false),
            Err(error) => Err(failure(self.named("PutObject", key), &error)),
        }
    }

    /// A small object; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let what = || self.named("GetObject", key);
        let get = self.client.get_object().bucket(&self.bucket).key(format!("{}{key}", self.prefix));
        self.aws.wait(async {
            let found = match get.send().await {
                Ok(found) => found,
                Err(error) if is(&error, 404, "NoSuchKey") => return Ok(None),
                Err(error) => return Err(failure(what(), &error)),
            };
            if found.content_length().is_none_or(|length| length > MAX_SMALL) {
                return Err(Failure::refused(what(), "no entry of flowlake's: it is too large".to_owned()));
            }
            let content = found.body.collect().await;
            let content =
                content.map_err(|error| Failure { kind: Kind::Transient, what: what(), why: error.to_string() })?;
            Ok(Some(content.to_vec()))
        })
    }

    /// What a published object says of itself; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or says nothing.
    pub fn published(&self, key: &str) -> Result<Option<Object>, Failure> {
        let what = || self.named("HeadObject", key);
        let head = self.client.head_object().bucket(&self.bucket).key(format!("{}{key}", self.prefix));
        let found = match self.aws.wait(head.send()) {
            Ok(found) => found,
            Err(error) if is(&error, 404, "NotFound") => return Ok(None),
            Err(error) => return Err(failure(what(), &error)),
        };
        let said = |name| found.metadata().and_then(|pairs| pairs.get(name)).cloned();
        match (said(INPUTS), said(ROWS).and_then(|rows| rows.parse().ok())) {
            (Some(inputs), Some(rows)) => Ok(Some(Object { inputs, rows })),
            _ => Err(Failure::refused(what(), "an object that is not flowlake's has its name".to_owned())),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

fn is<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    status: u16,
    code: &str,
) -> bool {
    let by_code = error.code() == Some(code);
    by_code
        || error.code().is_none() && error.raw_response().is_some_and(|response| response.status().as_u16() == status)
}

/// The base64 of what hexadecimal digits say.
fn of_hex(hex: &str) -> String {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    let bytes: Vec<u8> = hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = S3Url::parse("s3://bucket/a/b").unwrap();
        assert_eq!((url.bucket.as_str(), url.prefix.as_str()), ("bucket", "a/b/"));
        assert_eq!(url.below("ext/x").to_string(), "s3://bucket/a/b/ext/x/");
        assert_eq!(S3Url::parse("s3://bucket").unwrap().prefix, "");
        for none in ["bucket/a", "s3://", "s3:///a", "s3://b/a b"] {
            assert_eq!(S3Url::parse(none), None, "{none}");
        }
    }

    #[test]
    fn checksums_are_base64() {
        assert_eq!(of_hex(&sha256(b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
