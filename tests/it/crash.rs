//! Agent and converter, both killed at any moment under load: each line of a finished spool file is in the lake exactly once, and the
//! agent's lost time is SKIPDATA.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use flowlake_common::time;

use crate::{
    lab::{Lab, script},
    service::Service,
    support::{converter, loudly, rows, run, tree, write},
};

/// Moves what is finished from the agent's spool to the converter's, and keeps a copy of each file.
fn hand_over(from: &Path, to: &Path, kept: &Path) -> usize {
    let mut moved = 0;
    let Ok(entries) = fs::read_dir(from) else { return 0 };
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with('.') && entry.path().is_file() {
            fs::hard_link(entry.path(), kept.join(&name)).expect("a copy");
            fs::rename(entry.path(), to.join(&name)).expect("moved");
            moved += 1;
        }
    }
    moved
}

#[test]
fn both_programs_are_killed_under_load() {
    let rounds = if std::env::var_os("FLOWLAKE_SOAK").is_some() { 100 } else { 5 };
    let Some(lab) = Lab::new() else { return };
    let (given, kept, lake) = (lab.path("given"), lab.path("kept"), lab.path("lake"));
    for folder in [&given, &kept] {
        fs::create_dir(folder).expect("a folder");
    }
    let config = format!(
        "state = \"{}\"\n[lake]\npath = \"{}\"\nbatch-seconds = 0\n[inputs.agent]\nspool = \"{}\"\n",
        lab.path("converter").display(),
        lake.display(),
        given.display()
    );
    let config = write(&lab.path(""), "converter.toml", config.as_bytes());
    let start = || {
        let said = config.with_extension("said");
        let log = fs::File::options().create(true).append(true).open(&said).expect("a file");
        let child =
            converter().args(["run", "--config"]).arg(&config).stderr(log).spawn().expect("the converter starts");
        Service::of(child, said)
    };
    let mut random = time::now_us().unsigned_abs();
    loudly(&format!("both killed: seed {random}"));
    let mut next = |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let spool = lab.path("state/spool");
    let (ended, mut killed, mut files) = (AtomicBool::new(false), Vec::new(), 0);
    thread::scope(|scope| {
        // Load all the time, bounded; it ends with the last round.
        scope.spawn(|| {
            let sender = script("live_traffic.py");
            while !ended.load(Ordering::Relaxed) {
                lab.shell(&lab.outside, &format!("python3 {} flows 3000 10.9.0.2 7820", sender.display()));
            }
        });
        for round in 0..rounds {
            let agent = lab.agent("");
            let began = time::now();
            let life = time::monotonic_us() + i64::try_from(500 + next(3000)).expect("small") * 1000;
            while time::monotonic_us() < life {
                let service = start();
                thread::sleep(Duration::from_millis(next(700)));
                files += hand_over(&spool, &given, &kept);
                service.kill();
            }
            // Some end as they should, and write what they have.
            if round % 3 == 2 {
                agent.stop();
            } else {
                agent.signal("-KILL");
                drop(agent);
                killed.push((began, time::now()));
            }
        }
        // The last one says what the killed ones lost.
        lab.agent("").stop();
        ended.store(true, Ordering::Relaxed);
    });
    files += hand_over(&spool, &given, &kept);
    let service = start();
    let is_drained = || tree(&given).keys().all(|name| name.ends_with("/.lock"));
    service.wait_until("an empty spool", is_drained);
    let said = service.stop();
    assert!(!said.contains("parked; mend"), "{said}");

    let expected = lab.path("expected");
    let mut convert = converter();
    convert.args(["convert", "--origin", "on-premises", "--lake"]).arg(&expected).arg(&kept);
    run(&mut convert).ended(0);
    let (mut found, mut wanted) = (rows(&lake.join("ext")), rows(&expected.join("ext")));
    found.sort();
    wanted.sort();
    assert_eq!(found.len(), wanted.len());
    assert!(found == wanted, "other rows");
    // Each killed life is covered.
    let records: Vec<_> = tree(&kept).into_values().flat_map(|packed| crate::lab::parse(&unpacked(&packed))).collect();
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let skipped: Vec<(i64, i64)> = records
        .iter()
        .filter(|record| record["log-status"] == "SKIPDATA")
        .map(|record| (number(&record["start"]), number(&record["end"])))
        .collect();
    for (began, died) in &killed {
        let uncovered =
            (began + 1..*died).find(|second| !skipped.iter().any(|(start, end)| (start..=end).contains(&second)));
        assert_eq!(uncovered, None, "killed between {began} and {died}, SKIPDATA: {skipped:?}");
    }
    loudly(&format!(
        "both killed: {rounds} rounds, {} killed agents, {files} spool files, {} rows, each once",
        killed.len(),
        found.len()
    ));
}

fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    let mut decoder = flowlake_common::codec::Decoder::new(packed, 1 << 30).expect("gzip");
    std::io::Read::read_to_string(&mut decoder, &mut text).expect("text");
    text
}
