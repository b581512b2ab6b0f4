//! The files of a replay: opening them, and putting them into the order of their first packets.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flowlake_common::{
    codec::{Compression, Decoder},
    progress::{Progress, ProgressReader},
};

use crate::capture::CaptureFile;

/// A capture's bytes, unpacked.
pub(super) type Source = Decoder<ProgressReader<Box<dyn Read>>>;

/// More unpacked bytes are not believed: a terabyte.
const MAX_CAPTURE: u64 = 1 << 40;

/// A file to replay.
pub(super) struct Input {
    path: PathBuf,
    /// As messages name it.
    pub(super) name: String,
}

/// The size of all files together; `None` when one is not known.
pub(super) fn total_size(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())).sum()
}

/// The inputs in order of their first packets' times; a single one, and standard input, are not looked into. What cannot
/// be opened stands first, as the message to say.
pub(super) fn in_order(files: &[PathBuf]) -> Vec<Result<Input, String>> {
    let mut inputs: Vec<(i64, Result<Input, String>)> = Vec::new();
    for path in files {
        let standard = path.as_os_str() == "-";
        let input = Input::of(path);
        // A pipe can be read once: what was looked at would be gone.
        let once = standard || fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        let first = if files.len() == 1 || once { Ok(i64::MAX) } else { input.first_time() };
        inputs.push(match first {
            Ok(time) => (time, Ok(input)),
            Err(message) => (i64::MIN, Err(message)),
        });
    }
    inputs.sort_by_key(|(time, _)| *time);
    inputs.into_iter().map(|(_, input)| input).collect()
}

impl Input {
    /// The file at a path; `-` is standard input.
    pub(super) fn of(path: &Path) -> Self {
        let standard = path.as_os_str() == "-";
        let name = if standard { "standard input".to_owned() } else { path.display().to_string() };
        Self { path: path.to_owned(), name }
    }

    /// Opens the capture and reads its header.
    pub(super) fn open(&self, progress: &Progress) -> Result<CaptureFile<Source>, String> {
        let raw: Box<dyn Read> = if self.path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(open_file(&self.path).map_err(|error| format!("{}: {error}", self.name))?)
        };
        let decoder = Decoder::new(ProgressReader::new(raw, progress.clone()), MAX_CAPTURE);
        let decoder = decoder.map_err(|error| format!("{}: {error}", self.name))?;
        let packed = match decoder.compression() {
            Compression::None => "",
            Compression::Gzip => " (of the unpacked gzip)",
            Compression::Zstd => " (of the unpacked zstd)",
        };
        CaptureFile::open(decoder).map_err(|damage| format!("{}: {damage}{packed}", self.name))
    }

    /// The time of the first packet; without one the file may stand anywhere.
    fn first_time(&self) -> Result<i64, String> {
        // Looked into beside the bar, which counts only what is read for good.
        let time = self.open(&Progress::hidden())?.next_packet().ok().flatten().map(|packet| packet.time_us);
        Ok(time.unwrap_or(i64::MAX))
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder; name the capture files in it"));
    }
    Ok(file)
}
