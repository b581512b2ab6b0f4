//! The way to AWS, or what speaks like it: one HTTP client, one chain of credentials, one clock to compare with. The only place that
//! builds a client.
//!
//! Calls are made one at a time and wait; the runtime below turns only while one does.

mod clock;
mod error;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig, sts::AssumeRoleProvider,
    timeout::TimeoutConfig,
};
use aws_sdk_s3::config::{RuntimeComponents, SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::runtime::Runtime;

pub use self::clock::Clock;
pub(crate) use self::error::failure;

/// How AWS is reached. What is not said comes from the environment and the profile, as for every tool of AWS's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The profile in `~/.aws/config`.
    pub profile: Option<String>,
    /// The Region that is asked.
    pub region: Option<String>,
    /// The URL that all requests go to, of whatever speaks as AWS does.
    pub endpoint_url: Option<String>,
    /// Whether buckets are named in the path, and not in the host's name.
    pub path_style: bool,
    /// Certificates, in PEM, of authorities that are trusted beside the system's; without it, what the environment says.
    pub ca_file: Option<PathBuf>,
    /// The URL of the proxy; without it, what the environment says.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, as `NO_PROXY` has them.
    pub no_proxy: Option<String>,
    /// Seconds that one attempt may take.
    pub timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: None,
            region: None,
            endpoint_url: None,
            path_style: false,
            ca_file: None,
            proxy: None,
            no_proxy: None,
            timeout: 120,
        }
    }
}

/// The way to AWS. Clones are the same way.
#[derive(Debug, Clone)]
pub struct Aws(Arc<Way>);

#[derive(Debug)]
struct Way {
    runtime: Arc<Runtime>,
    config: SdkConfig,
    path_style: bool,
    clock: Arc<Clock>,
}

/// Attempts of one call; whoever called waits longer and tries again.
const ATTEMPTS: u32 = 3;
/// What a session of an assumed role is called, in CloudTrail too.
const SESSION: &str = "flowlake";
/// Where AWS's tools look for certificates.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
const CONNECT: Duration = Duration::from_secs(10);

impl Aws {
    /// Reads environment and profiles. Nothing is asked yet: credentials are looked for with the first call.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let attempt = Duration::from_secs(settings.timeout.max(1));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT.min(attempt))
            .read_timeout(attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt * ATTEMPTS + Duration::from_secs(30))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(&settings)?)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = runtime.block_on(loader.load());
        let (runtime, clock) = (Arc::new(runtime), Arc::default());
        Ok(Self(Arc::new(Way { runtime, config, path_style: settings.path_style, clock })))
    }

    /// The same way as another role, which is assumed with an external id, and again before its credentials expire.
    #[must_use]
    pub fn assuming(&self, role: &str, external_id: &str) -> Self {
        let Way { runtime, config, path_style, clock } = &*self.0;
        let assumed =
            AssumeRoleProvider::builder(role).external_id(external_id).session_name(SESSION).configure(config);
        let provider = SharedCredentialsProvider::new(runtime.block_on(assumed.build()));
        // What the other way remembers of who asks is not this one's.
        let config = config.to_builder().credentials_provider(provider).identity_cache(IdentityCache::lazy().build());
        let way =
            Way { runtime: runtime.clone(), config: config.build(), path_style: *path_style, clock: clock.clone() };
        Self(Arc::new(way))
    }

    /// The Region that is asked, where anybody said one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.0.config.region().map(Region::as_ref)
    }

    /// How far this machine's clock is from the servers'.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Waits for a call.
    pub(crate) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(call)
    }

    /// A client for STS.
    pub(crate) fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.0.config)
    }

    /// A client for IAM.
    pub(crate) fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.0.config)
    }

    /// A client for Security Lake.
    pub(crate) fn security_lake(&self) -> aws_sdk_securitylake::Client {
        aws_sdk_securitylake::Client::new(&self.0.config)
    }

    /// A client for CloudWatch Logs. It makes no attempts of its own: a record that is sent again may be there twice, and is counted.
    pub(crate) fn cloudwatch_logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&self.0.config)
            .retry_config(RetryConfig::disabled())
            .interceptor(clock::Watch(self.0.clock.clone()));
        aws_sdk_cloudwatchlogs::Client::from_conf(config.build())
    }

    /// A client for Amazon Data Firehose, likewise.
    pub(crate) fn firehose(&self) -> aws_sdk_firehose::Client {
        let config = aws_sdk_firehose::config::Builder::from(&self.0.config)
            .retry_config(RetryConfig::disabled())
            .interceptor(clock::Watch(self.0.clock.clone()));
        aws_sdk_firehose::Client::from_conf(config.build())
    }

    /// A client for S3.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.0.config)
            .force_path_style(self.0.path_style)
            .interceptor(clock::Watch(self.0.clock.clone()));
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// One TLS stack, the system's authorities and those that were named.
fn http_client(settings: &Settings) -> anyhow::Result<SharedHttpClient> {
    let mut trusted = TrustStore::default();
    let named = settings.ca_file.clone().map(|file| ("ca-file", file));
    let of_environment =
        || std::env::var_os(CA_BUNDLE).filter(|file| !file.is_empty()).map(|file| (CA_BUNDLE, PathBuf::from(file)));
    if let Some((who, file)) = named.or_else(of_environment) {
        let pem = std::fs::read(&file).with_context(|| format!("{who} {}", file.display()))?;
        trusted = trusted.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(trusted).build()?;
    let proxy = match &settings.proxy {
        Some(url) => {
            let proxy = ProxyConfig::all(url).with_context(|| format!("proxy '{url}'"))?;
            match &settings.no_proxy {
                Some(hosts) => proxy.no_proxy(hosts),
                None => proxy,
            }
        }
        None => ProxyConfig::from_env(),
    };
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone())
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }))
}
