//! Where a record belongs: account, Region and day, from the options, the record or the path, in this order.

use std::borrow::Cow;

use flowlake_common::{
    time,
    vpc::{self, Field, Header, Record, Value},
};

use super::InputSettings;
use crate::{
    lake::{MAX_DAYS_AHEAD, is_partition_word},
    ocsf::{Origin, Placement, milliseconds, unidentified_end},
};

/// Places the records of one input.
pub(super) struct Placer<'a> {
    settings: &'a InputSettings,
    /// Whose records they are.
    origin: Origin,
    /// What the path says.
    path: &'a vpc::Origin,
    /// Milliseconds since the epoch from which on a start is not believed.
    too_late: i64,
}

/// A record's place.
pub(super) struct Placed<'a> {
    pub(super) row: Placement<'a>,
    pub(super) lake_region: &'a str,
    pub(super) lake_account: Cow<'a, str>,
}

/// Why a record has no place.
pub(super) struct Cannot(pub(super) String);

impl<'a> Placer<'a> {
    pub(super) fn new(settings: &'a InputSettings, origin: Origin, path: &'a vpc::Origin) -> Self {
        Self { settings, origin, path, too_late: (time::now() + MAX_DAYS_AHEAD * time::DAY) * 1000 }
    }

    /// Whether records with this header can have an account and a Region at all.
    ///
    /// # Errors
    /// The message naming the option that is missing.
    pub(super) fn can_place(&self, header: &Header) -> Result<(), String> {
        let (settings, path) = (self.settings, self.path);
        if !header.has(Field::Start) {
            return Err(
                "its records have no start, without which no row has a time; add ${start} to the flow log's format"
                    .to_owned(),
            );
        }
        if !header.has(Field::AccountId) && settings.account_id.is_none() && path.account_id.is_none() {
            return Err("neither its records nor its path tell the account; give --account-id".to_owned());
        }
        if !header.has(Field::Region) && settings.region.is_none() && path.region.is_none() {
            return Err("neither its records nor its path tell the Region; give --region, or region in the input's configuration".to_owned());
        }
        Ok(())
    }

    /// Finds a record's place.
    pub(super) fn place(&'a self, record: &Record<'a>) -> Result<Placed<'a>, Cannot> {
        let (settings, path) = (self.settings, self.path);
        // AWS writes `unknown` for interfaces of its own making.
        let account = record.text(Field::AccountId).filter(|account| *account != "unknown");
        let account = settings.account_id.as_deref().or(account).or(path.account_id.as_deref());
        let account = account.ok_or_else(|| Cannot("no account-id; give --account-id".to_owned()))?;
        let region = settings.region.as_deref().or(record.text(Field::Region)).or(path.region.as_deref());
        let region = region
            .ok_or_else(|| Cannot("no region; give --region, or region in the input's configuration".to_owned()))?;
        for (name, word) in [("account-id", account), ("region", region)] {
            if !is_partition_word(word) {
                return Err(Cannot(format!("{name}: not a word that can stand in a path")));
            }
        }
        let start = record.int(Field::Start).ok_or_else(|| Cannot("no start".to_owned()))?;
        let time = milliseconds(start);
        if time < time::YEAR_2010 * 1000 {
            return Err(Cannot(format!("start: {start} is before 2010")));
        }
        if time > self.too_late {
            return Err(Cannot(format!("start: {start} is more than a day ahead")));
        }
        if let Some(end) = record.int(Field::End)
            && !(time::YEAR_2010 * 1000..=self.too_late + time::DAY * 1000).contains(&milliseconds(end))
        {
            return Err(Cannot(format!("end: {end} is before 2010 or more than two days ahead")));
        }
        if let Some(end) = unidentified_end(|field| record.value(field) != Value::Absent) {
            return Err(Cannot(format!(
                "neither {end} address nor interface-id: nothing identifies its {end}, as OCSF wants"
            )));
        }
        let lake_account = match self.origin {
            Origin::Aws => Cow::Borrowed(account),
            Origin::OnPremises | Origin::Zeek | Origin::Suricata => Cow::Owned(format!("external_{account}")),
        };
        let lake_region = settings.lake_region.as_deref().unwrap_or(region);
        Ok(Placed { row: Placement { account, region, time }, lake_region, lake_account })
    }
}
