//! The rows of a batch on their way into lake files: sorted into partitions, written aside part by part.

use std::{collections::HashMap, path::Path};

use anyhow::Context;
use flowlake_common::{
    time,
    vpc::{Field, Header, Record},
};
use tempfile::TempPath;

use super::{partition::Partition, writer};
use crate::ocsf::{self, Mapping, Placement, Rows};

/// Partitions of a batch whose rows are held at once; none has a file open. Beyond, the fullest is written.
const MAX_PARTITIONS: usize = 1024;
/// Bytes of rows and their texts held at once, over all open partitions: some 600,000 rows. Beyond, the fullest is
/// written. Fixed, because it decides which rows a part holds.
const MAX_BYTES: usize = 128 << 20;
/// How many rows come between two looks at the bytes.
const LOOK_EVERY: usize = 1024;

/// A lake file that is written but not yet published.
#[derive(Debug)]
pub struct Staged {
    /// Where its rows belong.
    pub partition: Partition,
    /// The object's own name: its batch and its part number in the partition.
    pub name: String,
    /// The file, written aside; gone when dropped.
    pub file: TempPath,
    /// Its rows.
    pub rows: usize,
    /// When the last of its records ended: milliseconds since the epoch.
    pub newest: i64,
}

impl Staged {
    /// The object's key below its source.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.partition, self.name)
    }
}

/// The rows of a batch: of one input, or of several one after the other.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The batch's name.
    batch: &'a str,
    /// The SHA-256 names of its inputs, sorted.
    inputs: &'a [String],
    mapping: Mapping,
    /// The folder for files written aside, on the lake's file system.
    aside: &'a Path,
    open: Vec<Open>,
    staged: Vec<Staged>,
    /// Parts that each partition has so far.
    parts: HashMap<Partition, u32>,
    since_look: usize,
}

#[derive(Debug)]
struct Open {
    partition: Partition,
    rows: Rows,
    newest: i64,
}

impl<'a> Stage<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(batch: &'a str, inputs: &'a [String], mapping: Mapping, aside: &'a Path) -> Self {
        Self {
            batch,
            inputs,
            mapping,
            aside,
            open: Vec::new(),
            staged: Vec::new(),
            parts: HashMap::new(),
            since_look: 0,
        }
    }

    /// Maps a record, read from `line` by `header`, into its partition, whose Region and account are the lake's.
    ///
    /// # Errors
    /// When a part had to be written and could not be.
    pub fn add(
        &mut self,
        record: &Record<'_>,
        header: &Header,
        line: &str,
        placement: Placement<'_>,
        (lake_region, lake_account): (&str, &str),
    ) -> anyhow::Result<()> {
        let day = placement.time.div_euclid(1000 * time::DAY) * time::DAY;
        let is_it = |open: &Open| {
            let partition = &open.partition;
            partition.day == day && partition.account == lake_account && partition.region == lake_region
        };
        let place = match self.open.iter().rposition(is_it) {
            Some(place) => place,
            None => {
                if self.open.len() == MAX_PARTITIONS {
                    self.write_fullest()?;
                }
                let partition = Partition { region: lake_region.to_owned(), account: lake_account.to_owned(), day };
                self.open.push(Open { partition, rows: Rows::default(), newest: i64::MIN });
                self.open.len() - 1
            }
        };
        let ended = record.int(Field::End).map_or(placement.time, ocsf::milliseconds);
        self.open[place].newest = self.open[place].newest.max(ended);
        ocsf::map(record, header, line, placement, self.mapping, &mut self.open[place].rows);
        self.since_look += 1;
        if self.since_look == LOOK_EVERY {
            self.since_look = 0;
            if self.open.iter().map(|open| open.rows.bytes()).sum::<usize>() >= MAX_BYTES {
                self.write_fullest()?;
            }
        }
        Ok(())
    }

    /// Writes what is left and gives every file.
    ///
    /// # Errors
    /// When a part cannot be written.
    pub fn finish(mut self) -> anyhow::Result<Vec<Staged>> {
        while !self.open.is_empty() {
            let open = self.open.remove(0);
            self.write(open)?;
        }
        Ok(self.staged)
    }

    fn write_fullest(&mut self) -> anyhow::Result<()> {
        let sizes = self.open.iter().enumerate().map(|(place, open)| (open.rows.bytes(), std::cmp::Reverse(place)));
        let Some((_, std::cmp::Reverse(fullest))) = sizes.max() else {
            return Ok(());
        };
        let open = self.open.remove(fullest);
        self.write(open)
    }

    fn write(&mut self, mut open: Open) -> anyhow::Result<()> {
        let part = self.parts.entry(open.partition.clone()).or_default();
        let name = format!("{}-{part:05}.parquet", self.batch);
        *part += 1;
        let count = open.rows.len();
        let file = writer::write(&mut open.rows, self.mapping, self.inputs, self.aside)
            .with_context(|| format!("cannot write a lake file in {}", self.aside.display()))?;
        self.staged.push(Staged { partition: open.partition, name, file, rows: count, newest: open.newest });
        Ok(())
    }
}
