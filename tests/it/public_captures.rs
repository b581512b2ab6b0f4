//! Captures that nobody here chose: thousands of them, with other programs' counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{Summary, agent, column, loudly, repository, run, shared};
use crate::tshark::{KNOWN_LINKS, has_tshark};

/// `flowlake-agent replay` over every one: no panic, no exit code but 0 and 1, and the counters add up.
#[test]
fn every_capture_is_replayed_and_every_packet_accounted_for() {
    let Some(folder) = shared("data/pcap") else {
        return;
    };
    let files = captures(&folder);
    let failed = AtomicUsize::new(0);
    in_parallel(&files, |file| {
        let ran = run(agent().arg("replay").arg(file));
        let name = file.display();
        assert!(ran.code == 0 || ran.code == 1, "{name}: exit code {}\n{}", ran.code, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        let summary = Summary::of(&ran.stderr);
        assert!(summary.adds_up(), "{name}: {}", ran.stderr);
        assert_eq!(column(&ran.text(), "packets").iter().sum::<u64>(), summary.recorded, "{name}");
        failed.fetch_add(usize::from(ran.code == 1), Ordering::Relaxed);
    });
    assert!(files.len() > 2000, "only {} captures", files.len());
    loudly(&format!(
        "public captures: {} replayed, {} of them damaged or of unknown links",
        files.len(),
        failed.into_inner()
    ));
}

/// What another program counts in a capture.
struct Expected<'a> {
    file: PathBuf,
    packets: u64,
    /// IP bytes, where the program counts these.
    bytes: Option<u64>,
    tool: &'a str,
}

/// Where another program's count covers every packet of a capture, ours is the same, less what the summary names as not IP;
/// and so are the IP bytes, where it counts them.
#[test]
fn packets_and_bytes_equal_what_other_programs_count() {
    let Some(folder) = shared("data") else {
        return;
    };
    let links = link_types(&fs::read_to_string(folder.join("INDEX.md")).expect("the index"));
    let exceptions = exceptions("zeek");
    let truth = fs::read_to_string(folder.join("TRUTH_CHECK.tsv")).expect("the truth");
    let mut compared = Vec::new();
    let mut not_decoded = 0;
    for line in truth.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [expectation, tool, _flows, packets, bytes, _in_file, "all"] = columns[..] else {
            continue;
        };
        let capture = expectation.split(".expect-").next().expect("a capture");
        let known = KNOWN_LINKS.contains(&links.get(capture).map_or("", String::as_str));
        if !known {
            assert!(exceptions.contains_key(capture), "{capture}: its link type is not decoded, and nobody says why");
            not_decoded += 1;
        }
        if known {
            // The others count frames, or, where there is no number, nothing.
            let counts_ip_bytes = ["ipfixprobe", "zeek"].contains(&tool) && !["-", "0"].contains(&bytes);
            let bytes = (counts_ip_bytes && !exceptions.contains_key(capture)).then(|| bytes.parse().expect("a count"));
            compared.push(Expected {
                file: folder.join(capture),
                packets: packets.parse().expect("a count"),
                bytes,
                tool,
            });
        }
    }
    let asks_tshark = has_tshark();
    let frames_not_ip = AtomicUsize::new(0);
    in_parallel(&compared, |expected| {
        let mut replay = agent();
        replay.arg("replay").arg(&expected.file);
        if expected.tool == "zeek" {
            // It looks into tunnels by itself.
            replay.args(["--decapsulate", "gre,erspan"]);
        }
        let ran = run(&mut replay);
        let summary = Summary::of(&ran.stderr);
        let not_ip = summary.not_recorded.get("not IP").copied().unwrap_or_default();
        // The other program counted these frames too; that they are not IP is not for us alone to say.
        if not_ip > 0 && asks_tshark {
            assert_eq!(not_ip, tshark_not_ip(&expected.file), "{}: {}", expected.file.display(), ran.stderr);
            frames_not_ip.fetch_add(usize::try_from(not_ip).expect("a count"), Ordering::Relaxed);
        }
        let sum = |name: &str| column(&ran.text(), name).iter().sum::<u64>();
        assert_eq!(sum("packets"), expected.packets - not_ip, "{}: {}", expected.file.display(), ran.stderr);
        if let Some(bytes) = expected.bytes {
            assert_eq!(sum("bytes"), bytes, "{}: {}", expected.file.display(), ran.stderr);
        }
    });
    assert_eq!(not_decoded, 1);
    let with_bytes = compared.iter().filter(|expected| expected.bytes.is_some()).count();
    assert!(with_bytes > 30, "only {with_bytes} comparisons of bytes");
    assert!(compared.len() > 400, "only {} comparisons", compared.len());
    loudly(&format!(
        "other programs: {} packet counts and {with_bytes} byte counts are equal, {} exceptions; {} frames are not IP, as tshark says too",
        compared.len(),
        exceptions.len(),
        frames_not_ip.into_inner()
    ));
}

/// How many frames of a capture hold no IP, as tshark sees it.
fn tshark_not_ip(file: &Path) -> u64 {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-Y", "!ip && !ipv6", "-T", "fields", "-e", "frame.number", "-r"]).arg(file);
    run(&mut tshark).text().lines().count() as u64
}

/// The captures on which a program and flowlake differ for a reason, with that reason.
pub(crate) fn exceptions(program: &str) -> BTreeMap<String, String> {
    let all = fs::read_to_string(repository().join("tests/it/exceptions.tsv")).expect("the exceptions");
    let lines = all.lines().filter(|line| !line.starts_with('#'));
    let of_program = lines.filter_map(|line| line.strip_prefix(program)?.strip_prefix('\t')?.split_once('\t'));
    of_program.map(|(capture, reason)| (capture.to_owned(), reason.to_owned())).collect()
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(captures(&path));
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy();
        if !name.contains(".expect-") && !name.ends_with(".json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The link type of each capture, from the index's table.
pub(crate) fn link_types(index: &str) -> BTreeMap<String, String> {
    let rows = index.lines().filter(|line| line.starts_with("| `pcap/"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[6].to_owned())
    })
    .collect()
}

/// Runs a check on every item, on two threads.
pub(crate) fn in_parallel<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(item);
                }
            });
        }
    });
}
