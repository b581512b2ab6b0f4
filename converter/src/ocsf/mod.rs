//! Records become rows of OCSF 1.1.0 Network Activity, column for column Security Lake's native VPC flow table.
//!
//! Owns the column tree ([`schema`]), the mapping ([`Row`]) and the columns themselves. Does not know files. Athena
//! matches struct fields by position, so the order here is part of the contract.

mod columns;
mod mapping;
mod row;
mod schema;

pub use columns::batches;
pub use mapping::{Placement, map, milliseconds};
pub use row::{Endpoint, Origin, Row, Rows, Sym, Texts, Verdict};
pub use schema::{Column, TREE, Type, schema};

/// Network Activity.
pub const CLASS_UID: i32 = 4001;
/// The OCSF version that rows say they follow.
pub const OCSF_VERSION: &str = "1.1.0";
