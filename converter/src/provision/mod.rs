//! Registering a custom source with Security Lake, so that a converter may write there: once, and harmless when done again.
//!
//! "Adding a custom source" of the Security Lake user guide says what is needed; what the API answers is kept as a [`Registration`].

mod policies;
mod roles;

use anyhow::{Context, bail, ensure};
use aws_sdk_securitylake::types::{
    AwsIdentity, AwsLogSourceName, CustomLogSourceConfiguration, CustomLogSourceCrawlerConfiguration,
    CustomLogSourceProvider, CustomLogSourceResource, DataLakeResource, DataLakeStatus, LogSource, LogSourceResource,
};

pub use self::{policies::Policies, roles::Identity};
use crate::{
    aws::{Aws, failure},
    deliver::{Registration, S3Url},
};

/// Custom sources that an account may have, says the user guide.
const MAX_SOURCES: usize = 50;

/// What is to be registered.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source's name: 1 to 20 characters, so that the name of its role stays below IAM's 64.
    pub source: String,
    /// The Region of the lake.
    pub region: String,
    /// The account, or the AWS service, that will assume the provider's role; without it, the account of who delivers.
    pub principal: Option<String>,
    /// The external id that it will show.
    pub external_id: String,
    /// The role of the Glue crawler, if there is one already.
    pub crawler_role: Option<String>,
    /// The ARN of whoever will deliver; without it, whoever `delivers` is.
    pub caller: Option<String>,
}

/// What was found out before anything is changed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is to be registered.
    pub request: Request,
    /// The account, or the service, that will assume the provider's role.
    pub principal: String,
    /// The registered source, if it is there.
    pub found: Option<Registration>,
    /// Every policy, and who needs it.
    pub policies: Policies,
    /// What a person should know before.
    pub warnings: Vec<String>,
}

impl Request {
    /// Checks what the API would refuse, and what it would accept to nobody's use.
    ///
    /// # Errors
    /// When something is wrong, naming it.
    pub fn check(&self) -> anyhow::Result<()> {
        let external_id = &self.external_id;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
        ensure!(
            (2..=1224).contains(&external_id.len()) && external_id.bytes().all(allowed),
            "--external-id: 2 to 1224 letters, digits and _+=,.@:/-"
        );
        if let Some(principal) = &self.principal {
            let is_account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
            let is_service = [".amazonaws.com", ".amazon.com"].iter().any(|end| principal.ends_with(end));
            ensure!(
                is_account || is_service,
                "--principal '{principal}': an account of 12 digits, or an AWS service; never the ARN of a role"
            );
        }
        if let Some(role) = &self.crawler_role {
            ensure!(
                role.starts_with("arn:") && role.contains(":role/"),
                "--crawler-role '{role}': the ARN of a role, arn:aws:iam::…:role/…"
            );
        }
        Ok(())
    }
}

impl Plan {
    /// Looks, and changes nothing. `admin` registers, and `delivers` will deliver.
    ///
    /// # Errors
    /// When the lake is not there, when something cannot be asked, or when the source cannot be registered.
    pub fn new(request: Request, admin: &Aws, delivers: &Aws) -> anyhow::Result<Self> {
        request.check()?;
        let Request { source, region, .. } = &request;
        let lake = data_lake(admin, region)?;
        let bucket = lake.s3_bucket_arn().context("Security Lake does not say which bucket is the lake's")?;
        let caller = match &request.caller {
            Some(arn) => Identity::of(arn)?,
            None => Identity::asked(delivers)?,
        };
        let principal = request.principal.clone().unwrap_or_else(|| caller.account.clone());
        let kms_key = lake.encryption_configuration().and_then(|configuration| configuration.kms_key_id());
        let kms_key = kms_key.filter(|key| *key != "S3_MANAGED_KEY");
        // arn:PARTITION:securitylake:REGION:ACCOUNT:…
        let account = lake.data_lake_arn().split(':').nth(4).unwrap_or(&caller.account);
        let policies = Policies::new(&request, account, bucket, kms_key, &caller);
        let mut warnings = Vec::new();
        if caller.account != principal {
            let Identity { arn, .. } = &caller;
            warnings.push(format!("who delivers is {arn}, not of the principal {principal}: it will not be let in"));
        }
        let Listed { custom, count, native } = list(admin, region, source)?;
        let found = match custom {
            Some(source) => Some(registration(&request, &source)?),
            None => {
                ensure!(
                    count < MAX_SOURCES,
                    "the account has {count} custom sources in {region}, and may have no more; delete one first"
                );
                None
            }
        };
        if native && source == "flowlake_vpc" {
            warnings.push(
                "Security Lake collects VPC flow logs in this Region by itself (VPC_FLOW): what flowlake_vpc gets of the same logs is \
                 counted twice by whoever asks both"
                    .to_owned(),
            );
        }
        if kms_key.is_some() {
            warnings.push(
                "the lake is encrypted with a KMS key: its key policy has to let the crawler's role use it, too"
                    .to_owned(),
            );
        }
        Ok(Self { request, principal, found, policies, warnings })
    }

    /// Makes the crawler's role, and lets who delivers assume the provider's role. What is there is left, or written again the same.
    ///
    /// # Errors
    /// When IAM refuses.
    pub fn create_roles(&self, admin: &Aws, say: &dyn Fn(String)) -> anyhow::Result<()> {
        roles::create(admin, &self.policies, say)
    }

    /// Registers the source, or finds it.
    ///
    /// # Errors
    /// When Security Lake refuses.
    pub fn register(&self, admin: &Aws) -> anyhow::Result<Registration> {
        if let Some(found) = &self.found {
            return Ok(found.clone());
        }
        let identity =
            AwsIdentity::builder().principal(&self.principal).external_id(&self.request.external_id).build()?;
        let crawler = CustomLogSourceCrawlerConfiguration::builder().role_arn(&self.policies.crawler_role).build()?;
        let configuration =
            CustomLogSourceConfiguration::builder().crawler_configuration(crawler).provider_identity(identity).build();
        let create = admin
            .security_lake()
            .create_custom_log_source()
            .source_name(&self.request.source)
            .event_classes("NETWORK_ACTIVITY")
            .configuration(configuration);
        let what = format!("CreateCustomLogSource {}", self.request.source);
        let created = match admin.wait(create.send()) {
            Ok(created) => created,
            Err(error) => {
                let code = aws_sdk_s3::error::ProvideErrorMetadata::code(&error).unwrap_or_default().to_owned();
                return Err(anyhow::Error::new(failure(what, &error)).context(advice(&code)));
            }
        };
        let source = created.source().context("CreateCustomLogSource answered without a source")?;
        registration(&self.request, source)
    }
}

/// Whether the provider's role lets whoever delivers in, with the external id and not without.
///
/// # Errors
/// [`crate::failure::Failure`], naming the role.
pub fn try_role(delivers: &Aws, registration: &Registration) -> anyhow::Result<()> {
    let Registration { role, external_id, .. } = registration;
    let assumed = delivers.assuming(role, external_id);
    let asked = assumed.wait(assumed.sts().get_caller_identity().send());
    asked.map_err(|error| failure(format!("AssumeRole {role}"), &error))?;
    Ok(())
}

/// What to do about a refusal, where the user guide says it.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => {
            "who registers may not; see the policy that --dry-run prints. In Lake Formation it needs `Create table` on \
             amazon_security_lake_glue_db_<region> besides"
        }
        "ConflictException" => {
            "something of that name is there; where a source of that name was deleted, its Glue crawler is to be deleted too"
        }
        "ResourceNotFoundException" => "Security Lake is not enabled there, or the crawler's role does not exist",
        _ => "the source was not registered",
    }
}

fn data_lake(admin: &Aws, region: &str) -> anyhow::Result<DataLakeResource> {
    let asked = admin.wait(admin.security_lake().list_data_lakes().regions(region).send());
    let lakes = asked.map_err(|error| failure(format!("ListDataLakes {region}"), &error))?;
    let Some(lake) = lakes.data_lakes().iter().find(|lake| lake.region() == region) else {
        bail!(
            "Security Lake is not enabled in {region}; enable it first (`aws securitylake create-data-lake`, or its console)"
        );
    };
    if let Some(status @ (DataLakeStatus::Failed | DataLakeStatus::Pending)) = lake.create_status() {
        bail!("the lake in {region} is not ready: {}; see to it in Security Lake's console", status.as_str());
    }
    Ok(lake.clone())
}

/// What ListLogSources says of a Region.
struct Listed {
    custom: Option<CustomLogSourceResource>,
    /// Custom sources.
    count: usize,
    /// Whether VPC flow logs are collected there.
    native: bool,
}

fn list(admin: &Aws, region: &str, name: &str) -> anyhow::Result<Listed> {
    let mut listed = Listed { custom: None, count: 0, native: false };
    let pages = admin.security_lake().list_log_sources().regions(region).into_paginator();
    admin.wait(async {
        let mut pages = pages.send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failure(format!("ListLogSources {region}"), &error))?;
            let here = page.sources().iter().filter(|source| source.region().is_none_or(|of| of == region));
            for source in here.flat_map(LogSource::sources) {
                match source {
                    LogSourceResource::AwsLogSource(native) => {
                        listed.native |= native.source_name() == Some(&AwsLogSourceName::VpcFlow);
                    }
                    LogSourceResource::CustomLogSource(custom) => {
                        listed.count += 1;
                        if custom.source_name() == Some(name) {
                            listed.custom = Some(custom.clone());
                        }
                    }
                    _ => {}
                }
            }
        }
        anyhow::Ok(())
    })?;
    Ok(listed)
}

fn registration(request: &Request, source: &CustomLogSourceResource) -> anyhow::Result<Registration> {
    let name = &request.source;
    let provider = source.provider().and_then(|provider: &CustomLogSourceProvider| {
        Some((provider.location()?.to_owned(), provider.role_arn()?.to_owned()))
    });
    let Some((location, role)) = provider else {
        bail!(
            "Security Lake knows {name}, and says neither where its rows go nor as which role; delete it and begin anew"
        );
    };
    ensure!(
        S3Url::parse(&location).is_some(),
        "Security Lake says that rows of {name} go to '{location}': no place in S3"
    );
    let (region, external_id) = (request.region.clone(), request.external_id.clone());
    Ok(Registration { source: name.clone(), region, location, role, external_id })
}
