//! `flowlake-converter provision`: Security Lake is told of a source, once.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use flowlake_common::outcome::Outcome;

use super::say;
use crate::{
    aws::{self, Aws},
    deliver::{Registration, Registrations},
    failure::Failure,
    lake::is_source_name,
    provision::{self, Plan, Request},
    service::config::{Config, DEFAULT_PATH, Location},
};

/// Register a source with Security Lake, so that `run` may deliver to it. Run twice, it finds what is there
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The source of the lake, as the service's rows go to
    #[arg(value_name = "SOURCE", default_value = "flowlake_agent")]
    source: String,
    /// The service's configuration; [lake] has path = "security-lake" and the lake's region
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// The profile of whoever registers, if not the service's own
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The external id that the service will show [default: one made by chance]
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The account that may deliver [default: the service's own]
    #[arg(long, value_name = "ACCOUNT")]
    principal: Option<String>,
    /// The user or role that the service delivers as [default: who its credentials belong to]
    #[arg(long, value_name = "ARN")]
    caller: Option<String>,
    /// The role of the Glue crawler, made before
    #[arg(long, value_name = "ARN", conflicts_with = "create_roles")]
    crawler_role: Option<String>,
    /// Make the crawler's role, and let the service's user or role assume the provider's
    #[arg(long)]
    create_roles: bool,
    /// Say what would be done, with every policy, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// How often a new role is tried: IAM tells its servers of it within seconds.
const TRIES: u32 = 6;

pub(super) fn run(arguments: Arguments) -> Outcome {
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            say(&error.to_string());
            return Outcome::Usage;
        }
    };
    if !is_source_name(&arguments.source) {
        say(&format!("'{}': a source has 1 to 20 lower-case letters, digits and '_'", arguments.source));
        return Outcome::Usage;
    }
    match register(arguments, &config) {
        Ok(()) => Outcome::Clean,
        Err(error) => {
            say(&format!("{error:#}"));
            if let Some(failure) = error.downcast_ref::<Failure>() {
                say(&failure.kind.to_string());
            }
            Outcome::Failed
        }
    }
}

fn register(arguments: Arguments, config: &Config) -> anyhow::Result<()> {
    let Arguments { source, profile, external_id, principal, caller, crawler_role, create_roles, dry_run, .. } =
        arguments;
    ensure!(
        config.lake.place == Location::SecurityLake,
        "the configuration's lake is not Security Lake; write path = \"security-lake\" in [lake]"
    );
    let delivers = Aws::new(config.aws.clone())?;
    let admin = match profile {
        Some(profile) => Aws::new(aws::Settings { profile: Some(profile), ..config.aws.clone() })?,
        None => delivers.clone(),
    };
    let region = config.lake.region.clone().context("[lake] has no region")?;
    let registrations = Registrations::of(&config.state);
    let kept = registrations.find(&source)?;
    let told = external_id.or_else(|| kept.map(|kept| kept.external_id));
    let is_new_id = told.is_none();
    let external_id = match told {
        Some(told) => told,
        None if dry_run => by_chance()?,
        // Before anybody is told of it, it is kept: nobody says it again.
        None => registrations
            .external_id(&source, by_chance)
            .with_context(|| format!("the external id cannot be kept in {}", config.state.display()))?,
    };
    let request = Request { source, region, principal, external_id, crawler_role, caller };
    let plan = Plan::new(request, &admin, &delivers)?;
    for warning in &plan.warnings {
        say(&format!("warning: {warning}"));
    }
    if dry_run {
        return describe(&plan, create_roles, is_new_id);
    }
    let name = &plan.request.source;
    // It may be its own, and so new that not everybody knows it yet.
    if plan.found.is_some() && is_new_id && try_role(&delivers, &plan.register(&admin)?, TRIES).is_err() {
        bail!("{name} is registered, and not by this converter: give the --external-id that it was registered with");
    }
    if create_roles {
        plan.create_roles(&admin, &|message| say(&message))?;
    } else if plan.found.is_none() && plan.policies.crawler_name.is_some() {
        say("the crawler needs a role. Give --create-roles, or run these and give --crawler-role:");
        return Err(print(&format!("{}\n", plan.policies.commands().join("\n"))).err().map_or_else(
            || {
                anyhow::anyhow!(
                    "{name} is not registered: run the commands, then again with --crawler-role {}",
                    plan.policies.crawler_role
                )
            },
            Into::into,
        ));
    }
    let registration = plan.register(&admin)?;
    let Registration { location, role, .. } = &registration;
    if plan.found.is_some() {
        // What is kept stays as it is, if this is not right.
        try_role(&delivers, &registration, 1)?;
        let path = registrations.keep(&registration)?;
        say(&format!("{name} was registered before: rows go to {location} as {role}; kept in {}", path.display()));
    } else {
        let path = registrations.keep(&registration)?;
        say(&format!("{name} is registered: rows go to {location} as {role}; kept in {}", path.display()));
        try_role(&delivers, &registration, TRIES)?;
    }
    say(&format!("{role} can be assumed with the external id: `flowlake-converter run` may deliver"));
    Ok(())
}

/// Tries the role; one that is new may not be known everywhere yet.
fn try_role(delivers: &Aws, registration: &Registration, mut tries: u32) -> anyhow::Result<()> {
    loop {
        tries -= 1;
        match provision::try_role(delivers, registration) {
            Err(_) if tries > 0 => thread::sleep(Duration::from_secs(2)),
            Err(error) => {
                return Err(error.context(
                    "the source is registered, but its role does not let the service in: its trust policy wants the account and the \
                     external id it was registered with, and the service's user or role needs the policy that --dry-run prints",
                ));
            }
            Ok(()) => return Ok(()),
        }
    }
}

fn describe(plan: &Plan, create_roles: bool, is_new_id: bool) -> anyhow::Result<()> {
    let Plan { request, principal, found, policies, .. } = plan;
    let Request { source, region, external_id, .. } = request;
    let external_id = if is_new_id { "made by chance" } else { external_id };
    let mut text = String::new();
    match found {
        Some(found) => text.push_str(&format!("{source} is registered in {region}: {} as {}\n", found.location, found.role)),
        None => text.push_str(&format!(
            "{source} would be registered in {region}: CreateCustomLogSource with event class NETWORK_ACTIVITY, crawler role {}, \
             principal {principal} and external id {external_id}\n",
            policies.crawler_role
        )),
    }
    let made = if create_roles { "Would be run" } else { "To be run first, or give --create-roles" };
    text.push_str(&format!("\n{made}:\n{}\n", policies.commands().join("\n")));
    for (who, policy) in [
        ("who registers", &policies.register),
        ("the crawler, trust", &policies.crawler_trust),
        ("the crawler", &policies.crawler),
        (policies.caller.arn.as_str(), &policies.assume),
    ] {
        text.push_str(&format!("\nPolicy of {who}:\n{}\n", serde_json::to_string_pretty(policy)?));
    }
    print(&text)?;
    Ok(())
}

/// What nobody guesses.
fn by_chance() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}
