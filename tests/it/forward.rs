//! Beside the lake: the records themselves, in S3, CloudWatch Logs and Firehose, are those that the agent recorded.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use flowlake_common::{
    progress::Progress,
    time,
    vpc::{Format, Header, write_line},
};
use flowlake_converter::input::{InputFile, Item};
use serde_json::json;

use crate::{
    cloud::{ADMIN, Cloud, cloud},
    service::{Place, Service},
    support::{agent, repository, run, tree, write},
};

/// A configuration with forwards; inputs wait for a second.
fn config(place: &Place, name: &str, forwards: &str) -> PathBuf {
    let root = place.path("");
    let root = root.display();
    let text = format!(
        "state = \"{root}{name}\"\n[lake]\npath = \"{root}lake\"\nbatch-seconds = 1\n[aws]\npath-style = true\ntimeout-seconds = 5\n\
         [inputs.agent]\nspool = \"{root}spool\"\n{forwards}"
    );
    write(&place.path(""), &format!("{name}.toml"), text.as_bytes())
}

fn start(cloud: &Cloud, config: &Path, more: &[(&str, &str)]) -> Service {
    let said = config.with_extension("said");
    let log = fs::File::options().create(true).append(true).open(&said).unwrap();
    let mut command = cloud.converter(ADMIN);
    command.envs(more.iter().copied()).args(["run", "--config"]).arg(config);
    Service::of(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap(), said)
}

fn status(config: &Path) -> String {
    run(crate::support::converter().args(["status", "--config"]).arg(config)).text()
}

/// Spool files of a capture, with every field, as if it had been recorded just now: their names and lines, header first.
fn spool_files(folder: &Path) -> Vec<(String, Vec<String>)> {
    let mut replay = agent();
    replay.args(["replay", "--log-format", "all", "--account-id", "111122223333", "--region", "eu-central-1"]);
    let capture = repository().join("tests/fixtures/demo/onprem.pcap.gz");
    let text = run(replay.arg("--per-interface").arg("--nodata").arg(capture)).ended(0).text();
    let lines: Vec<&str> = text.lines().collect();
    let names: Vec<&str> = lines[0].split(' ').collect();
    let at = |name: &str| names.iter().position(|own| *own == name).unwrap();
    let (start, end, interface) = (at("start"), at("end"), at("interface-id"));
    let oldest = lines[1..].iter().filter_map(|line| line.split(' ').nth(start)?.parse::<i64>().ok()).min().unwrap();
    let later = time::now() - 3600 - oldest;
    let mut files = BTreeMap::<i64, Vec<String>>::new();
    // The emulator of Firehose makes an object of each record.
    for line in lines[1..].iter().step_by(4) {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let shifted = |word: &str| (word.parse::<i64>().unwrap() + later).to_string();
        (words[start], words[end]) = (shifted(&words[start]), shifted(&words[end]));
        let window = words[start].parse::<i64>().unwrap() / 60;
        words[interface] = format!("eni-{:017x}", window % 3);
        files.entry(window).or_insert_with(|| vec![lines[0].to_owned()]).push(words.join(" "));
    }
    assert!(files.len() > 1 && !folder.exists());
    files.into_iter().map(|(window, lines)| (format!("{window}.log"), lines)).collect()
}

/// The records of a file as the converter reads it, written with every field.
fn read_back(path: &Path, told: Option<&Header>) -> Vec<String> {
    let file = InputFile { path: path.to_owned(), size: fs::metadata(path).unwrap().len() };
    let mut log = file.open(told, &Progress::hidden()).unwrap().unwrap().unwrap().expect("a flow log");
    let mut lines = Vec::new();
    while let Some(item) = log.next_item().unwrap() {
        match item {
            Item::Record { record, .. } => {
                let mut line = Vec::new();
                write_line(&Format::all_fields(), &record, &mut line);
                lines.push(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            Item::Reject(reject) => panic!("{}: {}", path.display(), reject.reason),
            Item::Header | Item::Comment => {}
        }
    }
    lines
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn records_are_forwarded_as_aws_delivers_them() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    let logs = cloud.ask("logs", json!({}));
    let logs = logs.as_str().unwrap();
    for bucket in ["forward-text", "forward-parquet", "forward-firehose"] {
        cloud.ask("bucket", json!({ "name": bucket }));
    }
    cloud.ask("delivery_stream", json!({ "name": "siem", "bucket": "forward-firehose" }));
    let forwards = "[forward.text]\ns3 = \"s3://forward-text/some/prefix\"\nlog-format = \"all\"\n\
         [forward.parquet]\ns3 = \"s3://forward-parquet\"\nlog-format = \"all\"\nfile-format = \"parquet\"\n\
         hive-compatible-partitions = true\nper-hour-partition = true\n\
         [forward.group]\nlog-group = \"/flowlake/all\"\nlog-format = \"all\"\n\
         [forward.usual]\nlog-group = \"/flowlake/usual\"\n\
         [forward.siem]\ndelivery-stream = \"siem\"\nlog-format = \"all\"\n";
    let config = config(&place, "state", forwards);
    let files = spool_files(&place.path("shifted"));
    for (name, lines) in &files {
        place.put(name, &format!("{}\n", lines.join("\n")));
    }
    let expected = sorted(files.iter().flat_map(|(_, lines)| &lines[1..]).cloned().collect());
    let service = start(cloud, &config, &[("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs)]);
    let queues = place.path("state/forward");
    service.wait_until("everything", || place.in_spool() == 0 && tree(&queues).is_empty());
    // Each queue is empty, and nothing of the inputs is remembered.
    let left = fs::read_dir(&queues).unwrap().map(|queue| fs::read_dir(queue.unwrap().path()).unwrap().count());
    assert_eq!(left.sum::<usize>(), 0);
    let said = service.stop();
    assert!(!said.contains("next attempt"), "{said}");
    let status = status(&config);
    let count = expected.len();
    for forward in ["text", "parquet", "group", "usual", "siem"] {
        let who = format!("forward.{forward}");
        assert!(
            status.contains(&format!("{who:<18} {count} records forwarded, 0 inputs of 0 bytes wait\n")),
            "{status}"
        );
    }

    // In S3: named and laid out as AWS's, and the same records.
    for (bucket, prefix, hive) in [("forward-text", "some/prefix/", false), ("forward-parquet", "", true)] {
        let keys = cloud.keys(bucket, "");
        assert_eq!(keys.len(), files.len());
        let folder = place.path(bucket);
        cloud.fetch(bucket, "", &folder);
        let mut found = Vec::new();
        for key in keys {
            let origin = flowlake_common::vpc::origin(&key);
            assert_eq!(origin.account_id.as_deref(), Some("111122223333"), "{key}");
            let path = key.strip_prefix(prefix).unwrap();
            let (start, end) = if hive {
                (
                    "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-central-1/year=",
                    ".log.parquet",
                )
            } else {
                ("AWSLogs/111122223333/vpcflowlogs/eu-central-1/", ".log.gz")
            };
            assert!(path.starts_with(start) && path.ends_with(end) && path.contains("_fl-f"), "{key}");
            found.extend(read_back(&folder.join(&key), None));
        }
        assert_eq!(sorted(found), expected, "{bucket}");
    }

    // In CloudWatch Logs: a stream for each interface, at the time of each start; read back as a subscription delivers it.
    let header = Header::of_format("all").unwrap();
    let names: Vec<&str> = files[0].1[0].split(' ').collect();
    let at = |name: &str| names.iter().position(|own| *own == name).unwrap();
    let streams = cloud.ask("log_events", json!({ "url": logs, "group": "/flowlake/all" }));
    let (mut envelopes, mut events) = (String::new(), 0);
    for (stream, own) in streams.as_object().unwrap() {
        let own = own.as_array().unwrap();
        events += own.len();
        for event in own {
            let words: Vec<&str> = event[1].as_str().unwrap().split(' ').collect();
            assert_eq!(*stream, format!("{}-all", words[at("interface-id")]));
            assert_eq!(event[0].as_i64().unwrap(), words[at("start")].parse::<i64>().unwrap() * 1000);
        }
        let own: Vec<_> =
            own.iter().map(|event| json!({ "id": "1", "timestamp": event[0], "message": event[1] })).collect();
        let envelope = json!({ "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/flowlake/all",
            "logStream": stream, "subscriptionFilters": ["all"], "logEvents": own });
        envelopes.push_str(&format!("{envelope}\n"));
    }
    assert!(streams.as_object().unwrap().len() > 1 && events == count, "{events} of {count}");
    let subscribed = write(&place.path(""), "subscribed.json", envelopes.as_bytes());
    assert_eq!(sorted(read_back(&subscribed, Some(&header))), expected);
    // The usual format needs no telling.
    let usual = cloud.ask("log_events", json!({ "url": logs, "group": "/flowlake/usual" }));
    let usual: Vec<String> = usual
        .as_object()
        .unwrap()
        .values()
        .flat_map(|own| own.as_array().unwrap())
        .map(|event| event[1].as_str().unwrap().to_owned())
        .collect();
    let usual = write(&place.path(""), "usual.log", format!("{}\n", usual.join("\n")).as_bytes());
    assert_eq!(read_back(&usual, None).len(), count);

    // In Firehose: each record is a line with its end, so objects may be joined as they are.
    let folder = place.path("firehose");
    cloud.fetch("forward-firehose", "", &folder);
    let joined: Vec<u8> = tree(&folder).into_values().flatten().collect();
    let joined = write(&place.path(""), "joined.log", &joined);
    assert_eq!(sorted(read_back(&joined, Some(&header))), expected);
}

/// The lines of records in AWS's default format, at a time, numbered by their bytes.
fn usual(numbers: std::ops::Range<u64>, start: i64) -> String {
    let line = |number| {
        format!("2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 {number} {start} {} ACCEPT OK\n", start + 59)
    };
    numbers.map(line).collect()
}

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";

/// How often each record is in a log group.
fn in_group(cloud: &Cloud, logs: &str, group: &str) -> BTreeMap<String, u32> {
    let streams = cloud.ask("log_events", json!({ "url": logs, "group": group }));
    let mut counts = BTreeMap::new();
    for event in streams.as_object().unwrap().values().flat_map(|own| own.as_array().unwrap()) {
        *counts.entry(event[1].as_str().unwrap().split(' ').nth(9).unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// The rules of PutLogEvents: in order within a batch, no batch over a day, nothing older than 14 days; that is parked, and stays.
#[test]
fn what_a_log_group_does_not_take_is_parked() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    let logs = cloud.ask("logs", json!({}));
    let logs = logs.as_str().unwrap();
    let inputs = "region = \"eu-central-1\"\n[forward.group]\nlog-group = \"rules\"\n";
    let config = config(&place, "state", inputs);
    let now = time::now();
    let day = 24 * 3600;
    // Newest first, over three weeks.
    let lines: String =
        (0..21).map(|age| usual(age * 100..age * 100 + 100, now - 60 - i64::try_from(age).unwrap() * day)).collect();
    place.put("weeks", &format!("{HEADER}{lines}"));
    let service = start(cloud, &config, &[("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs)]);
    let parked = |times: usize| {
        let text = "forward.group: 700 records of ";
        service.wait_until("parked", || service.said().matches(text).count() == times);
    };
    parked(1);
    service.wait_until("the lake", || place.in_spool() == 0);
    let group = in_group(cloud, logs, "rules");
    assert_eq!((group.len(), group.values().sum::<u32>()), (1400, 1400));
    service.wait_until("status", || status(&config).contains("1400 records forwarded"));
    let report = status(&config);
    assert!(
        report.contains("parked             forward.group: 700 records of ")
            && report.contains(": older than 14 days\n"),
        "{report}"
    );
    assert!(
        report.contains("1400 records forwarded, 0 inputs of ") && report.contains("; 700 were too old or too new"),
        "{report}"
    );
    // Wanted again, they are parked again, whole.
    for times in 2..4 {
        run(crate::support::converter().args(["retry", "--config"]).arg(&config)).ended(0).says("comes again");
        parked(times);
    }
    service.stop();
    let queue = place.path("state/forward/group");
    let kept: Vec<String> = tree(&queue)
        .into_iter()
        .filter(|(name, _)| name.ends_with("input"))
        .flat_map(|(_, bytes)| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(kept.len(), 701);
    let old: std::collections::BTreeSet<&str> = kept[1..].iter().map(|line| line.split(' ').nth(9).unwrap()).collect();
    assert!(old.len() == 700 && old.iter().all(|number| !group.contains_key(*number)));
}

/// Of each batch some records fail, and one reply is lost: all arrive, and what may be there twice is counted.
#[test]
fn records_that_firehose_refuses_are_sent_again_one_by_one() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    let moody = cloud.ask("moody_firehose", json!({}));
    let config = config(&place, "state", "region = \"eu-central-1\"\n[forward.siem]\ndelivery-stream = \"moody\"\n");
    place.put("some", &format!("{HEADER}{}", usual(0..1200, time::now() - 60)));
    let service = start(cloud, &config, &[("AWS_ENDPOINT_URL_FIREHOSE", moody.as_str().unwrap())]);
    service.wait_until("all of them", || place.in_spool() == 0 && tree(&place.path("state/forward")).is_empty());
    let said = service.stop();
    assert!(
        said.contains("forward.siem: PutRecordBatch moody: 166 records: ServiceUnavailableException: Slow down.;"),
        "{said}"
    );
    assert!(said.contains("forward.siem: works again"), "{said}");
    let taken = cloud.ask("moody_records", json!({}));
    let mut counts = BTreeMap::<&str, u64>::new();
    for line in taken.as_array().unwrap() {
        *counts.entry(line.as_str().unwrap().split(' ').nth(9).unwrap()).or_default() += 1;
    }
    assert_eq!(counts.len(), 1200);
    // Those of the reply that was lost.
    let twice = counts.values().filter(|count| **count == 2).count() as u64;
    assert_eq!(counts.values().sum::<u64>(), 1200 + twice);
    let report = status(&config);
    let again: u64 = report.split("wait; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(twice > 0 && again >= twice, "{twice} are there twice\n{report}");
}

/// What waits for a forward that is not in the configuration any more is said, and is sent when it is given back.
#[test]
fn what_waits_for_a_forward_that_is_gone_is_said() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    cloud.ask("bucket", json!({ "name": "forward-gone" }));
    let config_of = |name: &str| config(&place, "state", &format!("[forward.{name}]\ns3 = \"s3://forward-gone\"\n"));
    let dead = [("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")];
    let text = HEADER.replace('\n', " region\n") + &usual(0..50, 1_718_530_010).replace('\n', " us-east-1\n");
    place.put("a", &text);
    let service = start(cloud, &config_of("files"), &dead);
    service.wait_for("forward.files: PutObject");
    service.wait_until("the lake", || place.in_spool() == 0);
    service.stop();
    let path = config_of("others");
    let service = start(cloud, &path, &dead);
    service.wait_for("forward.files: 1 inputs wait for it, and it is not in the configuration; give it back");
    service.wait_until("status", || status(&path).contains("waits              forward.files: 1 inputs"));
    service.stop();
    let service = start(cloud, &config_of("files"), &[]);
    service.wait_until("everything", || tree(&place.path("state/forward")).is_empty());
    service.stop();
    let folder = place.path("fetched");
    cloud.fetch("forward-gone", "", &folder);
    let lines: Vec<String> = tree(&folder).keys().flat_map(|name| read_back(&folder.join(name), None)).collect();
    assert_eq!(lines.len(), 50);
}

/// A forward that fails stops neither the lake nor the others, until its queue is full; kills lose nothing, and double nothing in S3.
#[test]
fn a_forward_that_fails_stops_nobody_until_its_queue_is_full() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    cloud.ask("bucket", json!({ "name": "forward-kills" }));
    let forwards = "region = \"eu-central-1\"\n[forward.files]\ns3 = \"s3://forward-kills\"\n[forward.group]\nlog-group = \"dead\"\nqueue-mib = 1\n";
    let config = config(&place, "state", forwards);
    let dead = [("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://127.0.0.1:1")];
    // A MiB and a half in twelve files.
    for file in 0..12 {
        place.put(
            &format!("{file:02}"),
            &format!("{HEADER}{}", usual(file * 1500..file * 1500 + 1500, time::now() - 60)),
        );
    }
    for round in 0..3 {
        let service = start(cloud, &config, &dead);
        service.wait_until("what the dead one says", || {
            service.said().matches("forward.group: CreateLogStream dead").count()
                + service.said().matches("forward.group: PutLogEvents dead").count()
                > round
        });
        service.kill();
    }
    let service = start(cloud, &config, &dead);
    service.wait_for("forward.group: its queue is full (queue-mib)");
    service.wait_until("some in the lake", || (1..12).contains(&place.in_spool()));
    service.wait_until("status", || status(&config).contains("forward.group's inputs: its queue is full"));
    service.kill();
    assert!(place.in_spool() > 0);
    // It lives again: everything is everywhere.
    let logs = cloud.ask("logs", json!({}));
    let logs = logs.as_str().unwrap();
    let service = start(cloud, &config, &[("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs)]);
    service.wait_until("everything", || place.in_spool() == 0 && tree(&place.path("state/forward")).is_empty());
    service.stop();
    crate::service::each_once(&place.path("lake"), 18_000);
    assert_eq!(in_group(cloud, logs, "dead").len(), 18_000);
    let folder = place.path("fetched");
    cloud.fetch("forward-kills", "", &folder);
    let lines: Vec<String> = tree(&folder).keys().flat_map(|name| read_back(&folder.join(name), None)).collect();
    let once: std::collections::BTreeSet<&String> = lines.iter().collect();
    assert_eq!((lines.len(), once.len()), (18_000, 18_000));
}
