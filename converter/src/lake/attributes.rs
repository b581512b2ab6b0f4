//! OCSF's own rules about the attributes of a row: what the class and its profiles require, and captions that agree with their ids.
//!
//! Owns the captions of Network Activity's enumerations. Sources: OCSF schema 1.1.0 and 1.3.0, class 4001, profiles cloud, datetime
//! and security_control.

use std::net::IpAddr;

use anyhow::Context;
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray,
    TimestampMillisecondArray,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMillisecondType},
};

use crate::ocsf::Version;

type Captions = &'static [(i32, &'static str)];

const ACTIVITIES: Captions =
    &[(0, "Unknown"), (1, "Open"), (2, "Close"), (3, "Reset"), (4, "Fail"), (5, "Refuse"), (6, "Traffic")];
const ACTIONS: Captions = &[(0, "Unknown"), (1, "Allowed"), (2, "Denied")];
const SEVERITIES: Captions =
    &[(0, "Unknown"), (1, "Informational"), (2, "Low"), (3, "Medium"), (4, "High"), (5, "Critical"), (6, "Fatal")];
const DIRECTIONS: Captions = &[(0, "Unknown"), (1, "Inbound"), (2, "Outbound"), (3, "Lateral")];
const BOUNDARIES: Captions = &[
    (0, "Unknown"),
    (1, "Localhost"),
    (2, "Internal"),
    (3, "External"),
    (4, "Same VPC"),
    (5, "Internet/VPC Gateway"),
    (6, "Virtual Private Gateway"),
    (7, "Intra-region VPC"),
    (8, "Inter-region VPC"),
    (9, "Local Gateway"),
    (10, "Gateway VPC"),
    (11, "Internet Gateway"),
];
const STATUSES: Captions = &[(0, "Unknown"), (1, "Success"), (2, "Failure")];
/// Allowed and Blocked are what the class's own actions come to here.
const DISPOSITIONS: Captions = &[(1, "Allowed"), (2, "Blocked")];
/// What an observable's type is called; only these two are written.
const OBSERVABLES: Captions = &[(2, "IP Address"), (10, "Resource UID")];
/// The profiles of which the rows have attributes.
const PROFILES: [&str; 3] = ["cloud", "security_control", "datetime"];
/// "Other": whose caption is whatever the source says.
const OTHER: i32 = 99;

/// An enumeration: where its id and its caption stand, what belongs together, and whether there must be an id.
struct Enumeration<'b> {
    id: &'b Int32Array,
    caption: &'b StringViewArray,
    captions: Captions,
    required: bool,
    name: &'static str,
}

/// A text that must be there, or that must be this one.
struct Text<'b> {
    value: &'b StringViewArray,
    wanted: Option<&'static str>,
    name: &'static str,
}

/// The attributes of a batch's rows.
pub(super) struct Attributes<'b> {
    enumerations: Vec<Enumeration<'b>>,
    texts: Vec<Text<'b>>,
    /// Of each end: its address, and whatever else identifies it.
    ends: [(&'static str, Vec<&'b StringViewArray>); 2],
    /// Of each end: its port, and the addresses on the way.
    ways: [(&'static str, &'b Int32Array, &'b ListArray); 2],
    counts: [(&'static str, &'b Int64Array); 2],
    profiles: &'b ListArray,
    observables: &'b ListArray,
    disposition: &'b StringViewArray,
    action_id: &'b Int32Array,
    times: [&'b TimestampMillisecondArray; 2],
    account: &'b StringViewArray,
    type_name: &'b StringViewArray,
    activity_name: &'b StringViewArray,
}

impl<'b> Attributes<'b> {
    /// Finds them.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub(super) fn of(batch: &'b RecordBatch, version: Version) -> anyhow::Result<Self> {
        let enumeration = |name, id, caption, captions, required| -> anyhow::Result<Enumeration<'b>> {
            Ok(Enumeration { id: int(batch, id)?, caption: text(batch, caption)?, captions, required, name })
        };
        let mut enumerations = vec![
            enumeration("activity", "activity_id", "activity_name", ACTIVITIES, true)?,
            enumeration("action", "action_id", "action", ACTIONS, true)?,
            enumeration("severity", "severity_id", "severity", SEVERITIES, true)?,
            enumeration("direction", "connection_info.direction_id", "connection_info.direction", DIRECTIONS, true)?,
            enumeration("boundary", "connection_info.boundary_id", "connection_info.boundary", BOUNDARIES, false)?,
        ];
        if version == Version::V1_3_0 {
            enumerations.push(enumeration("status", "status_id", "status", STATUSES, true)?);
            enumerations.push(enumeration("disposition", "disposition_id", "disposition", DISPOSITIONS, false)?);
        }
        let wanted =
            |name, wanted| -> anyhow::Result<Text<'b>> { Ok(Text { value: text(batch, name)?, wanted, name }) };
        let identities = |end: &str| -> anyhow::Result<Vec<&'b StringViewArray>> {
            let names = ["ip", "svc_name", "instance_uid", "interface_uid"];
            names.iter().map(|name| text(batch, &format!("{end}.{name}"))).collect()
        };
        Ok(Self {
            enumerations,
            texts: vec![
                wanted("class_name", Some("Network Activity"))?,
                wanted("category_name", Some("Network Activity"))?,
                wanted("metadata.version", Some(version.name()))?,
                wanted("metadata.product.name", None)?,
                wanted("metadata.product.vendor_name", None)?,
                wanted("cloud.provider", None)?,
                wanted("cloud.account.uid", None)?,
            ],
            ends: [("src_endpoint", identities("src_endpoint")?), ("dst_endpoint", identities("dst_endpoint")?)],
            ways: [
                ("src_endpoint", int(batch, "src_endpoint.port")?, list(batch, "src_endpoint.intermediate_ips")?),
                ("dst_endpoint", int(batch, "dst_endpoint.port")?, list(batch, "dst_endpoint.intermediate_ips")?),
            ],
            counts: [("packets", long(batch, "traffic.packets")?), ("bytes", long(batch, "traffic.bytes")?)],
            profiles: list(batch, "metadata.profiles")?,
            observables: list(batch, "observables")?,
            disposition: text(batch, "disposition")?,
            action_id: int(batch, "action_id")?,
            times: [instant(batch, "time_dt")?, instant(batch, "start_time_dt")?],
            account: text(batch, "cloud.account.uid")?,
            type_name: text(batch, "type_name")?,
            activity_name: text(batch, "activity_name")?,
        })
    }

    /// The first thing that is wrong with a row in the partition of an account.
    pub(super) fn problem(&self, row: usize, account: Option<&str>) -> Option<String> {
        for Enumeration { id, caption, captions, required, name } in &self.enumerations {
            let caption = value(caption, row);
            if id.is_null(row) {
                if *required || caption.is_some() {
                    return Some(format!("no {name}_id"));
                }
                continue;
            }
            let id = id.value(row);
            let wanted = captions.iter().find(|(known, _)| *known == id).map(|(_, caption)| *caption);
            match (wanted, caption) {
                (None, _) if id != OTHER => return Some(format!("{name}_id {id}, which OCSF does not have")),
                (Some(wanted), Some(caption)) if wanted != caption => {
                    return Some(format!("{name}_id {id} is '{wanted}', and not '{}'", caption.escape_debug()));
                }
                _ => {}
            }
        }
        for Text { value: column, wanted, name } in &self.texts {
            match (value(column, row), wanted) {
                (None, _) => return Some(format!("no {name}")),
                (Some(found), Some(wanted)) if found != *wanted => {
                    return Some(format!("{name} is '{}', and not '{wanted}'", found.escape_debug()));
                }
                _ => {}
            }
        }
        for (end, identities) in &self.ends {
            if identities.iter().all(|identity| identity.is_null(row)) {
                return Some(format!("nothing identifies {end}"));
            }
            if let Some(address) = identities.first().and_then(|address| value(address, row))
                && address.parse::<IpAddr>().is_err()
            {
                return Some(format!("{end}.ip: '{}' is no IP address", address.escape_debug()));
            }
        }
        if let Some(problem) = self.values(row, account) {
            return Some(problem);
        }
        let (activity, kind) = (value(self.activity_name, row)?, value(self.type_name, row)?);
        (kind.strip_prefix("Network Activity: ") != Some(activity))
            .then(|| format!("type_name '{}' does not belong to activity '{activity}'", kind.escape_debug()))
    }
}

impl Attributes<'_> {
    /// Values that no enumeration has, and what stands in lists.
    fn values(&self, row: usize, account: Option<&str>) -> Option<String> {
        let profiles = texts(self.profiles, row);
        if let Some(missing) = PROFILES.iter().find(|profile| !profiles.iter().any(|found| found == *profile)) {
            return Some(format!("metadata.profiles does not have {missing}"));
        }
        if let Some(other) = profiles.iter().find(|found| !PROFILES.contains(&found.as_str())) {
            return Some(format!("metadata.profiles has '{}'", other.escape_debug()));
        }
        for (end, port, addresses) in &self.ways {
            if port.is_valid(row) && !(0..=65_535).contains(&port.value(row)) {
                return Some(format!("{end}.port: {} is no port", port.value(row)));
            }
            let addresses = texts(addresses, row);
            if let Some(other) = addresses.iter().find(|address| address.parse::<IpAddr>().is_err()) {
                return Some(format!("{end}.intermediate_ips: '{}' is no IP address", other.escape_debug()));
            }
        }
        for (name, count) in &self.counts {
            if count.is_valid(row) && count.value(row) < 0 {
                return Some(format!("traffic.{name}: {} is less than none", count.value(row)));
            }
        }
        let wanted = match self.action_id.value(row) {
            1 => Some("Allowed"),
            2 => Some("Blocked"),
            _ => None,
        };
        if let (Some(wanted), Some(found)) = (wanted, value(self.disposition, row))
            && wanted != found
        {
            return Some(format!(
                "disposition '{}' beside action_id {}",
                found.escape_debug(),
                self.action_id.value(row)
            ));
        }
        let [time, start] = self.times;
        if start.is_valid(row) && start.value(row) != time.value(row) {
            return Some("start_time_dt is not time_dt".to_owned());
        }
        if let (Some(folder), Some(found)) = (account, value(self.account, row))
            && folder.strip_prefix("external_").unwrap_or(folder) != found
        {
            return Some(format!(
                "cloud.account.uid '{}', but the partition says accountId={folder}",
                found.escape_debug()
            ));
        }
        self.observables(row)
    }

    fn observables(&self, row: usize) -> Option<String> {
        if self.observables.is_null(row) {
            return None;
        }
        let all = self.observables.value(row);
        let all = all.as_struct_opt()?;
        let text = |name: &str| all.column_by_name(name).and_then(|column| column.as_string_view_opt().cloned());
        let (Some(names), Some(kinds)) = (text("name"), text("type")) else {
            return Some("observables without name or type".to_owned());
        };
        let ids = all.column_by_name("type_id").and_then(|column| column.as_primitive_opt::<Int32Type>());
        let ids = ids.map(|ids| (0..ids.len()).map(|index| ids.is_valid(index).then(|| ids.value(index))))?;
        for (index, id) in ids.enumerate() {
            let caption = OBSERVABLES.iter().find(|(known, _)| Some(*known) == id).map(|(_, caption)| *caption);
            let (Some(caption), Some(_)) = (caption, value(&names, index)) else {
                return Some(format!("observable {index} has no name, or a type_id that is not 2 or 10"));
            };
            if value(&kinds, index).is_some_and(|kind| kind != caption) {
                return Some(format!("observable {index} is of another type than {caption}"));
            }
        }
        None
    }
}

/// The texts of a row's list.
fn texts(lists: &ListArray, row: usize) -> Vec<String> {
    if lists.is_null(row) {
        return Vec::new();
    }
    let all = lists.value(row);
    let texts = all.as_string_view_opt().map(|texts| texts.iter().map(|text| text.unwrap_or_default().to_owned()));
    texts.map(Iterator::collect).unwrap_or_default()
}

fn list<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b ListArray> {
    leaf(batch, path)?.as_list_opt::<i32>().with_context(|| format!("column {path}"))
}

fn long<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b Int64Array> {
    leaf(batch, path)?.as_primitive_opt::<Int64Type>().with_context(|| format!("column {path}"))
}

fn instant<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b TimestampMillisecondArray> {
    leaf(batch, path)?.as_primitive_opt::<TimestampMillisecondType>().with_context(|| format!("column {path}"))
}

fn value(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn text<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b StringViewArray> {
    leaf(batch, path)?.as_string_view_opt().with_context(|| format!("column {path}"))
}

fn int<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b Int32Array> {
    leaf(batch, path)?.as_primitive_opt::<Int32Type>().with_context(|| format!("column {path}"))
}

/// A column by its path, through structs.
fn leaf<'b>(batch: &'b RecordBatch, path: &str) -> anyhow::Result<&'b ArrayRef> {
    let mut names = path.split('.');
    let mut column = names.next().and_then(|name| batch.column_by_name(name));
    for name in names {
        let inner: Option<&StructArray> = column.and_then(|column| column.as_struct_opt());
        column = inner.and_then(|inner| inner.column_by_name(name));
    }
    column.with_context(|| format!("no column {path}"))
}
