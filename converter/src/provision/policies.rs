//! The roles and policies of a custom source, each as small as the user guide lets it be.

use serde_json::{Value, json};

use super::{Identity, Request};

/// The role that is made for crawlers, when none is named.
const CRAWLER: &str = "flowlake-glue-crawler";

/// Who needs which rights.
#[derive(Debug, Clone)]
pub struct Policies {
    /// The ARN of the crawler's role.
    pub crawler_role: String,
    /// Its name, when it is ours to make.
    pub crawler_name: Option<String>,
    /// Who may assume it.
    pub crawler_trust: Value,
    /// AWS's own policy that it needs.
    pub crawler_managed: String,
    /// The policy that it needs besides, and what that is called: each Region has its own.
    pub crawler: Value,
    /// Its name.
    pub crawler_policy: String,
    /// The lake's account.
    pub account: String,
    /// Whoever delivers.
    pub caller: Identity,
    /// What its policy is called.
    pub caller_name: String,
    /// The policy that it needs.
    pub assume: Value,
    /// The policy that whoever registers needs.
    pub register: Value,
}

impl Policies {
    /// `account` is the lake's, and `bucket` the ARN of its bucket.
    pub(super) fn new(
        request: &Request,
        account: &str,
        bucket: &str,
        kms_key: Option<&str>,
        caller: &Identity,
    ) -> Self {
        let Request { source, region, .. } = request;
        // arn:PARTITION:s3:::BUCKET
        let partition = bucket.split(':').nth(1).unwrap_or("aws");
        let crawler_name = request.crawler_role.is_none().then(|| CRAWLER.to_owned());
        let crawler_role =
            request.crawler_role.clone().unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{CRAWLER}"));
        // Whether punctuation stays in the name is not said anywhere.
        let mut names = vec![source.clone(), source.replace('_', "")];
        names.dedup();
        let provider =
            |name: &String| format!("arn:{partition}:iam::{account}:role/AmazonSecurityLake-Provider-{name}-{region}");
        let provider: Vec<String> = names.iter().map(provider).collect();
        let mut crawler = vec![allow(&["s3:GetObject", "s3:PutObject"], &json!(format!("{bucket}/*")), None)];
        if let Some(key) = kms_key {
            let within = json!({"StringLike": {"kms:EncryptionContext:aws:s3:arn": [format!("{bucket}*")]}});
            crawler.push(allow(&["kms:GenerateDataKey", "kms:Decrypt"], &json!(key), Some(within)));
        }
        let mut register = vec![
            allow(
                &["securitylake:CreateCustomLogSource", "securitylake:ListLogSources", "securitylake:ListDataLakes"],
                &json!("*"),
                None,
            ),
            allow(
                &["glue:CreateCrawler", "glue:CreateDatabase", "glue:CreateTable", "glue:StopCrawlerSchedule"],
                &json!("*"),
                None,
            ),
            allow(&["lakeformation:RegisterResource", "lakeformation:GrantPermissions"], &json!("*"), None),
            allow(
                &["iam:CreateRole", "iam:GetRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"],
                &json!(format!("arn:{partition}:iam::{account}:role/AmazonSecurityLake-Provider-*")),
                None,
            ),
            allow(&["iam:PassRole", "iam:GetRole"], &json!(crawler_role), None),
            allow(&["s3:ListBucket"], &json!(bucket), None),
            allow(&["s3:PutObject"], &json!(format!("{bucket}/*")), None),
        ];
        if let Some(key) = kms_key {
            register.push(allow(&["kms:CreateGrant", "kms:DescribeKey", "kms:GenerateDataKey"], &json!(key), None));
        }
        Self {
            crawler_role,
            crawler_name,
            crawler_trust: document(vec![json!({
                "Effect": "Allow",
                "Principal": {"Service": "glue.amazonaws.com"},
                "Action": "sts:AssumeRole",
            })]),
            crawler_managed: format!("arn:{partition}:iam::aws:policy/service-role/AWSGlueServiceRole"),
            crawler: document(crawler),
            crawler_policy: format!("flowlake-lake-{region}"),
            account: account.to_owned(),
            caller: caller.clone(),
            caller_name: format!("flowlake-{source}-{region}"),
            assume: document(vec![allow(&["sts:AssumeRole"], &json!(provider), None)]),
            register: document(register),
        }
    }

    /// The commands of AWS's own tool that make the roles.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        if let Some(name) = &self.crawler_name {
            let Self { crawler_trust, crawler_managed, crawler, crawler_policy, .. } = self;
            commands.push(format!(
                "aws iam create-role --role-name {name} --assume-role-policy-document '{crawler_trust}'"
            ));
            commands.push(format!("aws iam attach-role-policy --role-name {name} --policy-arn {crawler_managed}"));
            commands.push(format!(
                "aws iam put-role-policy --role-name {name} --policy-name {crawler_policy} --policy-document '{crawler}'"
            ));
        }
        let Self { caller, caller_name, assume, .. } = self;
        if let Some((kind, name)) = caller.named() {
            commands.push(format!(
                "aws iam put-{kind}-policy --{kind}-name {name} --policy-name {caller_name} --policy-document '{assume}'"
            ));
        }
        commands
    }
}

fn allow(actions: &[&str], resource: &Value, condition: Option<Value>) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    statement
}

fn document(statements: Vec<Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}
