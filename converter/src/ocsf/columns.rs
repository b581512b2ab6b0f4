//! Rows as Arrow columns, in the order of the tree.
//!
//! Every text column is a dictionary over the rows' common texts, so no text is copied per row. Constants are keys too.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray, types::Int32Type,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, Fields};

use super::{
    CLASS_UID,
    mapping::Mapping,
    row::{Endpoint, Origin, Row, Rows, Sym, Texts, Verdict},
    schema::{TREE, Type, Version, list_element, map_entries, map_fields, schema, struct_fields},
};

/// Rows of a batch. Enough that the cost per batch does not show.
const BATCH: usize = 32 * 1024;

/// The rows, in their order, as batches of the tree's columns.
///
/// # Errors
/// Never for rows made by [`super::map`]; the Arrow constructors check.
pub fn batches(rows: &mut Rows, mapping: Mapping) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    let constants = Constants::new(&mut rows.texts, mapping);
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.texts.iter()));
    let rows = &*rows;
    rows.rows.chunks(BATCH).map(move |chunk| {
        let columns = Columns { rows: chunk, pairs: &rows.pairs, values: &values, constants: &constants };
        columns.batch(mapping.version)
    })
}

/// Texts that every row has.
struct Constants {
    product: Sym,
    vendor: Sym,
    provider: Sym,
    feature: Sym,
    version: Sym,
    profiles: [Sym; 3],
    severity: Sym,
    class: Sym,
    category: Sym,
    verdicts: [VerdictTexts; 4],
    statuses: [Sym; 3],
    ip_address: Sym,
    resource_uid: Sym,
    source: ObservableNames,
    destination: ObservableNames,
}

struct VerdictTexts {
    activity: Sym,
    action: Sym,
    disposition: Sym,
    type_name: Sym,
}

/// Names of observables of one end.
struct ObservableNames {
    ip: Sym,
    intermediate: Sym,
    instance: Sym,
}

impl Constants {
    fn new(texts: &mut Texts, mapping: Mapping) -> Self {
        let (product, vendor, feature, provider) = match mapping.origin {
            Origin::Aws => ("Amazon VPC", "AWS", "Flowlogs", "AWS"),
            Origin::OnPremises => ("flowlake", "flowlake", "Flowlogs", "on-premises"),
            Origin::Zeek => ("Zeek", "Zeek", "conn", "on-premises"),
            Origin::Suricata => ("Suricata", "OISF", "flow", "on-premises"),
        };
        let mut verdict = |activity: &str, action: &str, disposition: Option<&str>| VerdictTexts {
            activity: texts.intern(activity),
            action: texts.intern(action),
            disposition: texts.maybe(disposition),
            type_name: texts.intern(&format!("Network Activity: {activity}")),
        };
        let verdicts = [
            verdict("Traffic", "Allowed", Some("Allowed")),
            verdict("Refuse", "Denied", Some("Blocked")),
            verdict("Unknown", "Unknown", None),
            verdict("Traffic", "Unknown", None),
        ];
        let mut names = |end: &str| ObservableNames {
            ip: texts.intern(&format!("{end}.ip")),
            intermediate: texts.intern(&format!("{end}.intermediate_ips[]")),
            instance: texts.intern(&format!("{end}.instance_uid")),
        };
        Self {
            source: names("src_endpoint"),
            destination: names("dst_endpoint"),
            product: texts.intern(product),
            vendor: texts.intern(vendor),
            provider: texts.intern(provider),
            feature: texts.intern(feature),
            version: texts.intern(mapping.version.name()),
            profiles: ["cloud", "security_control", "datetime"].map(|profile| texts.intern(profile)),
            severity: texts.intern("Informational"),
            class: texts.intern("Network Activity"),
            category: texts.intern("Network Activity"),
            verdicts,
            statuses: ["Unknown", "Success", "Failure"].map(|status| texts.intern(status)),
            ip_address: texts.intern("IP Address"),
            resource_uid: texts.intern("Resource UID"),
        }
    }

    fn status(&self, verdict: Verdict) -> Sym {
        let [unknown, success, failure] = self.statuses;
        match verdict {
            Verdict::Accept => success,
            Verdict::Reject => failure,
            Verdict::Unknown | Verdict::None => unknown,
        }
    }

    fn verdict(&self, verdict: Verdict) -> &VerdictTexts {
        &self.verdicts[verdict as usize]
    }
}

/// Activity, action and type as OCSF numbers them.
fn activity_id(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Accept | Verdict::None => 6,
        Verdict::Reject => 5,
        Verdict::Unknown => 0,
    }
}

fn action_id(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Accept => 1,
        Verdict::Reject => 2,
        Verdict::Unknown | Verdict::None => 0,
    }
}

/// Allowed 1, Blocked 2; absent where there is no disposition.
fn disposition_id(verdict: Verdict) -> Option<i32> {
    match verdict {
        Verdict::Accept => Some(1),
        Verdict::Reject => Some(2),
        Verdict::Unknown | Verdict::None => None,
    }
}

/// What came of it: Success 1, Failure 2, Unknown 0.
fn status_id(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Accept => 1,
        Verdict::Reject => 2,
        Verdict::Unknown | Verdict::None => 0,
    }
}

const CATEGORY_UID: i32 = 4;
/// OCSF observable types.
const TYPE_IP_ADDRESS: i32 = 2;
const TYPE_RESOURCE_UID: i32 = 10;

type Built = Result<ArrayRef, ArrowError>;

/// A slice of rows on its way to columns.
struct Columns<'a> {
    rows: &'a [Row],
    pairs: &'a [(Sym, Sym)],
    values: &'a ArrayRef,
    constants: &'a Constants,
}

impl Columns<'_> {
    fn batch(&self, version: Version) -> Result<RecordBatch, ArrowError> {
        let constants = self.constants;
        let time = |of: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
            Arc::new(self.rows.iter().map(of).collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        };
        let mut columns: Vec<ArrayRef> = vec![
            self.metadata()?,
            self.cloud()?,
            self.endpoint("src_endpoint", |row| &row.source)?,
            self.endpoint("dst_endpoint", |row| &row.destination)?,
            self.connection_info()?,
            structure(
                "traffic",
                vec![
                    Arc::new(self.rows.iter().map(|row| row.packets).collect::<Int64Array>()),
                    Arc::new(self.rows.iter().map(|row| row.bytes).collect::<Int64Array>()),
                ],
            )?,
            Arc::new(self.rows.iter().map(|row| Some(row.time)).collect::<Int64Array>()),
            time(&|row| Some(row.time)),
            time(&|row| Some(row.time)),
            time(&|row| row.end_time),
            self.texts(|row| row.status_code)?,
            self.numbers(|_| Some(1)),
            self.texts(|_| constants.severity)?,
            self.texts(|_| constants.class)?,
            self.numbers(|_| Some(CLASS_UID)),
            self.texts(|_| constants.category)?,
            self.numbers(|_| Some(CATEGORY_UID)),
            self.texts(|row| constants.verdict(row.verdict).activity)?,
            self.numbers(|row| Some(activity_id(row.verdict))),
            self.texts(|row| constants.verdict(row.verdict).action)?,
            self.numbers(|row| Some(action_id(row.verdict))),
            self.texts(|row| constants.verdict(row.verdict).disposition)?,
            Arc::new(
                self.rows
                    .iter()
                    .map(|row| Some(i64::from(CLASS_UID * 100 + activity_id(row.verdict))))
                    .collect::<Int64Array>(),
            ),
            self.texts(|row| constants.verdict(row.verdict).type_name)?,
            self.unmapped()?,
            self.observables()?,
        ];
        if version == Version::V1_3_0 {
            columns.push(self.numbers(|row| disposition_id(row.verdict)));
            columns.push(self.numbers(|row| Some(status_id(row.verdict))));
            columns.push(self.texts(|row| constants.status(row.verdict))?);
        }
        RecordBatch::try_new(schema(version), columns)
    }

    fn metadata(&self) -> Built {
        let constants = self.constants;
        let product = vec![
            self.texts(|row| row.product_version)?,
            self.texts(|_| constants.product)?,
            structure("metadata.product.feature", vec![self.texts(|_| constants.feature)?])?,
            self.texts(|_| constants.vendor)?,
        ];
        let profiles = self.dictionary(self.rows.iter().flat_map(|_| constants.profiles))?;
        let lengths = self.rows.iter().map(|_| constants.profiles.len());
        structure(
            "metadata",
            vec![
                structure("metadata.product", product)?,
                list(Type::String, lengths, profiles, None)?,
                self.texts(|_| constants.version)?,
            ],
        )
    }

    fn cloud(&self) -> Built {
        structure(
            "cloud",
            vec![
                structure("cloud.account", vec![self.texts(|row| row.account)?])?,
                self.texts(|row| row.region)?,
                self.texts(|row| row.zone)?,
                self.texts(|_| self.constants.provider)?,
            ],
        )
    }

    fn endpoint(&self, name: &str, of: impl Fn(&Row) -> &Endpoint) -> Built {
        let intermediates = || self.rows.iter().map(|row| of(row).intermediate_ip);
        let present = |sym: Sym| sym != Sym::NULL;
        let nulls: NullBuffer = intermediates().map(present).collect();
        let values = self.dictionary(intermediates().filter(|sym| present(*sym)))?;
        let lengths = intermediates().map(|sym| usize::from(present(sym)));
        structure(
            name,
            vec![
                self.numbers(|row| of(row).port.map(i32::from)),
                self.texts(|row| of(row).svc_name)?,
                self.texts(|row| of(row).ip)?,
                list(Type::String, lengths, values, Some(nulls))?,
                self.texts(|row| of(row).interface_uid)?,
                self.texts(|row| of(row).vpc_uid)?,
                self.texts(|row| of(row).instance_uid)?,
                self.texts(|row| of(row).subnet_uid)?,
            ],
        )
    }

    fn connection_info(&self) -> Built {
        structure(
            "connection_info",
            vec![
                self.numbers(|row| row.protocol_num.map(i32::from)),
                self.numbers(|row| row.tcp_flags.map(i32::from)),
                self.texts(|row| row.protocol_ver)?,
                self.numbers(|row| Some(row.boundary_id.into())),
                self.texts(|row| row.boundary)?,
                self.numbers(|row| Some(row.direction_id.into())),
                self.texts(|row| row.direction)?,
            ],
        )
    }

    fn unmapped(&self) -> Built {
        let pairs = || {
            self.rows.iter().flat_map(|row| {
                let first = row.unmapped.0 as usize;
                &self.pairs[first..first + usize::from(row.unmapped.1)]
            })
        };
        let keys = self.dictionary(pairs().map(|pair| pair.0))?;
        let values = self.dictionary(pairs().map(|pair| pair.1))?;
        let entries = StructArray::try_new(map_fields(), vec![keys, values], None)?;
        let offsets = OffsetBuffer::from_lengths(self.rows.iter().map(|row| row.unmapped.1.into()));
        let nulls: NullBuffer = self.rows.iter().map(|row| row.unmapped.1 > 0).collect();
        Ok(Arc::new(MapArray::try_new(map_entries(), offsets, entries, Some(nulls), false)?))
    }

    /// Addresses and instances, destination first, as the native rows have them.
    fn observables(&self) -> Built {
        let constants = self.constants;
        let of_end = |end: &Endpoint, names: &ObservableNames| {
            [
                (names.ip, end.ip, constants.ip_address, TYPE_IP_ADDRESS),
                (names.intermediate, end.intermediate_ip, constants.ip_address, TYPE_IP_ADDRESS),
                (names.instance, end.instance_uid, constants.resource_uid, TYPE_RESOURCE_UID),
            ]
        };
        let mut found = Vec::with_capacity(self.rows.len() * 3);
        let mut lengths = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let before = found.len();
            let destination = of_end(&row.destination, &constants.destination);
            let all = destination.into_iter().chain(of_end(&row.source, &constants.source));
            found.extend(all.filter(|(_, value, ..)| *value != Sym::NULL));
            lengths.push(found.len() - before);
        }
        let Some(Type::Array(Type::Struct(fields))) = TREE.last().map(|column| column.kind) else {
            return Err(ArrowError::SchemaError("observables are not the tree's last column".to_owned()));
        };
        let columns: Vec<ArrayRef> = vec![
            self.dictionary(found.iter().map(|(name, ..)| *name))?,
            self.dictionary(found.iter().map(|(_, value, ..)| *value))?,
            self.dictionary(found.iter().map(|(_, _, kind, _)| *kind))?,
            Arc::new(found.iter().map(|(.., type_id)| Some(*type_id)).collect::<Int32Array>()),
        ];
        let values = Arc::new(StructArray::try_new(struct_fields(fields), columns, None)?);
        let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
        list(Type::Struct(fields), lengths, values, Some(nulls))
    }

    fn texts(&self, of: impl Fn(&Row) -> Sym) -> Built {
        self.dictionary(self.rows.iter().map(of))
    }

    fn numbers(&self, of: impl Fn(&Row) -> Option<i32>) -> ArrayRef {
        Arc::new(self.rows.iter().map(of).collect::<Int32Array>())
    }

    fn dictionary(&self, syms: impl Iterator<Item = Sym>) -> Built {
        let keys: Int32Array = syms.map(|sym| sym.index().and_then(|index| i32::try_from(index).ok())).collect();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(self.values))?))
    }
}

/// A struct column of the tree, by its path.
fn structure(path: &str, columns: Vec<ArrayRef>) -> Built {
    Ok(Arc::new(StructArray::try_new(fields(path)?, columns, None)?))
}

fn fields(path: &str) -> Result<Fields, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the tree has no struct {path}"));
    let mut names = path.split('.');
    let top = names.next().and_then(|name| TREE.iter().find(|column| column.name == name)).ok_or_else(missing)?;
    let mut kind = top.kind;
    for name in names {
        let Type::Struct(members) = kind else {
            return Err(missing());
        };
        kind = members.iter().find(|(member, _)| *member == name).ok_or_else(missing)?.1;
    }
    match kind {
        Type::Struct(members) => Ok(struct_fields(members)),
        _ => Err(missing()),
    }
}

fn list(element: Type, lengths: impl IntoIterator<Item = usize>, values: ArrayRef, nulls: Option<NullBuffer>) -> Built {
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(list_element(element), offsets, values, nulls)?))
}
