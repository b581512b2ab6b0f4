//! Inputs in hand.

use crate::{batch::Input, source::Owned};

/// An input that arrived and is not let go of yet.
#[derive(Debug)]
pub(super) struct Held {
    /// What it is.
    pub(super) input: Input,
    /// Which of the configuration's inputs it came from.
    pub(super) from: usize,
    /// Whose file it is.
    pub(super) owned: Owned,
}

/// How long until the next attempt, in seconds: longer each time, never longer than five minutes, and never the same for all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

const LONGEST: u64 = 300;

impl Backoff {
    /// Seconds until the next attempt. `noise` is any number.
    pub(super) fn next(&mut self, noise: u64) -> u64 {
        let longest = (1 << self.attempts.min(9)).min(LONGEST);
        self.attempts += 1;
        // Half of it, and a part of the other half.
        (longest / 2 + noise % (longest / 2 + 1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rare() {
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..12).map(|_| backoff.next(1 << 40)).collect();
        // An hour of refusals is no reason to give up, nor to hammer.
        let mut backoff = Backoff::default();
        let (mut hour, mut attempts) = (0, 0);
        while hour < 3600 {
            hour += backoff.next(attempts * 7919);
            attempts += 1;
        }
        assert!((20..=40).contains(&attempts), "{attempts}");
        assert!(seconds.is_sorted() && seconds[0] == 1 && (150..=300).contains(&seconds[11]), "{seconds:?}");
    }
}
