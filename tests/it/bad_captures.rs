//! What is wrong with a capture, or with where the output goes, is said with file, place and cause; what was good before the
//! damage is delivered.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use flowlake_tests::{
    capture::{Interface, Pcap, Pcapng, Seen},
    frame::{ACK, Link, Packet, Transport, ip, v4},
    random::Random,
    traffic,
};

use crate::support::{Summary, agent, column, converter, gzip, lake_files, loudly, run, tree, write};

fn seen(count: u64) -> Vec<Seen> {
    let packet = Packet { source: v4(1), destination: v4(2), transport: Transport::Tcp(1, 2, ACK), payload: 100 };
    (0..count).map(|number| Seen::whole(1_700_000_000 + number, Link::Ethernet.frame(&ip(&packet)))).collect()
}

/// Cut at every byte, a capture gives the packets before the cut, and says where it was cut unless that is between two.
#[test]
fn a_capture_cut_anywhere_gives_the_packets_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(true);
    pcapng.interface(Interface { link_type: 1, name: "eth0", resolution: None, offset: 0 });
    seen(3).iter().for_each(|seen| pcapng.packet(seen, Some(1)));
    for (whole, kind) in [(Pcap::default().write(1, &seen(3)), "pcap"), (pcapng.finish(), "pcapng")] {
        let mut last = 0;
        for length in (0..whole.len()).rev().step_by(3) {
            let file = write(folder.path(), "cut", &whole[..length]);
            let ran = run(agent().arg("replay").arg(&file));
            let recorded = Summary::of(&ran.stderr).recorded;
            assert!(recorded <= 3 && (last == 0 || recorded <= last), "{kind} cut at {length}: {}", ran.stderr);
            assert_eq!(column(&ran.text(), "packets").iter().sum::<u64>(), recorded);
            if ran.code != 0 {
                assert_eq!(ran.code, 1);
                assert!(ran.stderr.contains("cut: at offset "), "{kind} cut at {length}: {}", ran.stderr);
            }
            last = recorded;
        }
    }
}

#[test]
fn damage_is_named_by_file_offset_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let good = Pcap::default().write(1, &seen(2));
    let mut lying = Pcap::default().write(1, &seen(3));
    // The third record says it has 4 GiB.
    let at = 24 + 2 * (16 + seen(1)[0].frame.len());
    lying[at + 8..at + 12].fill(0xff);
    let packed = gzip(&Pcap::default().write(1, &seen(20_000)));
    let mut zeros = good.clone();
    zeros.extend([0xee; 7]);
    for (name, content, recorded, said) in [
        ("lying", lying, 2, format!("lying: at offset {at}: a record that claims 4294967295 captured bytes")),
        ("tail", zeros, 2, format!("tail: at offset {}: cut off inside a record header", good.len())),
        ("empty", Vec::new(), 0, "empty: at offset 0: empty".to_owned()),
        (
            "garbage",
            b"garbage, no capture at all".to_vec(),
            0,
            "garbage: at offset 0: not a pcap or pcapng capture".to_owned(),
        ),
        ("gz", packed[..packed.len() / 2].to_vec(), u64::MAX, "gz: at offset ".to_owned()),
    ] {
        let file = write(folder.path(), name, &content);
        let ran = run(agent().arg("replay").arg(file)).ended(1).says(&said);
        let summary = Summary::of(&ran.stderr);
        assert!(summary.adds_up());
        if recorded == u64::MAX {
            assert!(summary.recorded > 1000 && summary.recorded < 20_000, "{}", ran.stderr);
        } else {
            assert_eq!(summary.recorded, recorded, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_folder_a_missing_file_and_a_good_one_are_each_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", &Pcap::default().write(1, &seen(2)));
    let missing = folder.path().join("missing");
    let ran = run(agent().arg("replay").args([folder.path(), &missing, &good])).ended(1);
    let ran = ran.says("a folder; name the capture files in it").says("missing: No such file");
    assert_eq!(Summary::of(&ran.stderr).recorded, 2);
}

#[test]
fn an_unknown_link_type_is_said_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "odd", &Pcap::default().write(147, &seen(2)));
    let ran =
        run(agent().arg("replay").arg(file)).ended(1).says("odd: 2 packets of link type 147, which is not decoded");
    assert_eq!(Summary::of(&ran.stderr).not_recorded["unknown link type"], 2);
}

#[test]
fn a_packet_of_an_interface_that_was_never_described_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(false);
    pcapng.interface(Interface { link_type: 1, name: "", resolution: None, offset: 0 });
    let mut stray = seen(2);
    stray[1].interface = 9;
    stray.iter().for_each(|seen| pcapng.packet(seen, None));
    let file = write(folder.path(), "stray", &pcapng.finish());
    let ran = run(agent().arg("replay").arg(file)).ended(1).says("1 packets of an interface");
    let summary = Summary::of(&ran.stderr);
    assert!(summary.adds_up() && summary.recorded == 1);
}

/// Bytes of good captures, changed at random: any answer will do, but an answer, and one that adds up.
#[test]
fn captures_with_changed_bytes_never_end_a_replay_badly() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(false);
    pcapng.interface(Interface { link_type: 1, name: "eth0", resolution: Some(9), offset: 5 });
    seen(20).iter().for_each(|seen| pcapng.packet(seen, Some(2)));
    let originals = [pcapng.finish(), Pcap::default().write(276, &seen(20)), Pcap::default().write(1, &seen(20))];
    let mut random = Random::new(3);
    for round in 0..150 {
        let mut bytes = originals[round % 3].clone();
        for _ in 0..1 + random.below(8) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        let file = write(folder.path(), "changed", &bytes);
        let ran = run(agent().arg("replay").arg(&file));
        assert!(ran.code == 0 || ran.code == 1, "{}", ran.stderr);
        assert!(Summary::of(&ran.stderr).adds_up(), "{}", ran.stderr);
    }
}

#[test]
fn standard_output_that_is_full_is_an_error_and_one_that_closes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    traffic::write(&mut large, 20_000, 5000).unwrap();
    let file = write(folder.path(), "c.pcap", &large);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = agent().arg("replay").arg(&file).stdout(full).stderr(Stdio::piped()).output().unwrap();
    crate::support::Ran::from(ran).ended(1).says("No space left on device");

    let mut child = agent().arg("replay").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    crate::support::Ran::from(child.wait_with_output().unwrap()).ended(0);
}

#[test]
fn standard_error_that_is_full_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write(folder.path(), "c", &Pcap::default().write(1, &seen(2)));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = agent().arg("replay").arg(capture).stderr(full).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(0), false));
}

/// Runs a program with a file system of so many kilobytes mounted at a folder, in a mount namespace of its own; what is in
/// the file system at the end is copied to `kept`. `None` where that is not allowed.
fn on_a_small_disk(kilobytes: u32, disk: &Path, kept: &Path, program: &Command) -> Option<crate::support::Ran> {
    let allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        loudly("SKIPPED: a full disk needs the right to mount one; run as root");
        return None;
    }
    let script = "mount -t tmpfs -o size=$1k tmpfs \"$2\" && disk=$2 kept=$3 && shift 3 && { \"$@\"; code=$?; cp -r \"$disk\" \"$kept\"; exit $code; }";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script, "sh", &kilobytes.to_string()]).arg(disk).arg(kept);
    Some(run(shell.arg(program.get_program()).args(program.get_args())))
}

#[test]
fn a_full_disk_keeps_what_was_finished_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    traffic::write(&mut large, 30_000, 20_000).unwrap();
    let capture = write(folder.path(), "c.pcap", &large);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut replay = agent();
    replay.args(["replay", "--output"]).arg(&disk).arg(&capture);
    let Some(ran) = on_a_small_disk(256, &disk, &folder.path().join("kept"), &replay) else {
        return;
    };
    ran.ended(1).says("No space left on device").says("disk");
    let kept = tree(&folder.path().join("kept"));
    // Five-minute files that were finished are whole, and nothing half-written is left.
    assert!(kept.keys().all(|name| name.ends_with(".log.gz")), "{:?}", kept.keys());

    let logs = folder.path().join("logs");
    run(agent().args(["replay", "--output"]).arg(&logs).arg(&capture)).ended(0);
    let mut convert = converter();
    convert.arg("convert").arg(&logs).arg("--lake").arg(&disk).arg("--rejects").arg(folder.path().join("rejects"));
    let ran = on_a_small_disk(256, &disk, &folder.path().join("kept lake"), &convert).unwrap();
    ran.ended(1).says("No space left on device").says("convert it again");
    let lake = folder.path().join("kept lake");
    for file in lake_files(&lake) {
        run(converter().arg("validate").arg(file)).ended(0);
    }
}
