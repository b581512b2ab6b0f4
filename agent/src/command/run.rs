//! `flowlake-agent run` and `check`: the service, and whether it could run.

use std::path::PathBuf;

use clap::Args;
use flowlake_common::outcome::Outcome;

use super::say;
use crate::{
    capture::live::{self, Rights},
    service::{
        self, Ended,
        config::{Config, DEFAULT_PATH},
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
        say(NO_VERDICT);
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
    for capture in &config.capture {
        let selected: Vec<&str> = devices
            .iter()
            .filter(|device| {
                capture.selects(&device.name, &default_routes) && !(device.loopback && capture.is_pattern())
            })
            .map(|device| device.name.as_str())
            .collect();
        if selected.is_empty() {
            say(&format!("capture '{}': no such interface now; it would be waited for", capture.interface));
        } else {
            say(&format!("capture '{}': {}", capture.interface, selected.join(", ")));
        }
    }
    let rights = Rights::of_this_process();
    if !rights.net_raw {
        say("this process lacks CAP_NET_RAW, which capturing needs");
        outcome = Outcome::Failed;
    }
    if config.nflog_groups.is_empty() {
        say(NO_VERDICT);
    } else if !rights.net_admin {
        say("this process lacks CAP_NET_ADMIN, which reading the firewall's log needs");
        outcome = Outcome::Failed;
    }
    say(&format!("{}: good; records go to {}", arguments.config.display(), config.spool.display()));
    outcome
}
