//! Lines of an unpacked stream, bounded.

use std::io::{self, Read};

/// Bytes of a line that are taken. A record of all 54 fields of version 11 has a few thousand at most.
pub const MAX_LINE: usize = 64 * 1024;
/// Bytes asked for at once; holds the longest line and more.
const BUFFER: usize = 1024 * 1024;

/// A line without its end (`\n` or `\r\n`). Empty lines are counted but not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Longer than [`MAX_LINE`]: its first bytes, and how many there were.
    TooLong(&'a [u8], u64),
    /// The last line of a stream that could not be read on: what there was of it.
    CutOff(&'a [u8]),
}

/// Why a stream ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("at line {line}: {source}")]
pub struct Damage {
    /// The line that could not be read, counted from 1.
    pub line: u64,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// A reader of lines.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    line: u64,
    /// Where the line began that was given last.
    last: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    /// The stream ended well.
    Ended,
    /// The stream failed; its last line was not given out yet.
    Failed(io::Error),
}

impl<R: Read> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER], start: 0, end: 0, line: 0, last: 0, state: State::Reading }
    }

    /// Gives the last line out again. Only once, only right behind a whole line.
    pub fn unread(&mut self) {
        self.start = self.last;
        self.line -= 1;
    }

    /// The stream.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The stream, wherever it stands.
    #[must_use]
    pub fn into_reader(self) -> R {
        self.reader
    }

    /// The next line and its number, counted from 1; `None` at the end. A last line without a line end is a line.
    ///
    /// # Errors
    /// When the stream cannot be read on; all lines before were given, the cut one as [`Line::CutOff`].
    pub fn next_line(&mut self) -> Result<Option<(u64, Line<'_>)>, Damage> {
        // Searched once: what was seen before a refill is not looked at again.
        let mut searched = 0;
        loop {
            let window = &self.buffer[self.start..self.end];
            if let Some(found) = memchr::memchr(b'\n', &window[searched..]) {
                let line = self.start..self.start + searched + found;
                self.last = line.start;
                self.start = line.end + 1;
                self.line += 1;
                if is_empty(&self.buffer[line.clone()]) {
                    searched = 0;
                    continue;
                }
                return Ok(Some((self.line, whole(&self.buffer[line]))));
            }
            searched = window.len();
            if searched > MAX_LINE {
                return Ok(Some(self.skip_long_line()));
            }
            match &self.state {
                State::Reading => self.refill(),
                State::Ended if searched == 0 => return Ok(None),
                State::Ended => {
                    self.line += 1;
                    let line = self.start..self.end;
                    self.last = line.start;
                    self.start = self.end;
                    if is_empty(&self.buffer[line.clone()]) {
                        return Ok(None);
                    }
                    return Ok(Some((self.line, whole(&self.buffer[line]))));
                }
                State::Failed(_) if searched > 0 => {
                    let line = self.start..self.end;
                    self.start = self.end;
                    self.line += 1;
                    return Ok(Some((self.line, Line::CutOff(&self.buffer[line]))));
                }
                State::Failed(_) => {
                    let State::Failed(source) = std::mem::replace(&mut self.state, State::Ended) else {
                        return Ok(None);
                    };
                    return Err(Damage { line: self.line + 1, source });
                }
            }
        }
    }

    fn refill(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.state = State::Ended,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.state = State::Failed(error),
        }
    }

    /// The window holds the start of a line that is too long: keeps that and drops the rest as it comes.
    fn skip_long_line(&mut self) -> (u64, Line<'_>) {
        self.buffer.copy_within(self.start..self.end, 0);
        let mut length = (self.end - self.start) as u64;
        self.start = 0;
        self.end = MAX_LINE;
        loop {
            // The kept start stays in front; the rest of the buffer is overwritten as often as it takes.
            match self.reader.read(&mut self.buffer[MAX_LINE..]) {
                Ok(0) => self.state = State::Ended,
                Ok(count) => {
                    let more = &self.buffer[MAX_LINE..MAX_LINE + count];
                    if let Some(found) = memchr::memchr(b'\n', more) {
                        length += found as u64;
                        self.start = MAX_LINE + found + 1;
                        self.end = MAX_LINE + count;
                        break;
                    }
                    length += count as u64;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.state = State::Failed(error),
            }
            self.start = MAX_LINE;
            self.end = MAX_LINE;
            break;
        }
        self.line += 1;
        (self.line, Line::TooLong(&self.buffer[..MAX_LINE], length))
    }
}

fn is_empty(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn whole(line: &[u8]) -> Line<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE { Line::TooLong(&line[..MAX_LINE], line.len() as u64) } else { Line::Whole(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in small steps, then fails or ends.
    struct Steps(Vec<u8>, usize, bool);

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            if count == 0 && self.2 {
                return Err(io::Error::other("broken"));
            }
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn all(text: &[u8], step: usize, fails: bool) -> Vec<String> {
        let mut lines = Lines::new(Steps(text.to_vec(), step, fails));
        let mut found = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some((_, Line::Whole(line)))) => found.push(String::from_utf8_lossy(line).into_owned()),
                Ok(Some((_, Line::TooLong(start, length)))) => found.push(format!("long {} of {length}", start.len())),
                Ok(Some((_, Line::CutOff(line)))) => found.push(format!("cut {}", String::from_utf8_lossy(line))),
                Ok(None) => return found,
                Err(damage) => found.push(damage.to_string()),
            }
        }
    }

    #[test]
    fn lines_end_in_either_way_and_the_last_need_not() {
        for step in [1, 3, 100] {
            assert_eq!(all(b"a\r\n\n\r\nb", step, false), ["a", "b"]);
            assert_eq!(all(b"a\n", step, false), ["a"]);
        }
    }

    #[test]
    fn a_stream_that_fails_gives_what_it_had() {
        assert_eq!(all(b"a\nbc", 2, true), ["a", "cut bc", "at line 3: broken"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut text = vec![b'x'; 3 * BUFFER + 17];
        text.extend_from_slice(b"\nnext\n");
        let long = format!("long {MAX_LINE} of {}", 3 * BUFFER + 17);
        for step in [MAX_LINE / 2, BUFFER, 10 * BUFFER] {
            assert_eq!(all(&text, step, false), [long.as_str(), "next"]);
        }
    }

    #[test]
    fn the_longest_line_is_taken() {
        let text = [vec![b'x'; MAX_LINE], b"\ny".to_vec()].concat();
        assert_eq!(all(&text, 1000, false), ["x".repeat(MAX_LINE), "y".into()]);
    }
}
