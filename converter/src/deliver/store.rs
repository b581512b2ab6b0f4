//! Where objects lie: one narrow interface, create-only.

use std::{fmt, path::Path};

use flowlake_common::hash;

use super::{Directory, S3Url, s3::Bucket};
use crate::{aws::Aws, failure::Failure};

/// A place that keeps objects by their keys.
#[derive(Debug, Clone)]
pub enum Store {
    /// A local folder.
    Directory(Directory),
    /// A bucket, or what is below a prefix in it.
    S3(Bucket),
}

/// What a lake file says of itself, wherever it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// SHA-256 over the names of its inputs; see [`Object::digest`].
    pub inputs: String,
    /// Its rows.
    pub rows: usize,
}

impl Object {
    /// One name for a list of inputs: of one input its own, of several the SHA-256 of their names, sorted, each with a line end.
    #[must_use]
    pub fn digest(inputs: &[String]) -> String {
        match inputs {
            [input] => input.clone(),
            _ => {
                let mut sorted: Vec<&str> = inputs.iter().map(String::as_str).collect();
                sorted.sort_unstable();
                let text: String = sorted.iter().map(|input| format!("{input}\n")).collect();
                hash::sha256(text.as_bytes())
            }
        }
    }
}

impl Store {
    /// What is at an address in S3.
    #[must_use]
    pub fn s3(aws: &Aws, url: S3Url) -> Self {
        Self::S3(Bucket::new(aws.clone(), url))
    }

    /// Writes a small object unless one has its name; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self, key: &str, content: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Directory(directory) => directory.create(key, content),
            Self::S3(bucket) => bucket.create(key, content),
        }
    }

    /// A small object; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Directory(directory) => directory.read(key),
            Self::S3(bucket) => bucket.read(key),
        }
    }

    /// Publishes a finished file unless one has its name; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn publish(&self, key: &str, file: &Path, object: &Object) -> Result<bool, Failure> {
        match self {
            Self::Directory(directory) => directory.publish(key, file),
            Self::S3(bucket) => bucket.publish(key, file, object),
        }
    }

    /// What a published object says of itself; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or says nothing.
    pub fn published(&self, key: &str) -> Result<Option<Object>, Failure> {
        match self {
            Self::Directory(directory) => directory.published(key),
            Self::S3(bucket) => bucket.published(key),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "{}", directory.path("").display()),
            Self::S3(bucket) => write!(f, "{bucket}"),
        }
    }
}
