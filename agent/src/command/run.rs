//! `flowlake-agent run` and `check`: the service, and whether it could run.

use std::path::PathBuf;

use clap::Args;
use flowlake_common::outcome::Outcome;
use rustix::fs::{Access, access};

use super::say;
use crate::{
    capture::live::{self, Device, Rights},
    service::{
        self, Ended, Event,
        config::{CaptureConfig, Config, DEFAULT_PATH},
    },
};

/// Options of `run` and `check`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Said at every start without a verdict source.
const NO_VERDICT: &str =
    "no verdict source: every record is ACCEPT; log the firewall's drops to an NFLOG group and name it in [verdict]";
/// Said instead where ICMP messages are heard.
const ONLY_REFUSED: &str =
    "no firewall's log: only what ICMP messages call refused is REJECT; name NFLOG groups in [verdict]";

/// Captures until a signal ends it, and says how it ended.
pub(super) fn run(arguments: &Arguments) -> Outcome {
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return Outcome::Usage;
        }
    };
    if config.nflog_groups.is_empty() {
        say(if config.rules.icmp_prohibited { ONLY_REFUSED } else { NO_VERDICT });
    }
    match service::run(&config, |event| say(&event.to_string())) {
        Ok(ended) => {
            say(&summary(&ended));
            if ended.given_up == 0 { Outcome::Clean } else { Outcome::Failed }
        }
        Err(error) => {
            say(&format!("{error:#}"));
            Outcome::Failed
        }
    }
}

fn summary(ended: &Ended) -> String {
    let mut text = format!("stopped\n{}\n{} records written", ended.counters, ended.records);
    let mut line = |count: u64, what: &str| {
        if count > 0 {
            text.push_str(&format!("\n{count} {what}"));
        }
    };
    line(ended.skipped_windows, "windows with a SKIPDATA record");
    line(ended.left_out.0, "records left out by the filters");
    line(ended.left_out.1, "packets in these");
    line(ended.given_up, "records that could not be written");
    line(ended.dropped.0, "finished files that were given up in a full spool, and are SKIPDATA");
    line(ended.dropped.1, "packets that these told of");
    line(ended.refused_unseen, "packets that ICMP messages called refused were not seen; they have no record");
    if let Some((recorded, elsewhere, unread)) = ended.drops {
        let unmatched = ended.verdict_unmatched;
        text.push_str(&format!(
            "\n{recorded} drops in the firewall's log, recorded as REJECT; {unmatched} of them were not seen on their way in; \
             {elsewhere} more were on interfaces that are not captured; {unread} packets of the log tell no drop"
        ));
    }
    text
}

/// Reads the configuration and says what would be captured, and what stands in the way.
pub(super) fn check(arguments: &Arguments) -> Outcome {
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return Outcome::Usage;
        }
    };
    let devices = match live::devices() {
        Ok(devices) => devices,
        Err(error) => {
            say(&format!("cannot read the network devices: {error}"));
            return Outcome::Failed;
        }
    };
    let mut outcome = Outcome::Clean;
    let default_routes = live::default_route_devices();
    let selected = |capture: &CaptureConfig| -> Vec<&Device> {
        let is_meant = |device: &&Device| {
            capture.selects(&device.name, &default_routes) && !(device.loopback && capture.is_pattern())
        };
        devices.iter().filter(is_meant).collect()
    };
    for capture in &config.capture {
        let names: Vec<&str> = selected(capture).iter().map(|device| device.name.as_str()).collect();
        let of_loopback = |device: &Device| device.loopback && capture.selects(&device.name, &default_routes);
        if names.is_empty() && devices.iter().any(of_loopback) {
            say(&format!("capture '{}': patterns leave the loopback out; name it", capture.interface));
        } else if names.is_empty() {
            say(&format!("capture '{}': no such interface now; it would be waited for", capture.interface));
        } else {
            say(&format!("capture '{}': {}", capture.interface, names.join(", ")));
        }
    }
    let captured: Vec<&Device> = config.capture.iter().flat_map(selected).collect();
    for upper in &captured {
        for lower in captured.iter().filter(|lower| upper.is_above(&lower.name, &devices)) {
            say(&Event::DoubleCounting { upper: upper.name.clone(), lower: lower.name.clone() }.to_string());
        }
    }
    for folder in [&config.state, &config.spool] {
        let nearest = folder.ancestors().find(|folder| folder.exists());
        if let Some(nearest) = nearest.filter(|nearest| access(*nearest, Access::WRITE_OK | Access::EXEC_OK).is_err()) {
            say(&format!("{}: this process may not write in {}", folder.display(), nearest.display()));
            outcome = Outcome::Failed;
        }
    }
    let rights = Rights::of_this_process();
    if !rights.net_raw {
        say("this process lacks CAP_NET_RAW, which capturing needs");
        outcome = Outcome::Failed;
    }
    if config.nflog_groups.is_empty() {
        say(if config.rules.icmp_prohibited { ONLY_REFUSED } else { NO_VERDICT });
    } else if !rights.net_admin {
        say("this process lacks CAP_NET_ADMIN, which reading the firewall's log needs");
        outcome = Outcome::Failed;
    }
    let (path, spool) = (arguments.config.display(), config.spool.display());
    match outcome {
        Outcome::Clean => say(&format!("{path}: good; records go to {spool}")),
        _ => say(&format!("{path}: what it says is good, but it could not run here")),
    }
    outcome
}
