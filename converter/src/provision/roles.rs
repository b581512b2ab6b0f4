//! Who asks, and the roles that IAM is asked to make.

use anyhow::Context;

use super::Policies;
use crate::aws::{Aws, failure};

/// Whoever delivers, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The ARN of a user, a role, a session of a role, or an account's root.
    pub arn: String,
    /// Its account.
    pub account: String,
}

impl Identity {
    /// Reads an ARN.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(arn: &str) -> anyhow::Result<Self> {
        let account = arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(3));
        let account =
            account.filter(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
        let account =
            account.with_context(|| format!("--caller '{arn}': the ARN of a user or a role, arn:aws:iam::…"))?;
        Ok(Self { arn: arn.to_owned(), account: account.to_owned() })
    }

    /// Asks who somebody is.
    pub(super) fn asked(aws: &Aws) -> anyhow::Result<Self> {
        let asked = aws.wait(aws.sts().get_caller_identity().send());
        let asked = asked.map_err(|error| failure("GetCallerIdentity of who delivers".to_owned(), &error))?;
        Self::of(asked.arn().context("GetCallerIdentity answered without an ARN")?)
    }

    /// What it is in IAM, `user` or `role`, and its name there; `None` for an account's root, which needs no policy.
    #[must_use]
    pub fn named(&self) -> Option<(&'static str, &str)> {
        let what = self.arn.splitn(6, ':').nth(5)?;
        let (kind, rest) = what.split_once('/')?;
        match kind {
            // A path may stand before the name.
            "user" => Some(("user", rest.rsplit('/').next()?)),
            "role" => Some(("role", rest.rsplit('/').next()?)),
            "assumed-role" => Some(("role", rest.split('/').next()?)),
            _ => None,
        }
    }
}

/// Makes what is missing. Policies of ours are written again; that changes nothing when they are there.
pub(super) fn create(admin: &Aws, policies: &Policies, say: &dyn Fn(String)) -> anyhow::Result<()> {
    let iam = admin.iam();
    if let Some(name) = &policies.crawler_name {
        let there = admin.wait(iam.get_role().role_name(name).send());
        let is_missing = |error: &aws_sdk_iam::error::SdkError<_, _>| {
            error
                .as_service_error()
                .is_some_and(aws_sdk_iam::operation::get_role::GetRoleError::is_no_such_entity_exception)
        };
        match there {
            Ok(_) => say(format!("role {name}: is there")),
            Err(error) if is_missing(&error) => {
                let create =
                    iam.create_role().role_name(name).assume_role_policy_document(policies.crawler_trust.to_string());
                let created =
                    admin.wait(create.description("Glue crawlers of flowlake's sources of Security Lake").send());
                created.map_err(|error| failure(format!("CreateRole {name}"), &error))?;
                say(format!("role {name}: made"));
            }
            Err(error) => return Err(failure(format!("GetRole {name}"), &error).into()),
        }
        let attach = iam.attach_role_policy().role_name(name).policy_arn(&policies.crawler_managed);
        let attached = admin.wait(attach.send());
        attached.map_err(|error| failure(format!("AttachRolePolicy {name}"), &error))?;
        let put = iam.put_role_policy().role_name(name).policy_name(&policies.crawler_policy);
        let done = admin.wait(put.policy_document(policies.crawler.to_string()).send());
        done.map_err(|error| failure(format!("PutRolePolicy {name}"), &error))?;
    }
    let (policy, document) = (&policies.caller_name, policies.assume.to_string());
    let Identity { arn, account } = &policies.caller;
    if *account != policies.account {
        // A user of the same name here is somebody else.
        let command = policies.commands().pop().unwrap_or_default();
        say(format!("{arn} is of another account, where somebody is to run: {command}"));
        return Ok(());
    }
    match policies.caller.named() {
        Some(("user", name)) => {
            let put = iam.put_user_policy().user_name(name).policy_name(policy).policy_document(document);
            admin.wait(put.send()).map_err(|error| failure(format!("PutUserPolicy {name}"), &error))?;
        }
        Some((_, name)) => {
            let put = iam.put_role_policy().role_name(name).policy_name(policy).policy_document(document);
            admin.wait(put.send()).map_err(|error| failure(format!("PutRolePolicy {name}"), &error))?;
        }
        None => {
            say(format!("{arn}: an account's root needs no policy, and should not deliver"));
            return Ok(());
        }
    }
    say(format!("{arn}: may assume the provider's role (policy {policy})"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_somebody_is_in_iam() {
        for (arn, expected) in [
            ("arn:aws:iam::111122223333:user/it/flowlake", Some(("user", "flowlake"))),
            ("arn:aws:iam::111122223333:role/service-role/ra", Some(("role", "ra"))),
            ("arn:aws:sts::111122223333:assumed-role/ra/host1", Some(("role", "ra"))),
            ("arn:aws:iam::111122223333:root", None),
        ] {
            let identity = Identity::of(arn).unwrap();
            assert_eq!((identity.account.as_str(), identity.named()), ("111122223333", expected), "{arn}");
        }
        assert!(Identity::of("flowlake").is_err());
    }
}
