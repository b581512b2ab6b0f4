//! What cannot be read, put aside or let go of: said once, in the status as long as it is so, and nothing is lost or sent again by it.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::{
    cloud::{ADMIN, cloud},
    fault_proxy::{Fault, Proxy},
    service::{Place, Service, Small, counts, each_once, file},
    support::{converter, run, tree, write},
};

fn status(config: &Path) -> (i32, String) {
    let ran = run(converter().args(["status", "--config"]).arg(config));
    (ran.code, ran.text())
}

/// Parked are a file of the spool and one of a folder; they cannot be, until they can.
#[test]
fn what_cannot_be_parked_waits_for_that() {
    let place = Place::new();
    let config = place.config("one", "batch-seconds = 0");
    let parked = place.path("one/parked");
    fs::create_dir_all(&parked).unwrap();
    let Some(parked) = Small::on(&parked) else { return };
    parked.remount("ro");
    let service = place.start(&config);
    place.put("junk", "no flow log\n");
    place.give("junk.log", "nor this\n");
    place.put("good", &file(0, 5));
    service.wait_until("both", || status(&config).1.contains(": cannot be parked: "));
    service.wait_until("both", || status(&config).1.contains(", and 1 others"));
    service.wait_until("the good one", || counts(&place.path("lake")).len() == 5);
    let told = status(&config).1;
    assert!(told.contains(" 2 in hand, 0 parked"), "{told}");
    parked.remount("rw");
    service.wait_until("both are parked", || service.said().matches("it is parked; mend it").count() == 2);
    service.wait_until("nothing waits", || !status(&config).1.contains("\nwaits "));
    let told = status(&config).1;
    assert!(told.matches("\nparked  ").count() == 2 && told.contains(" 0 in hand, 2 parked"), "{told}");
    let said = service.said();
    assert_eq!(said.matches("cannot be parked").count(), 1, "{said}");
    // The like of what is parked: refused, and removed before it is parked, too.
    parked.remount("ro");
    place.put("like", "no flow log\n");
    service.wait_until("it cannot be", || status(&config).1.contains("like: cannot be parked"));
    let claims = place.path("spool/.claims");
    let like = tree(&claims).into_keys().find(|name| name.ends_with("/like")).unwrap();
    fs::remove_file(claims.join(like)).unwrap();
    parked.remount("rw");
    service.wait_until("it is gone", || status(&config).1.contains("like: not delivered, and not at "));
    service.stop();
    assert_eq!(status(&config).1.matches("\nparked  ").count(), 2, "{}", status(&config).1);
    // Whoever retries, and is stopped, holds up nothing else.
    let service = place.start(&config);
    let lock = fs::File::open(place.path("one/parked/.lock")).unwrap();
    lock.lock().unwrap();
    place.put("bad", "nor that\n");
    service.wait_until("it cannot be parked", || status(&config).1.contains("bad: cannot be parked: somebody retries"));
    place.put("more", &file(5, 5));
    service.wait_until("the other one", || counts(&place.path("lake")).len() == 10);
    drop(lock);
    service.wait_until("it is parked", || status(&config).1.matches("\nparked  ").count() == 3);
    service.stop();
    // Of several folders one that cannot be read hides no other.
    fs::remove_dir_all(place.path("one/parked/cloud")).unwrap();
    fs::write(place.path("one/parked/cloud"), "").unwrap();
    let told = status(&config).1;
    assert!(told.contains("inputs.agent: ") && told.contains("parked/cloud: Not a directory"), "{told}");
    run(converter().args(["retry", "--config"]).arg(&config)).ended(1).says("2 inputs come again");
}

/// A spool, a folder and a followed file that are not there, or cannot be read; and files that are removed or cannot be.
#[test]
fn what_is_not_there_is_waited_for_in_the_status() {
    let place = Place::new();
    let config = place.config("one", "batch-seconds = 0");
    let text = fs::read_to_string(&config).unwrap();
    let log = place.path(".flow.log");
    fs::write(&config, format!("{text}[inputs.log]\nfile = \"{}\"\norigin = \"on-premises\"\n", log.display()))
        .unwrap();
    fs::remove_dir(place.path("spool")).unwrap();
    fs::remove_dir(place.path("folder")).unwrap();
    let service = place.start(&config);
    for name in ["spool", "folder"] {
        let why = format!("{}: is not there; it is waited for", place.path(name).display());
        service.wait_until(name, || status(&config).1.contains(&why));
        assert_eq!(service.said().matches(&why).count(), 1);
    }
    place.put("a", &file(0, 5));
    fs::create_dir(place.path("folder")).unwrap();
    place.give("b.log", &file(5, 5));
    // Its pieces have names of their own.
    fs::write(&log, file(10, 5)).unwrap();
    service.wait_until("all of it", || counts(&place.path("lake")).len() == 15);
    service.wait_until("all is well", || status(&config).0 == 0);
    // A file that cannot be opened, whoever asks.
    std::os::unix::fs::symlink("loop.log", place.path("folder/loop.log")).unwrap();
    service.wait_until("it is told", || status(&config).1.contains("loop.log: "));
    fs::remove_file(place.path("folder/loop.log")).unwrap();
    service.wait_until("all is well", || status(&config).0 == 0);
    let said = service.stop();
    assert_eq!(said.matches("loop.log: ").count(), 1, "{said}");
    each_once(&place.path("lake"), 15);
}

/// Another folder in the place of the lake's or the ledger's, as a mount point is: nothing is delivered to it.
#[test]
fn a_lake_or_a_ledger_that_goes_away_is_waited_for() {
    thread::scope(|scope| {
        for what in ["lake", "ledger"] {
            scope.spawn(move || goes_away(what));
        }
    });
}

fn goes_away(what: &str) {
    let place = Place::new();
    let (folder, away, lake) = (place.path(what), place.path("away"), place.path("lake"));
    let ledger = if what == "ledger" { format!("ledger = \"{}\"", folder.display()) } else { String::new() };
    let config = place.config("one", &format!("batch-seconds = 0\n{ledger}"));
    let service = place.start(&config);
    place.put("a", &file(0, 5));
    service.wait_until("A", || counts(&lake).len() == 5);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    fs::rename(&folder, &away).unwrap();
    for (name, first, is_other) in [("b", 5, false), ("c", 10, true)] {
        if is_other {
            // Somebody began there before.
            fs::create_dir_all(folder.join(".flowlake")).unwrap();
            fs::write(folder.join(".flowlake/id"), "another").unwrap();
        }
        place.put(name, &file(first, 5));
        let why = format!("{what} is not the folder that it was when this began: mount its disk again, or");
        service.wait_until("it is in the status", || status(&config).1.contains(&why));
    }
    assert_eq!((tree(&folder).len(), place.in_spool()), (1, 2));
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    service.wait_until("all of them", || counts(&lake).len() == 15);
    service.wait_until("all is well", || status(&config).0 == 0);
    service.stop();
    each_once(&lake, 15);
}

/// What was delivered, or forwarded, and cannot be removed: it waits, and is neither delivered nor sent again.
#[test]
fn what_cannot_be_let_go_of_is_not_sent_again() {
    let Some(cloud) = cloud() else { return };
    let place = Place::new();
    let queue = place.path("state/forward");
    fs::create_dir_all(&queue).unwrap();
    let Some(queue) = Small::on(&queue) else { return };
    cloud.ask("bucket", json!({ "name": "let-go" }));
    let is_down = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::new(&cloud.url, {
        let is_down = is_down.clone();
        move |method, _| {
            (method == "PUT" && is_down.load(Ordering::Relaxed)).then_some(Fault::Answer(500, "InternalError"))
        }
    });
    let root = place.path("");
    let root = root.display();
    let text = format!(
        "state = \"{root}state\"\n[lake]\npath = \"{root}lake\"\nbatch-seconds = 2\n[aws]\npath-style = true\nregion = \"us-east-1\"\n\
         [inputs.agent]\nspool = \"{root}spool\"\n[forward.files]\ns3 = \"s3://let-go/raw\"\n"
    );
    let config = write(&place.path(""), "c.toml", text.as_bytes());
    let said = config.with_extension("said");
    let mut command = cloud.converter(ADMIN);
    command.env("AWS_ENDPOINT_URL", &proxy.url).args(["run", "--config"]).arg(&config);
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    let service = Service::of(command.spawn().unwrap(), said);
    place.put("a", &file(0, 5));
    service
        .wait_until("it is queued", || tree(&place.path("state/forward")).keys().any(|name| name.ends_with("input")));
    // The queue is told that the lake has it: not now.
    queue.remount("ro");
    service.wait_until("it cannot be sent", || service.said().contains("next attempt in"));
    service.wait_until("it is delivered", || status(&config).1.contains("a: delivered, but cannot be let go of"));
    assert!(status(&config).1.contains("1 delivered, 1 in hand"), "{}", status(&config).1);
    // Its name comes again meanwhile; nothing of that is taken for it.
    place.put("a", &file(5, 5));
    thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(place.in_spool(), 1);
    queue.remount("rw");
    service.wait_until("it is in hand no more", || status(&config).1.contains("2 delivered, 0 in hand"));
    queue.remount("ro");
    is_down.store(false, Ordering::Relaxed);
    service.wait_until("it is forwarded", || status(&config).1.contains("a: forwarded, but cannot be let go of"));
    // Several attempts later it is still sent once.
    service.wait_until("attempts", || service.said().matches("cannot be let go of").count() >= 3);
    queue.remount("rw");
    service.wait_until("it is let go of", || tree(&place.path("state/forward")).is_empty());
    service.wait_until("it is counted", || status(&config).1.contains(" 10 records forwarded, 0 inputs"));
    service.wait_until("all is well", || status(&config).0 == 0);
    assert!(!status(&config).1.contains("twice"), "{}", status(&config).1);
    service.stop();
}
