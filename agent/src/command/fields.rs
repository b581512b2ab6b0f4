//! `flowlake-agent fields`: the table of fields, as it stands.

use std::io::{self, Write};

use flowlake_common::{
    outcome::Outcome,
    vpc::{Field, Kind},
};

use super::say;

pub(super) fn run() -> Outcome {
    match print() {
        Ok(()) => Outcome::Clean,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Clean,
        Err(error) => {
            say(&format!("standard output: {error}"));
            Outcome::Failed
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn print() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<26} {:>7} {:<7} {:<69} {:<44} OCSF",
        "FIELD", "VERSION", "TYPE", "MEANING", "THE AGENT'S SOURCE"
    )?;
    for field in Field::all() {
        let info = field.info();
        let kind = match info.kind {
            Kind::Int32 { .. } => "int32",
            Kind::Int64 => "int64",
            Kind::Address => "address",
            Kind::Text => "text",
        };
        writeln!(
            out,
            "{:<26} {:>7} {kind:<7} {:<69} {:<44} {}",
            info.name, info.version, info.meaning, info.source, info.ocsf
        )?;
    }
    out.flush()
}
