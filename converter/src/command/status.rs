//! `flowlake-converter status`: what the service does, what it waits for, and what it put aside.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use flowlake_common::{outcome::Outcome, time};

use super::{
    run::{Arguments, read},
    say,
};
use crate::service::{self, ForwardStatus, Latency, Parked, Status, config::Config};
use crate::source::FollowedStatus;

/// Says it. An exit code of 1 means that somebody should look: it does not run, waits for something, or parked something.
pub(super) fn run(arguments: &Arguments) -> Outcome {
    let config = match read(arguments) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    match report(&config) {
        Ok((text, is_well)) => {
            if let Err(error) = print(&text) {
                say(&format!("standard output: {error}"));
                return Outcome::Failed;
            }
            if is_well { Outcome::Clean } else { Outcome::Failed }
        }
        Err(error) => {
            say(&format!("{}: {error}", config.state.display()));
            Outcome::Failed
        }
    }
}

fn report(config: &Config) -> io::Result<(String, bool)> {
    let mut text = String::new();
    let is_running = service::is_running(&config.state)?;
    let status = Status::read(&config.state)?;
    let ago = |then: i64| time::now() - then;
    let how = match (&status, is_running) {
        (Some(status), true) => format!("runs for {} s", ago(status.since)),
        (Some(status), false) => format!("does not run; it ended {} s ago or later", ago(status.written)),
        (None, true) => "runs, and said nothing yet".to_owned(),
        (None, false) => format!("never ran with {}", config.state.display()),
    };
    let _ = writeln!(text, "service            {how}");
    let mut is_well = is_running;
    if let Some(status) = &status {
        let Status {
            inputs_delivered,
            inputs_in_hand,
            inputs_parked,
            rows,
            rows_already_there,
            lines_rejected,
            objects,
            ..
        } = status;
        let _ = writeln!(
            text,
            "inputs             {inputs_delivered} delivered, {inputs_in_hand} in hand, {inputs_parked} parked"
        );
        let _ = writeln!(
            text,
            "lake               {rows} new rows in {objects} new files; {rows_already_there} rows were there, {lines_rejected} lines rejected"
        );
        for (what, unit, latency) in [
            ("publishing", "ms", status.publish_milliseconds),
            ("batch", "s", status.batch_seconds),
            ("record to lake", "s", status.record_to_lake_seconds),
        ] {
            let Latency { count, p50, p99, max } = latency;
            if count > 0 {
                let _ = writeln!(
                    text,
                    "{what:<18} half within {p50} {unit}, 99 of 100 within {p99} {unit}, the longest {max} {unit}"
                );
            }
        }
        for (name, FollowedStatus { read, length, pieces, lost }) in &status.followed {
            let who = format!("inputs.{name}");
            let _ = write!(text, "{who:<18} {read} bytes of its file read, which has {length}; {pieces} pieces wait");
            let _ = if *lost > 0 { write!(text, "; {lost} ends of files were lost") } else { Ok(()) };
            text.push('\n');
        }
        for (who, forward) in &status.forwards {
            let ForwardStatus { records, records_again, records_untimely, inputs_queued, bytes_queued, .. } = forward;
            let _ = write!(
                text,
                "{who:<18} {records} records forwarded, {inputs_queued} inputs of {bytes_queued} bytes wait"
            );
            for (count, what) in [(records_again, "may be there twice"), (records_untimely, "were too old or too new")]
            {
                let _ = if *count > 0 { write!(text, "; {count} {what}") } else { Ok(()) };
            }
            text.push('\n');
        }
        if status.clock_ahead_seconds != 0 {
            let _ = writeln!(text, "clock              {} s ahead of the servers'", status.clock_ahead_seconds);
        }
        for (kind, count) in &status.failed_attempts {
            let _ = writeln!(text, "failed attempts    {count} {kind}");
        }
        for (who, why) in &status.waiting {
            is_well = false;
            let _ = writeln!(text, "waits              {who}: {why}");
        }
    }
    // What cannot be looked at hides nothing else.
    let mut add = |what: &str, line: String| {
        is_well = false;
        let _ = writeln!(text, "{what:<18} {line}");
    };
    match service::stray_forwards(config) {
        Ok(all) => all.iter().for_each(|(name, inputs)| {
            add("waits", format!("forward.{name}: {inputs} inputs, and it is not in the configuration"));
        }),
        Err(error) => add("waits", format!("forwards cannot be read: {error}")),
    }
    let (parked, errors) = Parked::of(&config.state).list();
    parked.iter().for_each(|parked| add("parked", format!("{}: {}: {}", parked.who(), parked.name, parked.why)));
    errors.into_iter().for_each(|error| add("parked", error));
    Ok((text, is_well))
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}
