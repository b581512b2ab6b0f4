//! The way to the cloud: proxies, authorities of one's own, and what is said when the way is wrong.

use std::{fs, path::Path, process::Stdio};

use serde_json::json;

use crate::{
    cloud::{ADMIN, Cloud, cloud},
    service::{Place, Service, each_once, file},
    support::{Ran, run, write},
};

/// A name that only the proxy knows.
const NAME: &str = "cloud.flowlake.test";

/// `convert` into a bucket by that name.
fn convert(cloud: &Cloud, folder: &Path, environment: &[(&str, &str)]) -> Ran {
    let input = write(folder, "some.log", file(0, 10).as_bytes());
    let mut command = cloud.converter(ADMIN);
    command.envs(environment.iter().copied()).args([
        "convert",
        "--endpoint-url",
        &format!("https://{NAME}"),
        "--path-style",
    ]);
    run(command.args(["--lake", "s3://line/lake"]).arg(input).current_dir(folder))
}

#[test]
fn a_proxy_and_an_authority_of_ones_own_lead_to_the_lake() {
    let Some(cloud) = cloud() else { return };
    cloud.ask("bucket", json!({ "name": "line" }));
    let way = cloud.ask("tunnel", json!({ "name": NAME }));
    let (proxy, ca) = (way["proxy"].as_str().unwrap(), way["ca"].as_str().unwrap());
    let asked = || cloud.ask("tunnels", json!({})).as_array().unwrap().clone();
    let place = Place::new();
    let folder = place.path("folder");

    // From the environment, as for AWS's own tools: nobody knows the name, nobody trusts the authority, and then it works.
    convert(cloud, &folder, &[]).ended(1).says("dns error");
    assert_eq!(asked().len(), 0);
    convert(cloud, &folder, &[("HTTPS_PROXY", proxy)]).ended(1).says("UnknownIssuer");
    let before = asked().len();
    assert!(before > 0);
    let known = [("HTTPS_PROXY", proxy), ("AWS_CA_BUNDLE", ca)];
    convert(cloud, &folder, &[known[0], known[1], ("NO_PROXY", ".flowlake.test")]).ended(1).says("dns error");
    assert_eq!(asked().len(), before);
    convert(cloud, &folder, &known).ended(0).says("10 new rows");
    assert!(asked().len() > before);
    assert!(asked().iter().all(|target| *target == format!("CONNECT {NAME}:443")));
    convert(cloud, &folder, &[known[0], ("AWS_CA_BUNDLE", "/nonexistent")]).ended(1).says("AWS_CA_BUNDLE /nonexistent");

    // From the configuration; what it says goes before the environment.
    let root = place.path("");
    let root = root.display();
    let config = |more: &str| {
        let text = format!(
            "state = \"{root}state\"\n[lake]\npath = \"s3://line/service\"\nbatch-seconds = 0\n[inputs.agent]\nspool = \"{root}spool\"\n\
             [aws]\nendpoint-url = \"https://{NAME}\"\npath-style = true\nca-file = \"{ca}\"\nproxy = \"{proxy}\"\n{more}"
        );
        write(&place.path(""), "converter.toml", text.as_bytes())
    };
    let start = |config: &Path| {
        let said = place.path("said");
        let log = fs::File::create(&said).unwrap();
        let mut command = cloud.converter(ADMIN);
        command.env_remove("AWS_ENDPOINT_URL").env("HTTPS_PROXY", "http://127.0.0.1:1");
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Service::of(command.spawn().unwrap(), said)
    };
    place.put("some", &file(0, 25));
    let service = start(&config("no-proxy = \".flowlake.test\"\n"));
    service.wait_for("dns error");
    service.stop();
    let service = start(&config(""));
    service.wait_until("everything", || place.in_spool() == 0);
    service.stop();
    let lake = place.path("fetched");
    cloud.fetch("line", "service/", &lake);
    each_once(&lake.join("service"), 25);
}

/// Credentials come from where AWS's tools have them: a process that a profile names, as IAM Roles Anywhere's, or an instance's metadata
/// service, wherever it is. Where there are none, that is said.
#[test]
fn credentials_come_from_where_awss_tools_have_them() {
    let Some(cloud) = cloud() else { return };
    cloud.ask("bucket", json!({ "name": "credentials" }));
    let policy =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }] });
    let keys = cloud.ask("user", json!({ "name": "credentials", "policy": policy }));
    let (key, secret) = (keys[0].as_str().unwrap(), keys[1].as_str().unwrap());
    let place = Place::new();
    let folder = place.path("folder");
    let process = json!({ "Version": 1, "AccessKeyId": key, "SecretAccessKey": secret });
    write(&folder, "keys.json", process.to_string().as_bytes());
    let profile = format!(
        "[profile anywhere]\nregion = us-east-1\ncredential_process = cat {}\n",
        folder.join("keys.json").display()
    );
    let profile = write(&folder, "aws-config", profile.as_bytes());
    let convert = |name: &str, environment: &[(&str, &str)]| {
        let input = write(&folder, &format!("{name}.log"), file(0, 10).as_bytes());
        let mut command = cloud.converter(ADMIN);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").envs(environment.iter().copied());
        run(command.args(["convert", "--lake", &format!("s3://credentials/{name}")]).arg(input).current_dir(&folder))
    };
    convert("none", &[]).ended(1).says("give valid credentials");
    let named = [("AWS_CONFIG_FILE", profile.to_str().unwrap()), ("AWS_PROFILE", "anywhere")];
    convert("process", &named).ended(0).says("10 new rows");
    let metadata = cloud.ask("metadata", json!({ "key": key, "secret": secret }));
    let metadata =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str().unwrap())];
    convert("instance", &metadata).ended(0).says("10 new rows");
}
