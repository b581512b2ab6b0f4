//! Windows of a replay in which an interface said nothing: NODATA, when it is asked for.
//!
//! The first and the last window of a capture are not whole, and of a gap of more than a day nobody knows whether anything
//! was captured: these are left out.

use std::collections::BTreeSet;

use flowlake_common::time;

use super::{Gap, GapSpan};
use crate::flow::Closed;

/// Follows the windows as they close.
#[derive(Debug)]
pub struct QuietWindows {
    interval: i64,
    /// The latest window that closed, whether it is the first, and the interfaces that are in it.
    latest: Option<(i64, bool, BTreeSet<u16>)>,
}

impl QuietWindows {
    /// Windows of as many seconds.
    #[must_use]
    pub fn new(interval: u32) -> Self {
        Self { interval: interval.into(), latest: None }
    }

    /// The windows without a record that a window, or a part of one, comes after, of as many interfaces.
    pub fn before(&mut self, closed: &Closed, interfaces: u16) -> Vec<(u16, GapSpan)> {
        let present = closed.entries.iter().map(|entry| entry.key.interface);
        let mut quiet = Vec::new();
        match &mut self.latest {
            None => self.latest = Some((closed.start, true, present.collect())),
            Some((latest, _, known)) if *latest == closed.start => known.extend(present),
            // A window that was opened again for late packets.
            Some((latest, ..)) if *latest > closed.start => {}
            Some((latest, first, known)) => {
                let mut window = *latest;
                let gap = closed.start - window;
                while window < closed.start && gap <= time::DAY + self.interval {
                    for interface in 0..interfaces {
                        let whole = window != *latest || !*first;
                        if whole && !(window == *latest && known.contains(&interface)) {
                            quiet.push((interface, (Gap::NoData, window, window + self.interval - 1)));
                        }
                    }
                    window += self.interval;
                }
                self.latest = Some((closed.start, false, present.collect()));
            }
        }
        quiet
    }
}
