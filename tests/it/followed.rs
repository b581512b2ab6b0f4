//! Files that grow are followed wherever they go, each line once.

use std::{fs, io::Write, path::Path, thread, time::Duration};

use crate::{
    service::{HEADER, Place, counts, each_once, record},
    support::{converter, run, write},
};

/// Lines of a log that grows, with a header or without.
fn append(path: &Path, numbers: std::ops::Range<u64>) {
    let mut log = fs::File::options().create(true).append(true).open(path).unwrap();
    if log.metadata().unwrap().len() == 0 {
        writeln!(log, "{HEADER} region").unwrap();
    }
    for number in numbers {
        let line = record(number).replace("OK region", "OK us-east-1") + "\n";
        // A reader may come in the middle of a line.
        let (first, second) = line.as_bytes().split_at(30);
        log.write_all(first).unwrap();
        log.write_all(second).unwrap();
    }
}

/// A file that grows, is rotated, packed, cut short in its place, and all of that while nobody looks, too.
#[test]
fn a_file_that_grows_is_followed_wherever_it_goes() {
    let place = Place::new();
    let log = place.path("flow.log");
    let moved = |name: &str| place.path(&format!("flow.log{name}"));
    let root = place.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let text = format!(
        "state = \"{root}/one\"\n[lake]\npath = \"{root}/lake\"\nbatch-seconds = 0\n[inputs.log]\nfile = \"{root}/flow.log\"\n\
         origin = \"on-premises\"\n"
    );
    let config = write(&place.path(""), "one.toml", text.as_bytes());
    let rows = || counts(&place.path("lake")).len() as u64;
    append(&log, 0..100);
    let service = place.start(&config);
    service.wait_until("the first lines", || rows() == 100);
    append(&log, 100..150);
    service.wait_until("more lines", || rows() == 150);
    // Rotated; whoever writes goes on in the old file for a while.
    fs::rename(&log, moved(".1")).unwrap();
    append(&moved(".1"), 150..170);
    append(&log, 170..200);
    service.wait_until("rotated", || rows() == 200);
    // Killed at any moment while it grows.
    service.kill();
    for step in 0..8 {
        append(&log, 200 + step * 50..250 + step * 50);
        let service = place.start(&config);
        thread::sleep(Duration::from_millis(150 + step * 60));
        service.kill();
    }
    // While nobody looks, it is packed away; another comes and goes, and the next begins.
    let was = fs::read(&log).unwrap();
    fs::write(moved(".2.gz"), crate::support::gzip(&was)).unwrap();
    fs::remove_file(&log).unwrap();
    append(&moved(".1"), 600..650);
    fs::remove_file(moved(".1")).unwrap();
    append(&moved(".3"), 650..700);
    append(&log, 700..750);
    let service = place.start(&config);
    service.wait_until("all of them", || rows() >= 200 + 400 + 50 + 50);
    assert!(service.said().contains("came and went while nobody looked"), "{}", service.said());
    // Copied, and cut short in its place.
    append(&log, 750..780);
    fs::copy(&log, moved(".4")).unwrap();
    fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    append(&log, 780..790);
    service.wait_until("copied", || rows() >= 740);
    thread::sleep(Duration::from_secs(2));
    let said = service.stop();
    assert!(!said.contains("is not delivered") && !said.contains("not delivered:"), "{said}");
    // What came into a file that was gone before anybody looked at it again, nobody can know: 600 to 650.
    let counts = counts(&place.path("lake"));
    let expected: Vec<u64> = (0..600).chain(650..790).collect();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), expected);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

/// A file that lost its end, a link, a header alone, another log with a longer name, and one that is moved to a name of its own.
#[test]
fn odd_files_that_grow_are_followed() {
    let place = Place::new();
    let root = place.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let real = place.path("real");
    fs::create_dir(&real).unwrap();
    let log = place.path("flow.log");
    std::os::unix::fs::symlink(real.join("flow.log"), &log).unwrap();
    let text = format!(
        "state = \"{root}/one\"\n[lake]\npath = \"{root}/lake\"\nbatch-seconds = 0\n[inputs.link]\nfile = \"{root}/flow.log\"\n\
         origin = \"on-premises\"\n[inputs.log]\nfile = \"{root}/other.log\"\norigin = \"on-premises\"\n"
    );
    let config = write(&place.path(""), "one.toml", text.as_bytes());
    let rows = || counts(&place.path("lake")).len() as u64;
    let other = place.path("other.log");
    append(&log, 0..20);
    append(&other, 20..20);
    append(&place.path("other.log_errors"), 900..910);
    let service = place.start(&config);
    service.wait_until("the link's", || rows() == 20);
    append(&other, 20..60);
    service.wait_until("behind a header", || rows() == 60);
    // Moved to a name that is not made of its own, while the last lines are not read.
    append(&other, 60..70);
    fs::rename(&other, place.path("moved-away.log")).unwrap();
    append(&other, 70..80);
    service.wait_until("moved", || rows() == 80);
    service.kill();
    // The machine lost its power, and the log its end.
    let length = fs::metadata(&other).unwrap().len();
    fs::File::options().write(true).open(&other).unwrap().set_len(length - 150).unwrap();
    let service = place.start(&config);
    service.wait_for("lost its end");
    let mut file = fs::File::options().append(true).open(&other).unwrap();
    writeln!(file).unwrap();
    append(&other, 80..90);
    service.wait_until("on from there", || rows() == 90);
    service.stop();
    each_once(&place.path("lake"), 90);
}

/// Rotated while it was empty, had only a header, or one line without an end: none of these stops what came behind them.
#[test]
fn what_was_rotated_with_nothing_in_it_is_passed_over() {
    let place = Place::new();
    let root = place.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let log = place.path("flow.log");
    let text = format!(
        "state = \"{root}/one\"\n[lake]\npath = \"{root}/lake\"\nbatch-seconds = 0\n[inputs.log]\nfile = \"{root}/flow.log\"\n\
         origin = \"on-premises\"\n"
    );
    let config = write(&place.path(""), "one.toml", text.as_bytes());
    let rows = || counts(&place.path("lake")).len() as u64;
    let rotate = |number: u32| fs::rename(&log, place.path(&format!("flow.log-2026112{number}"))).unwrap();
    // Moved as soon as it has something.
    fs::write(&log, "").unwrap();
    let service = place.start(&config);
    service.wait_until("a look", || place.path("one/status.json").exists());
    append(&log, 0..5);
    rotate(0);
    append(&log, 5..10);
    service.wait_until("the first", || rows() == 10);
    rotate(1);
    fs::write(&log, "").unwrap();
    rotate(2);
    append(&log, 0..0);
    rotate(3);
    // A line that was cut off as all lines begin: it tells no file from others.
    append(&log, 10..11);
    let whole = fs::metadata(&log).unwrap().len();
    let header = HEADER.len() as u64 + " region\n".len() as u64;
    assert!(whole > header + 20);
    fs::File::options().write(true).open(&log).unwrap().set_len(header + 7).unwrap();
    rotate(4);
    append(&log, 11..30);
    service.wait_until("all of them", || rows() == 29);
    // And while nobody looks.
    service.kill();
    rotate(5);
    fs::write(&log, "").unwrap();
    rotate(6);
    append(&log, 30..35);
    rotate(7);
    append(&log, 35..40);
    let service = place.start(&config);
    service.wait_until("those behind them", || rows() == 39);
    let said = service.stop();
    assert!(!said.contains("not delivered"), "{said}");
    let counts = counts(&place.path("lake"));
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(counts.keys().copied().eq((0..10).chain(11..40)), "{counts:?}");
    let length = fs::metadata(&log).unwrap().len();
    let expected = format!("inputs.log         {length} bytes of its file read, which has {length}; 0 pieces wait\n");
    let status = run(converter().args(["status", "--config"]).arg(&config)).text();
    assert!(status.contains(&expected), "{status}");
}
