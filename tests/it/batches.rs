//! Batches that somebody began and did not finish.

use std::{fs, path::Path, thread};

use flowlake_converter::deliver::{Directory, Ledger, Plan, State, Store};

use crate::{
    service::{Place, counts, each_once, file},
    support::{converter, lake_files, run, tree},
};

fn hash(content: &str) -> String {
    flowlake_common::hash::sha256(content.as_bytes())
}

fn ledger(place: &Place) -> Ledger {
    Ledger::new(Store::Directory(Directory::new(place.path("lake/.flowlake/ledger"))), "flowlake_agent")
}

/// As if whoever published the batch had been killed before the first object.
fn undo(place: &Place, batch: &str, plan: &Plan) {
    fs::remove_file(place.path("lake/.flowlake/ledger/flowlake_agent/done").join(batch)).unwrap();
    for (key, _) in &plan.objects {
        fs::remove_file(place.path("lake/ext/flowlake_agent").join(key)).unwrap();
    }
}

/// A batch of A and B was begun, and then A is gone: B is delivered with C. Come back, A is delivered too. And a batch of which an
/// object is there, with other bytes than this build would write.
#[test]
fn batches_that_are_formed_anew_double_nothing() {
    let place = Place::new();
    let [a, b, c] = [file(0, 5), file(5, 5), file(10, 5)];
    let ledger = || ledger(&place);
    let begun = ledger().begin(&[hash(&a), hash(&b)]).unwrap();
    assert_eq!(ledger().members(&begun).unwrap().len(), 2);
    place.put("b", &b);
    place.put("c", &c);
    let config = place.config("one", "batch-seconds = 1");
    let service = place.start(&config);
    service.wait_until("B and C", || counts(&place.path("lake")).len() == 10);
    place.put("a", &a);
    service.wait_until("A", || counts(&place.path("lake")).len() == 15);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    each_once(&place.path("lake"), 15);

    // Published, but not written down as done; and what is there was written by another build.
    let d = file(15, 5);
    place.put("d", &d);
    let service = place.start(&config);
    service.wait_until("D", || counts(&place.path("lake")).len() == 20);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    let batch = ledger().batch_of(&hash(&d)).unwrap().unwrap();
    assert!(matches!(ledger().state(&batch).unwrap(), State::Done(_)));
    fs::remove_file(place.path("lake/.flowlake/ledger/flowlake_agent/done").join(&batch)).unwrap();
    let object =
        lake_files(&place.path("lake")).into_iter().find(|path| path.to_string_lossy().contains(&batch)).unwrap();
    let other = written_again(&object);
    place.put("d", &d);
    let service = place.start(&config);
    service.wait_for("5 rows were there");
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    each_once(&place.path("lake"), 20);
    assert_eq!(fs::read(&object).unwrap(), other);
}

/// A claimed file that somebody removes is lost, which is said; what comes later is delivered.
#[test]
fn a_claimed_file_that_is_removed_is_told() {
    let place = Place::new();
    place.put("a", &file(0, 5));
    let service = place.start(&place.config("one", "batch-seconds = 3"));
    let claims = place.path("spool/.claims");
    service.wait_until("it is claimed", || tree(&claims).iter().any(|(name, _)| name.ends_with("/a")));
    fs::remove_dir_all(&claims).unwrap();
    service.wait_for("a: not delivered, and not at ");
    let status = || run(converter().args(["status", "--config"]).arg(place.path("one.toml"))).text();
    service.wait_until("it is in the status", || status().contains("a: not delivered, and not at "));
    place.put("b", &file(5, 5));
    service.wait_until("B", || counts(&place.path("lake")).len() == 5);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    assert!(counts(&place.path("lake")).into_iter().eq((5..10).map(|number| (number, 1))));
}

/// A spool that is away when its files are to be delivered, as a disk that is mounted again; and another one in its place meanwhile.
#[test]
fn a_spool_that_goes_away_and_comes_back_loses_nothing() {
    thread::scope(|scope| {
        [false, true].into_iter().for_each(|is_replaced| drop(scope.spawn(move || goes_away(is_replaced))));
    });
}

fn goes_away(is_replaced: bool) {
    let place = Place::new();
    let (spool, away) = (place.path("spool"), place.path("away"));
    let config = place.config("one", "batch-seconds = 3");
    let status = || run(converter().args(["status", "--config"]).arg(&config)).text();
    let service = place.start(&config);
    place.put("a", &file(0, 5));
    service.wait_until("it is claimed", || tree(&spool).keys().any(|name| name.ends_with("/a")));
    fs::rename(&spool, &away).unwrap();
    if is_replaced {
        place.put("b", &file(5, 5));
        service.wait_until("the other is delivered", || counts(&place.path("lake")).len() == 5);
    } else {
        service.wait_until("it is in the status", || status().contains("spool: is not there; it is waited for"));
    }
    service.wait_for("a: not delivered, and not at ");
    if is_replaced {
        fs::remove_dir_all(&spool).unwrap();
    }
    fs::rename(&away, &spool).unwrap();
    if !is_replaced {
        // Its name may come again at once.
        place.put("a", &file(5, 5));
    }
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.wait_until("it is in the status no more", || !status().contains("\nwaits "));
    service.stop();
    each_once(&place.path("lake"), 10);
}

/// A planned batch of which an input is gone: said, also by `status`, as long as that is so; it is finished when the input is given back, and
/// given up as docs/delivery.md says.
#[test]
fn a_planned_batch_without_an_input_waits_and_can_be_given_up() {
    let place = Place::new();
    let [a, b] = [file(0, 5), file(5, 5)];
    let config = place.config("one", "batch-seconds = 3");
    let status = || run(converter().args(["status", "--config"]).arg(&config)).text();
    place.put("a", &a);
    place.give("b.log", &b);
    let service = place.start(&config);
    service.wait_until("A and B", || counts(&place.path("lake")).len() == 10);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.stop();
    let batch = ledger(&place).batch_of(&hash(&a)).unwrap().unwrap();
    let State::Done(plan) = ledger(&place).state(&batch).unwrap() else { panic!("it is done") };
    assert_eq!(plan.inputs.len(), 2);

    let begun_and_left = || {
        undo(&place, &batch, &plan);
        fs::remove_file(place.path("folder/b.log")).unwrap();
        place.put("a", &a);
        let service = place.start(&config);
        let why = format!("batch {batch}: begun, and cannot be finished: 1 of its inputs are not here");
        service.wait_until("it is said", || service.said().lines().rev().take(5).any(|line| line.contains(&why)));
        service.wait_until("it is in the status", || status().contains(&why));
        assert_eq!(place.in_spool(), 1);
        service
    };
    let service = begun_and_left();
    place.give("b.log", &b);
    service.wait_until("A and B", || counts(&place.path("lake")).len() == 10);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    service.wait_for("works again");
    service.wait_until("it is in the status no more", || !status().contains("cannot be finished"));
    service.stop();

    let service = begun_and_left();
    // What fails meanwhile is in the status only as long as it fails.
    let planned = ledger(&place).place_of_plan(&batch);
    fs::rename(&planned, place.path("plan")).unwrap();
    fs::create_dir(&planned).unwrap();
    service.wait_until("it cannot be read", || status().contains("cannot read"));
    fs::remove_dir(&planned).unwrap();
    fs::rename(place.path("plan"), &planned).unwrap();
    service.wait_until("as before", || !status().contains("cannot read") && status().contains("cannot be finished"));
    service.stop();
    fs::write(ledger(&place).place_of_plan(&batch), "").unwrap();
    let service = place.start(&config);
    service.wait_until("A", || counts(&place.path("lake")).len() == 5);
    service.wait_until("an empty spool", || place.in_spool() == 0);
    // Another B is an input like others.
    place.give("c.log", &file(5, 7));
    service.wait_until("A, and another B", || counts(&place.path("lake")).len() == 12);
    service.stop();
    each_once(&place.path("lake"), 12);
    run(converter().arg("validate").arg(place.path("lake"))).ended(0);
}

/// Writes a lake file again with other bytes: rows and what it says of itself are the same.
fn written_again(path: &Path) -> Vec<u8> {
    use parquet::{
        arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        file::properties::WriterProperties,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned();
    let schema = builder.schema().clone();
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    for batch in builder.build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    let bytes = writer.into_inner().unwrap();
    assert_ne!(bytes, fs::read(path).unwrap());
    fs::write(path, &bytes).unwrap();
    bytes
}
