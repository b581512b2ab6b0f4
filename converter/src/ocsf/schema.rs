//! The column tree: names, order and types of every column, as Security Lake's native table `vpc_flow_2_0` has them.
//!
//! Without accountid, region and asl_version: the first two are partition keys of a custom source. The same tree stands
//! in every file, for ever, though a column be all null. Struct fields have `int`, `bigint`, `string` as Glue names them.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Glue `int`.
    Int,
    /// Glue `bigint`.
    BigInt,
    /// Glue `string`.
    String,
    /// Glue `timestamp`: milliseconds, UTC.
    Timestamp,
    /// Glue `struct`.
    Struct(&'static [(&'static str, Self)]),
    /// Glue `array`.
    Array(&'static Self),
    /// Glue `map<string,string>`.
    Map,
}

/// A top-level column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether every row has a value (`optional: false` in the native table).
    pub required: bool,
}

use Type::{Array, BigInt, Int, Map, String, Struct, Timestamp};

const PRODUCT: Type =
    Struct(&[("version", String), ("name", String), ("feature", Struct(&[("name", String)])), ("vendor_name", String)]);
const ENDPOINT: Type = Struct(&[
    ("port", Int),
    ("svc_name", String),
    ("ip", String),
    ("intermediate_ips", Array(&String)),
    ("interface_uid", String),
    ("vpc_uid", String),
    ("instance_uid", String),
    ("subnet_uid", String),
]);
const OBSERVABLE: Type = Struct(&[("name", String), ("value", String), ("type", String), ("type_id", Int)]);

const fn optional(name: &'static str, kind: Type) -> Column {
    Column { name, kind, required: false }
}

const fn required(name: &'static str, kind: Type) -> Column {
    Column { name, kind, required: true }
}

/// The tree of 1.1.0.
pub const TREE: &[Column] = &[
    optional("metadata", Struct(&[("product", PRODUCT), ("profiles", Array(&String)), ("version", String)])),
    optional(
        "cloud",
        Struct(&[("account", Struct(&[("uid", String)])), ("region", String), ("zone", String), ("provider", String)]),
    ),
    optional("src_endpoint", ENDPOINT),
    optional("dst_endpoint", ENDPOINT),
    optional(
        "connection_info",
        Struct(&[
            ("protocol_num", Int),
            ("tcp_flags", Int),
            ("protocol_ver", String),
            ("boundary_id", Int),
            ("boundary", String),
            ("direction_id", Int),
            ("direction", String),
        ]),
    ),
    optional("traffic", Struct(&[("packets", BigInt), ("bytes", BigInt)])),
    required("time", BigInt),
    optional("time_dt", Timestamp),
    optional("start_time_dt", Timestamp),
    optional("end_time_dt", Timestamp),
    optional("status_code", String),
    required("severity_id", Int),
    required("severity", String),
    required("class_name", String),
    required("class_uid", Int),
    required("category_name", String),
    required("category_uid", Int),
    required("activity_name", String),
    required("activity_id", Int),
    optional("action", String),
    optional("action_id", Int),
    optional("disposition", String),
    required("type_uid", BigInt),
    required("type_name", String),
    optional("unmapped", Map),
    optional("observables", Array(&OBSERVABLE)),
];

/// What OCSF 1.3.0 adds: behind the tree of 1.1.0, whose structs stay as they are, so that rows of both versions still union.
pub const ADDED_IN_1_3_0: &[Column] =
    &[optional("disposition_id", Int), optional("status_id", Int), optional("status", String)];

/// An OCSF version that rows follow. Security Lake's own sources have 1.1.0; custom ones may have up to 1.3.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 1.1.0, column for column the native table.
    #[default]
    V1_1_0,
    /// 1.3.0.
    V1_3_0,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V1_1_0, Self::V1_3_0];

    /// As `metadata.version` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_1_0 => "1.1.0",
            Self::V1_3_0 => "1.3.0",
        }
    }

    /// Its top-level columns, in their order.
    pub fn columns(self) -> impl Iterator<Item = &'static Column> {
        let added = match self {
            Self::V1_1_0 => &[],
            Self::V1_3_0 => ADDED_IN_1_3_0,
        };
        TREE.iter().chain(added)
    }
}

/// The Arrow type that a column is built as. Strings are dictionaries in memory and plain strings in Parquet.
pub(super) fn data_type(kind: Type) -> DataType {
    match kind {
        Int => DataType::Int32,
        BigInt => DataType::Int64,
        String => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        Struct(fields) => DataType::Struct(struct_fields(fields)),
        Array(element) => DataType::List(list_element(*element)),
        Map => DataType::Map(map_entries(), false),
    }
}

pub(super) fn struct_fields(fields: &[(&str, Type)]) -> Fields {
    fields.iter().map(|(name, kind)| Field::new(*name, data_type(*kind), true)).collect()
}

/// The Parquet format's own name for a list's element, which every engine reads.
pub(super) fn list_element(element: Type) -> Arc<Field> {
    Arc::new(Field::new("element", data_type(element), true))
}

pub(super) fn map_entries() -> Arc<Field> {
    Arc::new(Field::new("key_value", DataType::Struct(map_fields()), false))
}

pub(super) fn map_fields() -> Fields {
    Fields::from(vec![Field::new("key", data_type(String), false), Field::new("value", data_type(String), true)])
}

static SCHEMAS: LazyLock<[SchemaRef; 2]> = LazyLock::new(|| {
    Version::ALL.map(|version| {
        let columns = version.columns();
        let fields: Fields =
            columns.map(|column| Field::new(column.name, data_type(column.kind), !column.required)).collect();
        Arc::new(Schema::new(fields))
    })
});

/// A version's tree as an Arrow schema.
#[must_use]
pub fn schema(version: Version) -> SchemaRef {
    Arc::clone(&SCHEMAS[version as usize])
}
