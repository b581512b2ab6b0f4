//! Records become rows of OCSF Network Activity, column for column Security Lake's native VPC flow table.
//!
//! Owns the column tree ([`schema`]), the mapping ([`Row`]) and the columns themselves. Does not know files. Athena
//! matches struct fields by position, so the order here is part of the contract.

mod columns;
mod community_id;
mod mapping;
mod row;
mod schema;

pub use columns::batches;
pub use mapping::{Mapping, Placement, map, milliseconds, unidentified_end};
pub use row::{Endpoint, Origin, Row, Rows, Sym, Texts, Verdict};
pub use schema::{ADDED_IN_1_3_0, Column, TREE, Type, Version, schema};

/// Network Activity.
pub const CLASS_UID: i32 = 4001;
