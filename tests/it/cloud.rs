//! The cloud that the tests deliver to: see `aws/cloud.py`. One for all tests; it ends with them.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use serde_json::{Value, json};

use crate::support::{converter, python, repository};

/// A running cloud.
pub(crate) struct Cloud {
    /// Where S3, STS and IAM are.
    pub(crate) url: String,
    /// Where Security Lake is.
    pub(crate) security_lake: String,
    process: Mutex<Process>,
}

struct Process {
    /// Closed with the tests' end; then it ends too.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Child,
}

/// Keys of whoever may do everything there.
pub(crate) const ADMIN: (&str, &str) = ("test", "test");

/// `None`, said loudly, where there is no Python for it.
pub(crate) fn cloud() -> Option<&'static Cloud> {
    static CLOUD: OnceLock<Option<Cloud>> = OnceLock::new();
    CLOUD.get_or_init(Cloud::start).as_ref()
}

impl Cloud {
    fn start() -> Option<Self> {
        let mut python = python()?;
        let script = repository().join("tests/it/aws/cloud.py");
        let mut child =
            python.arg("-B").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let stdin = child.stdin.take().expect("piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        let places: Value = serde_json::from_str(&first).expect("where everything is");
        let place = |name: &str| places[name].as_str().expect("a URL").to_owned();
        let process = Mutex::new(Process { stdin, stdout, _child: child });
        Some(Self { url: place("url"), security_lake: place("security_lake"), process })
    }

    /// Does something there.
    #[track_caller]
    pub(crate) fn ask(&self, what: &str, mut arguments: Value) -> Value {
        arguments["do"] = json!(what);
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(process.stdin, "{arguments}").expect("the cloud listens");
        let mut line = String::new();
        process.stdout.read_line(&mut line).expect("the cloud answers");
        let answer: Value = serde_json::from_str(&line).expect("an answer");
        assert!(answer["error"].is_null(), "{what} {arguments}: {}", answer["error"]);
        answer["ok"].clone()
    }

    /// The keys of a bucket's objects below a prefix.
    pub(crate) fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        serde_json::from_value(self.ask("keys", json!({ "bucket": bucket, "prefix": prefix }))).expect("keys")
    }

    /// Fetches all objects below a prefix into a folder.
    pub(crate) fn fetch(&self, bucket: &str, prefix: &str, folder: &Path) {
        for key in self.keys(bucket, prefix) {
            self.ask("fetch", json!({ "bucket": bucket, "key": key, "file": folder.join(&key) }));
        }
    }

    /// Asks DuckDB, which reads the buckets by itself.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        serde_json::from_value(self.ask("query", json!({ "sql": sql }))).expect("rows")
    }

    /// `flowlake-converter` as somebody of that cloud, and nothing of whoever runs the tests.
    pub(crate) fn converter(&self, (key, secret): (&str, &str)) -> Command {
        let mut command = converter();
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") || name.to_string_lossy().to_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", "/nonexistent")
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ENDPOINT_URL_SECURITYLAKE", &self.security_lake);
        command
    }
}
