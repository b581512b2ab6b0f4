//! The line is down for a day, of 1,000 records a second, and the spool is bounded: what is given up is SKIPDATA, memory stays flat, and
//! what is left is delivered, each record once, when the line is back. In `make test` the day has twenty minutes and a tenth of the records.

use std::{
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flowlake_agent::{
    decode::FiveTuple,
    emit::{GivenUp, Identity, SpoolWriter},
    flow::{Action, Closed, Entry, Key},
};
use flowlake_common::{
    spool::{Limits, Spool},
    time,
};
use serde_json::json;

use crate::{
    cloud::{ADMIN, cloud},
    fault_proxy::{Fault, Proxy},
    service::Service,
    support::{loudly, tree, write},
};

/// A window's flows, no two alike, and hard to pack. Their bytes are their numbers.
fn window(start: i64, records: u32) -> Closed {
    let mut random = start.unsigned_abs() | 1;
    let entry = |number: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [a, b, c, d, e, f, ..] = (random ^ random >> 29).to_be_bytes();
        let mut tuple = FiveTuple {
            source: [0; 16],
            destination: [0; 16],
            source_port: u16::from_be_bytes([a, b]),
            destination_port: 443,
            protocol: 6,
            ipv6: false,
        };
        tuple.source[..4].copy_from_slice(&[10, c, d, e]);
        tuple.destination[..4].copy_from_slice(&[10, f, 0, 1]);
        let key = Key { tuple, interface: 0, direction: None, action: Action::Accept };
        let second = number % 60 * 1_000_000;
        Entry {
            key,
            packets: u64::from(a) + 1,
            bytes: u64::from(number) + 1,
            first_us: second,
            last_us: second,
            first_fragments: 0,
            later_fragments: 0,
            fragment_bytes: 0,
            tcp_flags: 2,
        }
    };
    Closed { start, entries: (0..records).map(entry).collect(), verdict_unmatched: 0 }
}

/// MiB of memory that a process has now.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

#[test]
fn a_day_without_a_line_is_survived() {
    let soak = std::env::var_os("FLOWLAKE_SOAK").is_some();
    let (windows, records, max_bytes, batch_mib) =
        if soak { (1440, 60_000, 512 << 20, 64) } else { (20, 6_000, 512 << 10, 1) };
    let Some(cloud) = cloud() else { return };
    let folder = tempfile::tempdir().unwrap();
    let spool_folder = folder.path().join("spool");
    cloud.ask("bucket", json!({ "name": "outage" }));
    let config = format!(
        "state = \"{root}/state\"\n[lake]\npath = \"s3://outage\"\nbatch-seconds = 1\nbatch-mib = {batch_mib}\n\
         [aws]\npath-style = true\n[inputs.agent]\nspool = \"{root}/spool\"\n",
        root = folder.path().display()
    );
    let config = write(folder.path(), "converter.toml", config.as_bytes());
    let is_down = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::new(&cloud.url, {
        let is_down = is_down.clone();
        move |_, _| is_down.load(Ordering::Relaxed).then_some(Fault::Reset)
    });
    let limits = Limits { max_bytes, min_free: 0, ..Limits::default() };
    let spool = Spool::open(&spool_folder, limits).unwrap();
    let said = config.with_extension("said");
    let mut command = cloud.converter(ADMIN);
    command.env("AWS_ENDPOINT_URL", &proxy.url).args(["run", "--config"]).arg(&config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());

    // The day, as fast as it can be written.
    let identity = Identity {
        account_id: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        interface_ids: vec!["eni-f0000000000000001".to_owned()],
        ..Identity::default()
    };
    let first = (time::now() - 90_000) / 60 * 60;
    let writer = SpoolWriter::new(spool, 60);
    let mut lost = (0, 0);
    let (mut in_spool, mut memory) = (0, Vec::new());
    // Of the short day the service would claim everything: there it comes at noon.
    let comes_at = if soak { 0 } else { windows / 2 };
    let mut service = None;
    for number in 0..windows {
        if number == comes_at {
            let child = command.spawn().unwrap();
            service = Some((child.id(), Service::of(child, said.clone())));
        }
        let mut tell = |GivenUp { files, records, .. }: GivenUp| lost = (lost.0 + files, lost.1 + records);
        writer.write(&identity, &window(first + number * 60, records), &[], &mut tell).unwrap();
        let waiting = fs::read_dir(&spool_folder).unwrap().filter_map(|entry| entry.unwrap().metadata().ok());
        in_spool = in_spool.max(waiting.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum());
        memory.extend(service.as_ref().map(|(process, _)| resident(*process)));
        if !soak {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let (process, service) = service.unwrap();
    // The spool keeps its limit, but for the file that is written when it has just not reached it.
    assert!(in_spool <= max_bytes + (4 << 20), "{in_spool} bytes in the spool");
    let claimed: usize =
        tree(&spool_folder).iter().filter(|(name, _)| name.contains(".claims")).map(|(_, file)| file.len()).sum();
    assert!(claimed <= (5 * batch_mib + 4) << 20, "{claimed} bytes are claimed");
    assert!(lost.0 > 0, "nothing was given up");
    // Flat: the second half of the day needs no more than the first.
    let (before, after) = memory.split_at(memory.len() / 2);
    let (before, after) = (before.iter().max().unwrap(), after.iter().max().unwrap());
    assert!(*after <= before + 16, "{before} MiB, then {after} MiB");
    assert!(service.said().contains("next attempt in"), "{}", service.said());

    is_down.store(false, Ordering::Relaxed);
    let began = time::monotonic_us();
    let mut draining = 0;
    let mut drained = false;
    // Five minutes are the longest pause between two attempts.
    while !drained {
        thread::sleep(Duration::from_millis(500));
        draining = draining.max(resident(process));
        drained = tree_is_empty(&spool_folder);
        assert!(time::monotonic_us() - began < 1_800_000_000, "it does not drain:\n{}", service.said());
    }
    let took = (time::monotonic_us() - began) / 1_000_000;
    service.stop();

    // Each window is there, whole and once, or it is SKIPDATA.
    let rows = cloud.query(
        "SELECT time // 60000 AS minute, count(*), count(DISTINCT traffic.bytes), min(traffic.bytes), max(traffic.bytes) \
         FROM read_parquet('s3://outage/ext/flowlake_agent/**/*.parquet') WHERE status_code = 'OK' GROUP BY 1",
    );
    let all = records.to_string();
    for row in &rows {
        assert_eq!(row[1..], [all.as_str(), &all, "1", &all], "minute {}", row[0]);
    }
    let skipped = cloud.query(
        "SELECT time // 60000, epoch_ms(end_time_dt) // 60000 \
         FROM read_parquet('s3://outage/ext/flowlake_agent/**/*.parquet') WHERE status_code = 'SKIPDATA'",
    );
    let number = |text: &String| text.parse::<i64>().unwrap();
    let there: Vec<i64> = rows.iter().map(|row| number(&row[0])).collect();
    let spans: Vec<(i64, i64)> = skipped.iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
    for minute in (0..windows).map(|window| first / 60 + window) {
        let is_skipped = spans.iter().any(|(start, end)| (start..=end).contains(&&minute));
        assert!(there.contains(&minute) != is_skipped, "minute {minute}: {is_skipped}, {spans:?}");
    }
    let total = windows * i64::from(records);
    let delivered = i64::try_from(rows.len()).unwrap() * i64::from(records);
    assert_eq!(u64::try_from(total - delivered).unwrap(), lost.1);
    loudly(&format!(
        "outage: {total} records in {windows} windows, {delivered} delivered once, {} given up in {} files as {} SKIPDATA; \
         spool {} MiB at most, {claimed} bytes claimed; memory {before} MiB, then {after} MiB, draining in {took} s {draining} MiB",
        lost.1,
        lost.0,
        spans.len(),
        in_spool >> 20
    ));
}

/// Whether nothing waits in a spool, claimed or not.
fn tree_is_empty(folder: &std::path::Path) -> bool {
    fn is_empty(folder: &std::path::Path) -> bool {
        let is_nothing =
            |entry: fs::DirEntry| entry.file_name() == ".lock" || entry.path().is_dir() && is_empty(&entry.path());
        fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_nothing)))
    }
    folder.join(".claims").is_dir() && is_empty(folder)
}
