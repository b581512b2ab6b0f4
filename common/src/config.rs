//! Configuration files: TOML, strict; what is wrong in one is said with file, line and key.

use std::{fs, io, path::Path};

use serde::de::DeserializeOwned;

/// A configuration of more bytes is none.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration cannot be used: file, line and key, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Reads a configuration as it is written (`R`), and gives what it means by `meant`, whose errors are the offset of what is wrong
/// and why.
///
/// # Errors
/// [`ConfigError`], naming file, line and key.
pub fn read<R: DeserializeOwned, T>(
    path: &Path,
    meant: impl FnOnce(R) -> Result<T, (usize, String)>,
) -> Result<T, ConfigError> {
    let name = path.display();
    let text = read_bounded(path).map_err(|error| ConfigError(format!("{name}: {error}")))?;
    let raw: R = toml::from_str(&text).map_err(|error| {
        let Some(span) = error.span().filter(|_| !error.message().starts_with("missing field")) else {
            return ConfigError(format!("{name}: {}", error.message()));
        };
        let line = line_of(&text, span.start);
        let key = key_at(&text, span.start);
        ConfigError(format!("{name}:{line}: {key}{}", error.message()))
    })?;
    meant(raw).map_err(|(offset, message)| ConfigError(format!("{name}:{}: {message}", line_of(&text, offset))))
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration"));
    }
    fs::read_to_string(path)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The key, with a colon behind it, whose value is at a place in the text, or which stands there itself.
fn key_at(text: &str, offset: usize) -> String {
    let (before, behind) = text.split_at_checked(offset).unwrap_or((text, ""));
    let begun = before.rsplit('\n').next().unwrap_or_default();
    let written = begun.rsplit_once('=').map_or(behind, |(key, _)| key.rsplit(['{', ',']).next().unwrap_or(key));
    let key = written.split(['=', '\n']).next().unwrap_or_default().trim();
    // Of a table's name what stands in its brackets, where they were not read.
    let key = if key.starts_with('[') { key } else { key.trim_end_matches([']', ' ']) };
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}
