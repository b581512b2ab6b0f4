//! `flowlake-converter run`, `check` and `retry`: the service, whether it could run, and what it put aside.

use std::{fs, io, path::PathBuf};

use clap::Args;
use flowlake_common::outcome::Outcome;

use super::say;
use crate::service::{
    self, Ended, Parked,
    config::{Config, DEFAULT_PATH, Files, ForwardTo, Location},
};

/// Options of `run`, `check`, `status` and `retry`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

pub(super) fn read(arguments: &Arguments) -> Result<Config, Outcome> {
    Config::read(&arguments.config).map_err(|error| {
        say(&error.to_string());
        Outcome::Usage
    })
}

/// Delivers what arrives until a signal ends it.
pub(super) fn run(arguments: &Arguments) -> Outcome {
    let config = match read(arguments) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    match service::run(&config, &|event| say(&event.to_string())) {
        Ok(Ended { rows, already_there, rejects, objects, inputs, parked, left }) => {
            say(&format!(
                "stopped\n{inputs:>12} inputs delivered\n{rows:>12} new rows\n{already_there:>12} rows already there\n{rejects:>12} rejected lines\n\
                 {objects:>12} lake files published\n{parked:>12} inputs parked\n{left:>12} inputs in hand, which come again"
            ));
            Outcome::Clean
        }
        Err(error) => {
            say(&format!("{error:#}"));
            Outcome::Failed
        }
    }
}

/// Reads the configuration and says what it means.
pub(super) fn check(arguments: &Arguments) -> Outcome {
    let config = match read(arguments) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    for input in &config.inputs {
        let (what, path) = match &input.files {
            Files::Spool(path) => ("spool", path),
            Files::Folder(path) => ("folder", path),
            Files::Followed(path) => ("file", path),
        };
        let there = match fs::metadata(path) {
            Ok(_) => String::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ": not there now; it would be waited for".to_owned()
            }
            Err(error) => format!(": {error}; it would be waited for"),
        };
        say(&format!("inputs.{}: {what} {}{there}", input.name, path.display()));
    }
    for forward in &config.forwards {
        let to = match &forward.to {
            ForwardTo::Bucket { url, .. } => url.to_string(),
            ForwardTo::LogGroup(name) => format!("log group {name}"),
            ForwardTo::DeliveryStream(name) => format!("delivery stream {name}"),
        };
        say(&format!("forward.{}: records of {} go to {to}", forward.name, forward.inputs.join(", ")));
    }
    let lake = match &config.lake.place {
        Location::Directory(folder) => folder.display().to_string(),
        Location::S3(url) => url.to_string(),
        Location::SecurityLake => "Security Lake".to_owned(),
    };
    say(&format!("{}: good; rows go to {lake}", arguments.config.display()));
    Outcome::Clean
}

/// Lets come again what was put aside.
pub(super) fn retry(arguments: &Arguments) -> Outcome {
    let config = match read(arguments) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    let parked = Parked::of(&config.state);
    let (inputs, mut errors) = parked.list();
    let mut count = 0;
    for input in &inputs {
        match parked.retry(input) {
            Ok(()) => {
                count += 1;
                say(&format!("{}: {} comes again; it was parked: {}", input.who(), input.name, input.why));
            }
            Err(error) => errors.push(format!("{}: {}: {error}", input.who(), input.name)),
        }
    }
    match (count, errors.is_empty()) {
        (0, true) => say("nothing is parked"),
        (0, false) => {}
        (count, _) => say(&format!("{count} inputs come again; a service that runs takes them within seconds")),
    }
    if !errors.is_empty() {
        errors.iter().for_each(|error| say(error));
        return Outcome::Failed;
    }
    Outcome::Clean
}
