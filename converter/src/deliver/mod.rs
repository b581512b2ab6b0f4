//! Publishing lake files, each exactly once. Today into a local folder.
//!
//! An object's key names its input, partition and part, so that converting an input again meets what is there. Creating is
//! create-only: nothing published is ever overwritten.

mod directory;

pub use directory::{Delivered, Lake};
