//! The converter's service: what arrives in a spool and in folders is in the lake, each record once, whatever is killed.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use flowlake_common::{
    spool::{Limits, Spool},
    time,
};

use crate::support::{Ran, converter, lake_files, loudly, rows, run, write};

pub(crate) const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// A record that no other test file has: its number is its bytes.
pub(crate) fn record(number: u64) -> String {
    format!("2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 {number} 1718530010 1718530070 ACCEPT OK region")
}

/// A flow log file of so many records from a number on.
pub(crate) fn file(first: u64, count: u64) -> String {
    let lines: String = (first..first + count).map(|number| format!("{}\n", record(number))).collect();
    format!("{HEADER} region\n{lines}").replace("OK region", "OK us-east-1")
}

/// How often each record is in a lake, by its number.
pub(crate) fn counts(lake: &Path) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    // Only what is published: beside it files come and go.
    for row in rows(&lake.join("ext")) {
        let bytes = row.split("bytes: ").nth(1).and_then(|rest| rest.split('}').next()).expect("a row has bytes");
        *counts.entry(bytes.parse().expect("a number")).or_default() += 1;
    }
    counts
}

#[track_caller]
pub(crate) fn each_once(lake: &Path, records: u64) {
    let counts = counts(lake);
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).take(5).collect();
    let missing: Vec<u64> = (0..records).filter(|number| !counts.contains_key(number)).take(5).collect();
    assert!(twice.is_empty() && missing.is_empty(), "twice: {twice:?}, missing: {missing:?}");
    assert_eq!(counts.len() as u64, records);
}

/// A folder with a configuration in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("spool")).unwrap();
        fs::create_dir(place.path("folder")).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A configuration with a state of its own, one lake, the spool and the folder.
    pub(crate) fn config(&self, name: &str, lake: &str) -> PathBuf {
        let root = self.0.path().display();
        let text = format!(
            "state = \"{root}/{name}\"\n[lake]\npath = \"{root}/lake\"\n{lake}\n[inputs.agent]\nspool = \"{root}/spool\"\n\
             [inputs.cloud]\nfolder = \"{root}/folder\"\norigin = \"on-premises\"\n"
        );
        write(self.0.path(), &format!("{name}.toml"), text.as_bytes())
    }

    pub(crate) fn start(&self, config: &Path) -> Service {
        let said = config.with_extension("said");
        let log = fs::File::options().create(true).append(true).open(&said).unwrap();
        let mut command = converter();
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Service::of(command.spawn().unwrap(), said)
    }

    /// Puts a file into the spool, as the agent does.
    pub(crate) fn put(&self, name: &str, content: &str) {
        let spool = Spool::open(&self.path("spool"), Limits::default()).unwrap();
        spool.put(name, |out| out.write_all(content.as_bytes())).unwrap();
    }

    /// Puts a finished file into the folder.
    pub(crate) fn give(&self, name: &str, content: &str) {
        let path = write(&self.path("folder"), name, content.as_bytes());
        let before = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(time::now()).unwrap() - 60);
        fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
    }

    /// Files of the spool, claimed or not.
    pub(crate) fn in_spool(&self) -> usize {
        let tree = crate::support::tree(&self.path("spool"));
        tree.keys().filter(|name| !name.ends_with("/.lock")).count()
    }
}

/// A service that runs; killed when it is dropped.
pub(crate) struct Service {
    child: Child,
    said: PathBuf,
}

impl Service {
    /// A process, and where it writes what it says.
    pub(crate) fn of(child: Child, said: PathBuf) -> Self {
        Self { child, said }
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..1200 {
            if is_so() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} did not come in two minutes:\n{}", self.said());
    }

    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(text, || self.said().contains(text));
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as systemd does.
    pub(crate) fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        run(std::process::Command::new("kill").args(["-TERM", &id])).ended(0);
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
        self.said()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_arrives_is_in_the_lake_once_and_what_cannot_be_read_is_parked() {
    let place = Place::new();
    let config = place.config("one", "batch-seconds = 1");
    run(converter().args(["check", "--config"]).arg(&config)).ended(0).says("good");
    place.put("a", &file(0, 10));
    place.put("b", &file(10, 10));
    place.put("nothing", "");
    place.put("junk", "no flow log\n");
    place.give("sub/c.log", &file(20, 10));
    place.give("copy.log", &file(0, 10));
    let service = place.start(&config);
    service.wait_until("30 rows", || counts(&place.path("lake")).len() == 30);
    service.wait_for("junk: not delivered: ");
    service.wait_until("an empty spool", || place.in_spool() == 0);
    let status = || run(converter().args(["status", "--config"]).arg(&config));
    let told = status().ended(1).text();
    assert!(told.contains("runs for") && told.contains("junk: not a flow log"), "{told}");
    service.wait_until("what was measured", || status().text().contains("record to lake"));
    assert!(status().text().contains("30 new rows"), "{}", status().text());
    // What is taken away before it is looked at, or after, is not taken for what comes in its place.
    place.give("sub/e.log", &file(30, 5));
    service.wait_until("35 rows", || counts(&place.path("lake")).len() == 35);
    fs::remove_file(place.path("folder/sub/e.log")).unwrap();
    place.give("sub/f.log", &file(35, 6));
    service.wait_until("41 rows", || counts(&place.path("lake")).len() == 41);
    // A file that grows is said, and not delivered twice.
    place.give("sub/c.log", &file(20, 11));
    service.wait_for("c.log: grew after it was delivered");
    let said = service.stop();
    assert!(said.contains("inputs parked"), "{said}");
    each_once(&place.path("lake"), 41);
    assert!(status().ended(1).text().contains("does not run"));
    // What is in hand of a service is not remembered by it alone.
    let service = place.start(&config);
    place.put("d", &file(41, 5));
    service.wait_until("46 rows", || counts(&place.path("lake")).len() == 46);
    // Mended, it comes again.
    let ran = run(converter().args(["retry", "--config"]).arg(&config)).ended(0);
    ran.says("junk comes again").says("1 inputs come again");
    service.wait_until("it comes again", || service.said().matches("not delivered: ").count() == 2);
    assert!(service.said().contains("again/agent/junk: not delivered"), "by its own name");
    service.stop();
    each_once(&place.path("lake"), 46);
    run(converter().arg("validate").arg(place.path("lake"))).ended(0);
    let rows: Vec<String> = rows(&place.path("lake"));
    assert!(rows.iter().all(|row| row.contains("external_123456789012")));
}

/// Killed at any moment, again and again, while files arrive: afterwards each record is there once.
#[test]
fn a_service_that_is_killed_loses_nothing_and_doubles_nothing() {
    const FILES: u64 = 40;
    const RECORDS: u64 = 25;
    let rounds = if std::env::var_os("FLOWLAKE_SOAK").is_some() { 100 } else { 5 };
    let place = Place::new();
    let config = place.config("one", "batch-seconds = 0\nbatch-mib = 1");
    let (mut kills, mut next) = (0, 0);
    // No two runs alike, and every one can be repeated.
    let mut random = time::now_us().unsigned_abs();
    loudly(&format!("killed services: seed {random}"));
    for _ in 0..rounds {
        for number in next..next + FILES {
            let content = file(number * RECORDS, RECORDS);
            if number % 3 == 0 {
                place.give(&format!("{number}.log"), &content);
            } else {
                place.put(&format!("{number:06}"), &content);
            }
            if number % 4 == 0 {
                let service = place.start(&config);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                thread::sleep(Duration::from_millis(random >> 33 & 511));
                service.kill();
                kills += 1;
            }
        }
        next += FILES;
    }
    let service = place.start(&config);
    service.wait_until("all records", || counts(&place.path("lake")).len() as u64 == next * RECORDS);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    each_once(&place.path("lake"), next * RECORDS);
    run(converter().arg("validate").arg(place.path("lake"))).ended(0);
    let objects = lake_files(&place.path("lake")).len();
    loudly(&format!(
        "killed services: {rounds} rounds, {kills} kills, {} rows in {objects} objects, each once",
        next * RECORDS
    ));
}

/// Three converters on one spool and one folder, one of them killed: they share a ledger.
#[test]
fn converters_share_their_inputs() {
    let place = Place::new();
    let services: Vec<Service> =
        ["one", "two", "three"].map(|name| place.start(&place.config(name, "batch-seconds = 1"))).into();
    for number in 0..60 {
        let content = file(number * 10, 10);
        if number % 2 == 0 {
            place.give(&format!("{number}.log"), &content);
        } else {
            place.put(&format!("{number:03}"), &content);
        }
        thread::sleep(Duration::from_millis(30));
    }
    let mut services = services.into_iter();
    services.next().unwrap().kill();
    let others: Vec<Service> = services.collect();
    others[0].wait_until("all records", || counts(&place.path("lake")).len() == 600);
    others[0].wait_until("an empty spool", || place.in_spool() == 0);
    others.into_iter().for_each(|service| drop(service.stop()));
    each_once(&place.path("lake"), 600);
}

/// A small file system of the test's own; taken away again at its end.
pub(crate) struct Small(PathBuf);

impl Small {
    /// `None`, said loudly, where it may not be made.
    pub(crate) fn on(path: &Path) -> Option<Self> {
        let mount = run(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "small"]).arg(path));
        if mount.code != 0 {
            loudly("SKIPPED: a full disk needs the right to mount one; run as root");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    pub(crate) fn remount(&self, how: &str) {
        run(std::process::Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0)).ended(0);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run(std::process::Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// The lake's disk is full, or cannot be written, and then the service's own: said, nothing half-written is published, and it goes on by itself.
#[test]
fn a_disk_that_is_full_or_read_only_is_waited_for() {
    let place = Place::new();
    let [lake, state] = ["lake", "one"].map(|name| place.path(name));
    fs::create_dir(&lake).unwrap();
    fs::create_dir(&state).unwrap();
    let (Some(lakes), Some(_states)) = (Small::on(&lake), Small::on(&state)) else { return };
    let config = place.config("one", "batch-seconds = 0");
    let mut service = place.start(&config);
    service.wait_until("its lock", || state.join("lock").exists());
    let (mut records, mut waited) = (0, 0);
    let said =
        |service: &Service| service.said().matches("make room on the disk, or make it writable; next attempt").count();
    for (what, disk) in [("full", &lake), ("read-only", &lake), ("full", &state)] {
        let filler = disk.join("filler");
        if what == "full" {
            // To the last page.
            let mut file = fs::File::create(&filler).unwrap();
            while file.write_all(&[1; 4096]).is_ok() {}
        } else {
            lakes.remount("ro");
        }
        place.put(&format!("{records}"), &file(records, 5));
        place.give(&format!("{records}.log"), &file(records + 5, 5));
        records += 10;
        if disk == &lake {
            service.wait_until(what, || said(&service) > waited);
        } else {
            service.wait_until("all, with its own disk full", || counts(&lake).len() as u64 == records);
        }
        assert!(service.child.try_wait().unwrap().is_none(), "{what}: it ended: {}", service.said());
        if what == "full" {
            fs::remove_file(&filler).unwrap();
        } else {
            lakes.remount("rw");
        }
        service.wait_until(what, || counts(&lake).len() as u64 == records);
        service.wait_until("an empty spool", || place.in_spool() == 0);
        waited = said(&service);
    }
    let said = service.stop();
    assert!(!said.contains("parked; mend"), "{said}");
    each_once(&lake, records);
    run(converter().arg("validate").arg(&lake)).ended(0);
    let left: Vec<String> = crate::support::tree(&lake).into_keys().filter(|name| name.contains(".new-")).collect();
    assert_eq!(left, [""; 0], "nothing half-written is left");
    // Also not when the service begins anew.
    let service = place.start(&config);
    service.wait_until("its lock", || state.join("lock").exists());
    thread::sleep(Duration::from_secs(7));
    service.stop();
    each_once(&lake, records);
}

/// A batch in which a day ends gives an object for each day.
#[test]
fn a_day_that_ends_in_a_batch_gives_two_objects() {
    let place = Place::new();
    let config = place.config("one", "batch-seconds = 1");
    // 1718582400 is the midnight between 2024-06-16 and 17.
    for (number, start) in [(0, 1_718_582_398), (1, 1_718_582_400)] {
        let moved =
            file(number, 1).replace("1718530010", &start.to_string()).replace("1718530070", &(start + 1).to_string());
        place.put(&format!("{number}"), &moved);
    }
    let service = place.start(&config);
    service.wait_until("both", || counts(&place.path("lake")).len() == 2);
    service.wait_for("2 rows in 2 new lake files");
    service.stop();
    let objects = lake_files(&place.path("lake"));
    let days = ["eventDay=20240616", "eventDay=20240617"];
    assert!(
        objects.len() == 2 && objects.iter().zip(days).all(|(path, day)| path.to_string_lossy().contains(day)),
        "{objects:?}"
    );
    run(converter().arg("validate").arg(place.path("lake"))).ended(0);
}

#[test]
fn a_configuration_that_is_wrong_is_refused() {
    let place = Place::new();
    let config = write(place.0.path(), "c.toml", b"[lake]\npath = \"/x\"\nregoin = \"y\"\n");
    let ran: Ran = run(converter().args(["run", "--config"]).arg(&config)).ended(64);
    ran.says("c.toml:3: regoin: unknown field");
    let state = place.config("one", "");
    let service = place.start(&state);
    service.wait_until("its lock", || place.path("one/lock").exists());
    thread::sleep(Duration::from_millis(300));
    run(converter().args(["run", "--config"]).arg(&state)).ended(1).says("another converter");
}
