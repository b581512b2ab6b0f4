//! A batch: inputs become rows, placed and staged, and what cannot is kept.
//!
//! What `convert` does with files that somebody names and `run` with those that arrive is the same, and is here.

mod make;
mod placement;
mod rejects;

pub use rejects::RejectsFile;

pub use make::{Changed, Input, Made, NoInput, Opened, make};

use flowlake_common::vpc::Header;

use crate::{
    input::Sensor,
    ocsf::{Mapping, Origin},
};

/// What whoever delivers inputs says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSettings {
    /// How flow logs are mapped; other sensors' logs have an origin of their own.
    pub mapping: Mapping,
    /// The account of every record, whatever the records and paths say.
    pub account_id: Option<String>,
    /// The Region of every record, whatever the records and paths say.
    pub region: Option<String>,
    /// The Region of the lake, for the partition; without it, the record's.
    pub lake_region: Option<String>,
    /// The header of lines without one.
    pub log_format: Option<Header>,
}

impl InputSettings {
    /// How a sensor's records are mapped.
    #[must_use]
    pub fn mapping_of(&self, sensor: Sensor) -> Mapping {
        let origin = match sensor {
            Sensor::FlowLog => self.mapping.origin,
            Sensor::Zeek => Origin::Zeek,
            Sensor::Suricata => Origin::Suricata,
        };
        Mapping { origin, ..self.mapping }
    }
}
