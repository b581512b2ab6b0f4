//! Publishing: a batch's objects reach their store once, whatever is killed in between, and nothing that is there is ever changed.
//!
//! [`Store`] is where objects lie, [`Ledger`] what was promised, [`Lake`] a source of the lake with both.

mod directory;
mod lake;
mod ledger;
mod registration;
mod root;
mod s3;
mod store;

pub use directory::Directory;
pub use lake::{Delivered, Lake, Settled};
pub use ledger::{Batch, Ledger, MAX_INPUTS, Plan, State};
pub use registration::{Registration, Registrations};
pub use root::Root;
pub use s3::{Bucket, S3Url};
pub use store::{Object, Store};
