//! Delivery to S3 with a proxy in between that fails: docs/delivery.md says what happens then, and each of its rows is tested here.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use flowlake_common::time;
use serde_json::json;

use crate::{
    cloud::{ADMIN, Cloud, cloud},
    fault_proxy::{Fault, Proxy},
    service::{Place, Service, each_once, file},
    support::{converter, loudly, repository, run, write},
};

/// A fault, by the name that docs/delivery.md has for it.
struct Case {
    name: &'static str,
    fault: Fault,
    /// The method that fails, a part of the path, and how often. One call makes three attempts by itself.
    on: (&'static str, &'static str, u32),
    /// What is said, if anything is.
    says: Option<&'static str>,
}

const LAKE_FILE: &str = ".parquet";
const LEDGER: &str = "/ledger/";

const CASES: &[Case] = &[
    Case {
        name: "500 InternalError",
        fault: Fault::Answer(500, "InternalError"),
        on: ("PUT", LAKE_FILE, 4),
        says: Some("InternalError: as the test wants it; the line or the server failed; next attempt in 1 s"),
    },
    Case {
        name: "503 SlowDown",
        fault: Fault::Answer(503, "SlowDown"),
        on: ("PUT", LAKE_FILE, 4),
        says: Some("the server asks for patience; next attempt"),
    },
    Case {
        name: "connection reset",
        fault: Fault::Reset,
        on: ("PUT", LAKE_FILE, 4),
        says: Some("the line or the server failed"),
    },
    Case {
        name: "no answer",
        fault: Fault::Hang,
        on: ("PUT", LAKE_FILE, 4),
        says: Some("the line or the server failed"),
    },
    Case { name: "reply cut off", fault: Fault::Truncated, on: ("PUT", LAKE_FILE, 2), says: None },
    Case { name: "ledger's reply cut off", fault: Fault::Truncated, on: ("GET", LEDGER, 4), says: None },
    Case {
        name: "reply lost after the object was stored",
        fault: Fault::LostReply,
        on: ("PUT", LAKE_FILE, 1),
        says: Some("5 rows were there"),
    },
    Case { name: "ledger's reply lost", fault: Fault::LostReply, on: ("PUT", LEDGER, 9), says: None },
    Case {
        name: "ExpiredToken",
        fault: Fault::Answer(400, "ExpiredToken"),
        on: ("PUT", LAKE_FILE, 4),
        says: Some(
            "give valid credentials: keys, a profile, or the role and external id that are assumed; next attempt",
        ),
    },
    Case {
        name: "AccessDenied",
        fault: Fault::Answer(403, "AccessDenied"),
        on: ("PUT", LAKE_FILE, 4),
        says: Some("give the role, and the bucket, what is denied here; next attempt in"),
    },
    Case {
        name: "NoSuchBucket",
        fault: Fault::Answer(404, "NoSuchBucket"),
        on: ("PUT", LAKE_FILE, 2),
        says: Some("check the name, and the Region; next attempt in"),
    },
    Case {
        name: "RequestTimeTooSkewed",
        fault: Fault::Answer(403, "RequestTimeTooSkewed"),
        on: ("PUT", LAKE_FILE, 4),
        says: Some("set this machine's clock"),
    },
    Case { name: "wrong checksum", fault: Fault::Corrupted, on: ("PUT", LAKE_FILE, 2), says: None },
    Case {
        name: "refused for itself (400 EntityTooLarge)",
        fault: Fault::Answer(400, "EntityTooLarge"),
        on: ("PUT", LAKE_FILE, 1),
        says: Some("it is parked; mend it, then flowlake-converter retry"),
    },
];

/// A service's configuration: a spool and a lake in a bucket.
fn config(place: &Place, bucket: &str, more: &str) -> std::path::PathBuf {
    let root = place.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let text = format!(
        "state = \"{root}/state\"\n[lake]\npath = \"s3://{bucket}/lake\"\nbatch-seconds = 0\nregion = \"us-east-1\"\n\
         [aws]\npath-style = true\ntimeout-seconds = 2\n{more}\n[inputs.agent]\nspool = \"{root}/spool\"\n"
    );
    write(&place.path(""), "converter.toml", text.as_bytes())
}

fn start(cloud: &Cloud, url: &str, config: &Path) -> Service {
    let said = config.with_extension("said");
    let log = fs::File::create(&said).unwrap();
    let mut command = cloud.converter(ADMIN);
    command.env("AWS_ENDPOINT_URL", url).args(["run", "--config"]).arg(config);
    Service::of(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap(), said)
}

/// Every record is in the bucket once, and what is there keeps the rules.
fn arrived(cloud: &Cloud, bucket: &str, place: &Place, records: u64) {
    let lake = place.path("fetched");
    cloud.fetch(bucket, "lake/ext/", &lake);
    each_once(&lake.join("lake"), records);
    run(converter().arg("validate").arg(lake.join("lake/ext"))).ended(0);
}

#[test]
fn whatever_fails_everything_arrives_once_and_the_reason_is_told() {
    let Some(cloud) = cloud() else { return };
    let page = fs::read_to_string(repository().join("docs/delivery.md")).unwrap();
    let table = page.split("## Faults").nth(1).expect("a table of faults");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let documented: BTreeSet<&str> = rows.filter(|name| *name != "fault").collect();
    let elsewhere = [
        "name service fails",
        "AccessDenied for an hour",
        "disk full",
        "disk read-only",
        "wrong external id",
        "the spool goes away and comes back",
        "a claimed file is removed",
        "the lake's folder, or the ledger's, goes away, or another is in its place, as a mount point is",
    ];
    let tested = CASES.iter().map(|case| case.name).chain(elsewhere).collect();
    assert_eq!(documented, tested, "docs/delivery.md and the tests have the same faults");

    thread::scope(|scope| {
        for (number, case) in CASES.iter().enumerate() {
            thread::Builder::new()
                .name(case.name.to_owned())
                .spawn_scoped(scope, move || one_fault(cloud, case, &format!("fault-{number}")))
                .unwrap();
        }
    });
}

fn one_fault(cloud: &Cloud, case: &Case, bucket: &str) {
    cloud.ask("bucket", json!({ "name": bucket }));
    let (method, part, times) = case.on;
    let (left, fault) = (AtomicU32::new(times), case.fault);
    let proxy = Proxy::new(&cloud.url, move |of, path| {
        let is_it = of == method && path.contains(part);
        (is_it && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok())
            .then_some(fault)
    });
    let place = Place::new();
    let config = config(&place, bucket, "");
    place.put("a", &file(0, 5));
    let service = start(cloud, &proxy.url, &config);
    if case.name.starts_with("refused") {
        // This one does not stop the others, and is there when it is retried.
        service.wait_for("it is parked");
        place.put("b", &file(5, 5));
        service.wait_for("inputs delivered");
        run(converter().args(["retry", "--config"]).arg(&config)).ended(0).says("1 inputs come again");
        service.wait_until("both", || place.in_spool() == 0 && service.said().matches("inputs delivered").count() == 2);
    } else {
        service.wait_for("inputs delivered");
        place.put("b", &file(5, 5));
        service.wait_until("both", || service.said().matches("inputs delivered").count() == 2);
    }
    service.wait_until("an empty spool", || place.in_spool() == 0);
    // As a service manager's check does.
    service.wait_until("that all is well", || run(converter().args(["status", "--config"]).arg(&config)).code == 0);
    let said = service.stop();
    assert_eq!(proxy.failed(), times, "{}: {said}", case.name);
    if let Some(text) = case.says {
        assert!(said.contains(text), "{}: '{text}' was not said:\n{said}", case.name);
    }
    assert!(case.name.starts_with("refused") || !said.contains("parked; mend"), "{}: {said}", case.name);
    arrived(cloud, bucket, &place, 10);
}

/// What the line did is not waited for any more when the server then refuses the object itself: of the lake's, and of a forward's.
#[test]
fn what_is_refused_after_it_failed_is_not_waited_for() {
    let Some(cloud) = cloud() else { return };
    cloud.ask("bucket", json!({ "name": "first-failed" }));
    let mut answers = [LAKE_FILE, ".log.gz"].map(|part| (part, 0));
    let proxy = Proxy::new(&cloud.url, move |method, path| {
        let (_, count) = answers.iter_mut().find(|(part, _)| method == "PUT" && path.contains(*part))?;
        *count += 1;
        match *count {
            // Three attempts each.
            1..=6 => Some(Fault::Answer(500, "InternalError")),
            7 => Some(Fault::Answer(400, "EntityTooLarge")),
            _ => None,
        }
    });
    let place = Place::new();
    let config = config(&place, "first-failed", "[forward.files]\ns3 = \"s3://first-failed/raw\"\n");
    place.put("a", &file(0, 5));
    let service = start(cloud, &proxy.url, &config);
    let status = || run(converter().args(["status", "--config"]).arg(&config));
    service.wait_until("both are parked", || service.said().matches("it is parked").count() == 2);
    assert_eq!(service.said().matches("next attempt in").count(), 4, "{}", service.said());
    service.wait_until("neither waits", || !status().text().contains("\nwaits "));
    run(converter().args(["retry", "--config"]).arg(&config)).ended(0).says("2 inputs come again");
    service.wait_for("inputs delivered");
    service.wait_until("forwarded", || crate::support::tree(&place.path("state/forward")).is_empty());
    service.wait_until("all is well", || status().code == 0);
    service.stop();
    arrived(cloud, "first-failed", &place, 5);
    let raw = place.path("raw");
    cloud.fetch("first-failed", "raw/", &raw);
    assert_eq!(crate::support::tree(&raw).len(), 1);
}

/// The endpoint's name is not known; once it is, everything is delivered.
#[test]
fn a_name_that_is_not_known_is_said() {
    let Some(cloud) = cloud() else { return };
    cloud.ask("bucket", json!({ "name": "no-name" }));
    let place = Place::new();
    let config = config(&place, "no-name", "");
    place.put("a", &file(0, 5));
    let service = start(cloud, "http://s3.flowlake.invalid", &config);
    service.wait_for("the line or the server failed; next attempt in");
    service.wait_until("its status", || {
        run(converter().args(["status", "--config"]).arg(&config)).text().contains("waits ")
    });
    let said = service.stop();
    assert!(said.contains("dns error") && !said.contains("parked; mend"), "{said}");
    let service = start(cloud, &cloud.url, &config);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    arrived(cloud, "no-name", &place, 5);
}

/// For an hour, by the service's clock, which runs a hundred times as fast: it asks every few minutes, parks nothing, and delivers at once
/// when it is granted.
#[test]
fn an_hour_of_refusals_is_waited_for() {
    const FASTER: u64 = 100;
    let Some(cloud) = cloud() else { return };
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let library =
        places.map(|place| Path::new(place).join("faketime/libfaketimeMT.so.1")).into_iter().find(|path| path.exists());
    let Some(library) = library else {
        loudly("SKIPPED: a clock that runs fast needs Debian's package faketime");
        return;
    };
    cloud.ask("bucket", json!({ "name": "denied" }));
    let place = Place::new();
    let config = config(&place, "denied", "");
    // Of the fast clock's.
    let text = fs::read_to_string(&config).unwrap().replace("timeout-seconds = 2", "timeout-seconds = 3600");
    fs::write(&config, text).unwrap();
    place.put("a", &file(0, 5));
    let is_denied = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::new(&cloud.url, {
        let is_denied = is_denied.clone();
        move |of, path| {
            let is_it = of == "PUT" && path.contains(LAKE_FILE) && is_denied.load(Ordering::Relaxed);
            is_it.then_some(Fault::Answer(403, "AccessDenied"))
        }
    });
    let said = config.with_extension("said");
    let mut command = cloud.converter(ADMIN);
    command.env("AWS_ENDPOINT_URL", &proxy.url).args(["run", "--config"]).arg(&config);
    command.env("LD_PRELOAD", library).env("FAKETIME", format!("+0 x{FASTER}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
    let service = Service::of(command.spawn().unwrap(), said);
    service.wait_for("AccessDenied");
    let (began, before) = (time::monotonic_us(), proxy.failed());
    let hour_us = 3_600_000_000 / i64::try_from(FASTER).unwrap();
    while time::monotonic_us() - began < hour_us {
        thread::sleep(std::time::Duration::from_millis(100));
    }
    let attempts = proxy.failed() - before;
    is_denied.store(false, Ordering::Relaxed);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    let said = service.stop();
    assert!((8..=60).contains(&attempts), "{attempts} attempts in an hour\n{said}");
    let pauses = said.split("next attempt in ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let longest = pauses.max().unwrap();
    assert!((150..=300).contains(&longest), "the longest pause has {longest} s\n{said}");
    assert!(!said.contains("parked; mend") && said.contains("works again"), "{said}");
    arrived(cloud, "denied", &place, 5);
    loudly(&format!("an hour of refusals: {attempts} attempts, the longest pause {longest} s"));
}

/// Any request fails, in any way, one in four; and the service is killed now and then.
#[test]
fn a_line_that_fails_all_the_time_loses_nothing() {
    const FILES: u64 = 12;
    let Some(cloud) = cloud() else { return };
    cloud.ask("bucket", json!({ "name": "bad-line" }));
    let seed = time::now_us().unsigned_abs();
    loudly(&format!("a bad line: seed {seed}"));
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let proxy = Proxy::new(&cloud.url, move |_, _| {
        let faults = [
            Fault::Answer(500, "InternalError"),
            Fault::Answer(503, "SlowDown"),
            Fault::Reset,
            Fault::Truncated,
            Fault::LostReply,
            Fault::Corrupted,
        ];
        next().is_multiple_of(4).then(|| faults[usize::try_from(next()).unwrap_or(0) % faults.len()])
    });
    let place = Place::new();
    let config = config(&place, "bad-line", "");
    for number in 0..FILES {
        place.put(&format!("{number:03}"), &file(number * 10, 10));
        if number % 4 == 3 {
            let service = start(cloud, &proxy.url, &config);
            thread::sleep(std::time::Duration::from_millis(700));
            service.kill();
        }
    }
    let service = start(cloud, &proxy.url, &config);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    let said = service.stop();
    assert!(proxy.failed() > 10, "{said}");
    arrived(cloud, "bad-line", &place, FILES * 10);
    loudly(&format!("a bad line: {} requests failed, {} rows, each once", proxy.failed(), FILES * 10));
}
