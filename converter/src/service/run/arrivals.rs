//! What arrives is taken in, as far as there is room.

use std::fs;

use anyhow::Context;
use flowlake_common::time;

use super::{SECOND, Service};
use crate::{
    service::{
        config::{Config, Files, InputConfig},
        event::Event,
        parked::Parked,
    },
    source::{Arrival, Folder, Followed, SpoolFiles, Troubles},
};

/// Files that are in hand of one input at once: beyond, they are left where they are.
const MAX_HELD: usize = 8192;
/// And so many batches' bytes of them: what is not claimed its agent may give up, when its spool is full.
const HELD_BATCHES: u64 = 4;
/// Seconds between two looks at a folder.
const LOOK_EVERY: i64 = 5;
/// Seconds after which what is new in a file that grows becomes a piece; it waits for others again then.
const LONGEST_CUT: u64 = 60;

/// Where the files of one input come from.
pub(super) struct Coming {
    spool: Option<SpoolFiles>,
    pub(super) folder: Option<Folder>,
    /// Its pieces come as a spool's files do.
    pub(super) followed: Option<Followed>,
    /// What was parked, and comes again.
    again: SpoolFiles,
    looked_us: i64,
    /// What cannot be read of it now, as it was said; and what could not when its spool and its folder were looked at last.
    troubles: Troubles,
    of_spool: Troubles,
    of_folder: Troubles,
    /// What was claimed, and is not at its place any more, by name.
    pub(super) gone: Troubles,
    /// Whether it was said that what comes of it is not forwarded.
    pub(super) unforwarded: bool,
}

impl Coming {
    pub(super) fn open(config: &Config, input: &InputConfig) -> anyhow::Result<Self> {
        let again = Parked::of(&config.state).again(&input.name);
        fs::create_dir_all(&again).with_context(|| format!("cannot make {}", again.display()))?;
        let (mut spool, mut folder, mut followed) = (None, None, None);
        match &input.files {
            Files::Spool(path) => spool = Some(SpoolFiles::new(path)),
            Files::Folder(path) => {
                let seen = config.state.join("seen");
                fs::create_dir_all(&seen).with_context(|| format!("cannot make {}", seen.display()))?;
                let log = seen.join(&input.name);
                folder = Some(Folder::open(path, &log).with_context(|| format!("cannot read {}", log.display()))?);
            }
            Files::Followed(path) => {
                let pieces = config.state.join("pieces").join(&input.name);
                let kept = config.state.join("followed").join(format!("{}.json", input.name));
                let opened = Followed::open(path, &pieces, &kept);
                followed =
                    Some(opened.with_context(|| format!("cannot follow {} by {}", path.display(), kept.display()))?);
                spool = Some(SpoolFiles::new(&pieces));
            }
        }
        Ok(Self {
            spool,
            folder,
            followed,
            again: SpoolFiles::new(&again),
            looked_us: i64::MIN / 2,
            troubles: Troubles::new(),
            of_spool: Troubles::new(),
            of_folder: Troubles::new(),
            gone: Troubles::new(),
            unforwarded: false,
        })
    }
}

impl Service<'_> {
    /// Takes in what arrived, as far as there is room.
    pub(super) fn arrivals(&mut self) {
        self.unpark();
        let now_us = time::monotonic_us();
        for from in 0..self.coming.len() {
            // What cannot be read stops nobody.
            let size = |arrival: &Arrival| if self.unread.contains(&arrival.name) { 0 } else { arrival.file.size };
            let unsorted = self.unsorted.iter().filter(|(of, _)| *of == from).map(|(_, arrival)| size(arrival));
            let leaving = self.unparked.iter().map(|(held, _)| held.from).chain(self.done.iter().map(|done| done.from));
            let leaving = leaving.filter(|of| *of == from).map(|_| 0);
            let (mut room, mut bytes) = (MAX_HELD, self.config.lake.max_bytes.saturating_mul(HELD_BATCHES));
            for size in self.works.iter().flat_map(|work| work.held_of(from)).chain(unsorted).chain(leaving) {
                (room, bytes) = (room.saturating_sub(1), bytes.saturating_sub(size));
            }
            let who = format!("inputs.{}", self.config.inputs[from].name);
            let coming = &mut self.coming[from];
            let mut troubles = Troubles::new();
            if let Some(followed) = &mut coming.followed {
                // Also when there is no room: it may be moved.
                match followed.look(self.config.lake.wait.min(LONGEST_CUT)) {
                    Ok(looked) => {
                        looked.messages.into_iter().for_each(|message| (self.say)(&Event::OfInput { message }));
                    }
                    Err(error) => {
                        troubles
                            .insert("followed".to_owned(), format!("cannot follow it, or write its pieces: {error}"));
                    }
                }
            }
            let mut arrivals = Vec::new();
            if room > 0 && bytes > 0 {
                coming.of_spool.clear();
                for spool in coming.spool.iter_mut().chain([&mut coming.again]) {
                    spool.arrivals(room, bytes, &mut arrivals, &mut coming.of_spool);
                }
                if let Some(folder) =
                    coming.folder.as_mut().filter(|_| now_us - coming.looked_us >= LOOK_EVERY * SECOND)
                {
                    coming.looked_us = now_us;
                    let found = folder.look(room, &[&self.config.state]);
                    arrivals.extend(found.arrivals);
                    coming.of_folder = found.errors.into_iter().map(|message| (message.clone(), message)).collect();
                    for path in found.grown {
                        (self.say)(&Event::Grown { path });
                    }
                }
            }
            self.unsorted.extend(arrivals.into_iter().map(|arrival| (from, arrival)));
            troubles.extend(coming.of_spool.clone());
            troubles.extend(coming.of_folder.clone());
            // Said once, for as long as it lasts.
            for (_, message) in troubles.iter().filter(|(key, _)| !coming.troubles.contains_key(*key)) {
                (self.say)(&Event::Trouble { message: format!("{who}: {message}") });
            }
            self.metrics.troubles(&format!("{who}, its files"), &troubles);
            coming.troubles = troubles;
        }
    }
}
