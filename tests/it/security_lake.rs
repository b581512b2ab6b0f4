//! From packets to Security Lake: a source is registered, its role assumed, and its rows are what the agent recorded.

use std::{fs, path::Path, process::Stdio};

use serde_json::json;

use crate::{
    cloud::{ADMIN, Cloud, cloud},
    service::Service,
    support::{agent, loudly, repository, run, write},
};

/// A service's configuration, for a lake in a Region.
fn config(folder: &Path, region: &str) -> std::path::PathBuf {
    let root = folder.display();
    fs::create_dir_all(folder.join("spool")).unwrap();
    let text = format!(
        "state = \"{root}/state\"\n[lake]\npath = \"security-lake\"\nregion = \"{region}\"\nbatch-seconds = 1\n\
         [aws]\npath-style = true\n[inputs.agent]\nspool = \"{root}/spool\"\n"
    );
    write(folder, "converter.toml", text.as_bytes())
}

fn start(cloud: &Cloud, who: (&str, &str), config: &Path) -> Service {
    let said = config.with_extension("said");
    let log = fs::File::create(&said).unwrap();
    let mut command = cloud.converter(who);
    command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Service::of(command.spawn().unwrap(), said)
}

#[test]
fn what_an_agent_records_is_in_security_lake() {
    let Some(cloud) = cloud() else { return };
    let region = "eu-central-1";
    let bucket = cloud.ask("lake", json!({ "region": region }));
    let bucket = bucket.as_str().unwrap();
    // Who delivers may do nothing by itself.
    let keys = cloud.ask("user", json!({ "name": "deliverer", "policy": null }));
    let who = (keys[0].as_str().unwrap(), keys[1].as_str().unwrap());
    let caller = "arn:aws:iam::000000000000:user/deliverer";
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), region);
    let provision = |who, more: &[&str]| {
        run(cloud.converter(who).args(["provision", "flowlake_agent", "--config"]).arg(&config).args(more))
    };

    // The agent's spool, as its service fills it.
    let capture = repository().join("tests/fixtures/demo/onprem.pcap.gz");
    let records = folder.path().join("records");
    let mut replay = agent();
    replay.args(["replay", "--log-format", "all", "--account-id", "111122223333", "--region", region, "--output"]);
    run(replay.arg(&records).arg(&capture)).ended(0);
    for (name, content) in crate::support::tree(&records) {
        fs::write(folder.path().join("spool").join(name.rsplit('/').next().unwrap()), content).unwrap();
    }

    // Not registered yet: said, and nothing is lost or parked.
    let service = start(cloud, who, &config);
    service.wait_for("register it: flowlake-converter provision");

    // Who may not is told so; nothing is done by a dry run; without roles their commands are printed.
    provision(who, &["--create-roles"]).ended(1);
    let dry = provision(ADMIN, &["--dry-run", "--caller", caller, "--external-id", "the-right-id"]).ended(0);
    for part in ["CreateCustomLogSource", "NETWORK_ACTIVITY", "the-right-id", "put-user-policy", "glue.amazonaws.com"] {
        assert!(dry.text().contains(part), "{part}: {}", dry.text());
    }
    let ran = provision(ADMIN, &["--caller", caller]).ended(1).says("is not registered: run the commands");
    assert!(ran.text().contains("aws iam create-role --role-name flowlake-glue-crawler"));
    assert_eq!(cloud.keys(bucket, ""), [""; 0]);

    // Limits are named before anything is asked.
    for (wrong, says) in [
        (["--principal", "arn:aws:iam::000000000000:user/x"], "an account of 12 digits"),
        (["--external-id", "no good"], "--external-id: 2 to 1224"),
        (["--crawler-role", "crawler"], "--crawler-role 'crawler': the ARN of a role"),
    ] {
        provision(ADMIN, &wrong).ended(1).says(says);
    }
    run(cloud.converter(ADMIN).args(["provision", "a_name_of_21_letters_", "--config"]).arg(&config)).ended(64);

    // Registered by the administrator, for who delivers; run again it finds what is there.
    provision(ADMIN, &["--create-roles", "--caller", caller, "--external-id", "the-right-id"])
        .says("flowlake_agent is registered: rows go to s3://");
    provision(who, &[])
        .ended(0)
        .says("flowlake_agent was registered before")
        .says("`flowlake-converter run` may deliver");
    // With another external id it does not replace what is right.
    provision(who, &["--external-id", "another-id"])
        .ended(1)
        .says("its role does not let the service in")
        .says("AccessDenied");

    // A converter that shows another external id, or none, is not let in, and says why. Put right, it delivers.
    let kept = folder.path().join("state/security-lake/flowlake_agent.json");
    let right = fs::read_to_string(&kept).unwrap();
    service.wait_for("inputs delivered");
    service.stop();
    let lake = folder.path().join("fetched");
    cloud.fetch(bucket, "", &lake);
    run(crate::support::converter().arg("validate").arg(lake.join("ext"))).ended(0);
    let local = folder.path().join("local");
    let mut convert = crate::support::converter();
    convert.args(["convert", "--origin", "on-premises", "--lake-region", region, "--lake"]).arg(&local);
    run(convert.arg(&records)).ended(0);
    assert_eq!(crate::support::rows(&lake), crate::support::rows(&local));

    // DuckDB reads the bucket by itself, and sees the same sums as in the records.
    let rows = cloud.query(&format!(
        "SELECT count(*), sum(traffic.packets), sum(traffic.bytes), min(accountId), min(region) \
         FROM read_parquet('s3://{bucket}/ext/flowlake_agent/**/*.parquet', hive_partitioning = true)"
    ));
    let text: String = crate::support::tree(&records).into_values().map(|packed| unpacked(&packed)).collect();
    let mut header = text.lines().next().unwrap().split(' ');
    let (packets, bytes) = (header.clone().position(|f| f == "packets"), header.position(|f| f == "bytes"));
    let lines: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with("version ")).map(|line| line.split(' ').collect()).collect();
    let sum = |place: Option<usize>| lines.iter().map(|line| line[place.unwrap()].parse::<u64>().unwrap()).sum::<u64>();
    let expected = [lines.len() as u64, sum(packets), sum(bytes)].map(|number| number.to_string());
    assert_eq!(rows[0][..3], expected);
    assert_eq!(rows[0][3..], ["external_111122223333", region]);
    loudly(&format!(
        "Security Lake: {} records, {} packets, {} bytes, equal in S3",
        expected[0], expected[1], expected[2]
    ));

    for wrong in ["another-id", ""] {
        fs::write(&kept, right.replace("the-right-id", wrong)).unwrap();
        fs::write(folder.path().join("spool/late"), format!("{}\n{}\n", HEADER, wrong_record(wrong.len()))).unwrap();
        let service = start(cloud, who, &config);
        service.wait_for("AssumeRole");
        let said = service.stop();
        assert!(!said.contains("parked; mend"), "{said}");
    }
    fs::write(&kept, &right).unwrap();
    let service = start(cloud, who, &config);
    service.wait_for("1 inputs delivered");
    service.stop();
}

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status region";

fn wrong_record(number: usize) -> String {
    format!("2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 {number} 1718530010 1718530070 ACCEPT OK eu-central-1")
}

fn unpacked(packed: &[u8]) -> String {
    let decoder = flowlake_common::codec::Decoder::new(packed, 1 << 30).unwrap();
    std::io::read_to_string(std::io::BufReader::new(decoder)).unwrap()
}

/// What Security Lake collects by itself, what it does not know, and what somebody else registered.
#[test]
fn what_stands_in_the_way_is_said() {
    let Some(cloud) = cloud() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nowhere = config(&folder.path().join("a"), "eu-west-3");
    let provision = |config: &Path, source: &str, more: &[&str]| {
        run(cloud.converter(ADMIN).args(["provision", source, "--config"]).arg(config).args(more))
    };
    provision(&nowhere, "flowlake_vpc", &[])
        .ended(1)
        .says("Security Lake is not enabled in eu-west-3; enable it first");

    cloud.ask("lake", json!({ "region": "eu-north-1", "native": true }));
    let config = config(&folder.path().join("b"), "eu-north-1");
    provision(&config, "flowlake_vpc", &["--create-roles", "--external-id", "abc"]).says("counted twice");
    fs::remove_dir_all(folder.path().join("b/state")).unwrap();
    provision(&config, "flowlake_vpc", &["--create-roles"]).ended(1).says("give the --external-id");
    // Another source, behind a page of others.
    provision(&config, "flowlake_zeek", &["--create-roles"]).says("flowlake_zeek is registered");
    provision(&config, "flowlake_zeek", &["--create-roles"]).ended(0).says("flowlake_zeek was registered before");
    let local = folder.path().join("local.toml");
    fs::write(&local, "[lake]\npath = \"/srv/lake\"\n[inputs.a]\nfolder = \"/x\"\n").unwrap();
    provision(&local, "flowlake_vpc", &[]).ended(1).says("write path = \"security-lake\"");
}
