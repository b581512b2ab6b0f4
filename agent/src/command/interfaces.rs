//! `flowlake-agent interfaces`: what could be captured, and with which rights.

use std::io::{self, Write};

use flowlake_common::outcome::Outcome;

use super::say;
use crate::{
    capture::live::{self, Rights},
    identity,
};

pub(super) fn run() -> Outcome {
    match print() {
        Ok(()) => Outcome::Clean,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Clean,
        Err(error) => {
            say(&error.to_string());
            Outcome::Failed
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn print() -> io::Result<()> {
    let devices = live::devices()?;
    let default_routes = live::default_route_devices();
    let mut out = io::stdout().lock();
    writeln!(out, "{:<16} {:>6} {:<5} {:<21} {:<17} NOTES", "INTERFACE", "INDEX", "STATE", "INTERFACE-ID", "ADDRESS")?;
    for device in &devices {
        let mut notes = Vec::new();
        if default_routes.contains(&device.name) {
            notes.push("default route".to_owned());
        }
        if device.loopback {
            notes.push("loopback: only when it is named".to_owned());
        }
        if !device.lower.is_empty() {
            notes.push(format!("made of {}: capture it or them, not both", device.lower.join(", ")));
        }
        let state = if device.up { "up" } else { "down" };
        let (id, address) = (identity::interface_id(device), &device.address);
        let line =
            format!("{:<16} {:>6} {state:<5} {id:<21} {address:<17} {}", device.name, device.index, notes.join("; "));
        writeln!(out, "{}", line.trim_end())?;
    }
    let rights = Rights::of_this_process();
    let has = |has: bool| if has { "yes" } else { "no" };
    writeln!(out, "this process may capture (CAP_NET_RAW): {}", has(rights.net_raw))?;
    writeln!(out, "this process may read the firewall's log (CAP_NET_ADMIN): {}", has(rights.net_admin))?;
    out.flush()
}
