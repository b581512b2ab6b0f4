//! Replay: determinism, object names, windows, several files, options.

use flowlake_tests::{
    capture::{Pcap, Seen},
    frame::{ACK, Link, Packet, Transport, ip, v4},
    traffic,
};

use crate::support::{Summary, agent, column, repository, run, tree, write};

fn packet(number: u32) -> Vec<u8> {
    let packet = Packet { source: v4(number), destination: v4(0), transport: Transport::Tcp(1, 2, ACK), payload: 10 };
    Link::Ethernet.frame(&ip(&packet))
}

fn capture(times: &[(u64, u32)]) -> Vec<u8> {
    let seen: Vec<Seen> = times.iter().map(|(time, number)| Seen::whole(*time, packet(*number))).collect();
    Pcap::default().write(1, &seen)
}

#[test]
fn two_replays_of_one_file_are_byte_identical() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    let totals = traffic::write(&mut large, 50_000, 3000).unwrap();
    let large = write(folder.path(), "large.pcap", &large);
    let demo = repository().join("tests/fixtures/demo/onprem.pcap.gz");
    for file in [&large, &demo] {
        for format in ["default", "all"] {
            let print = || run(agent().args(["replay", "--log-format", format]).arg(file)).ended(0);
            let (one, two) = (print(), print());
            assert!(one.stdout.len() > 1000 && one.stdout == two.stdout);
            assert_eq!(one.stderr, two.stderr);
            let [one, two] = ["one", "two"].map(|name| {
                let output = folder.path().join(format!("{name} {format}"));
                run(agent().args(["replay", "--log-format", format, "--output"]).arg(&output).arg(file)).ended(0);
                tree(&output)
            });
            assert!(!one.is_empty());
            assert_eq!(one, two);
        }
    }
    let printed = run(agent().arg("replay").arg(&large)).text();
    assert_eq!(column(&printed, "packets").iter().sum::<u64>(), totals.packets);
    assert_eq!(column(&printed, "bytes").iter().sum::<u64>(), totals.bytes);
}

/// AWS VPC User Guide, "Flow log files": the stamp is that of the five minutes that the end times lie in.
#[test]
fn files_are_named_as_aws_names_them() {
    let folder = tempfile::tempdir().unwrap();
    // 2018-06-20T16:20:00Z and just before it.
    let file = write(
        folder.path(),
        "c.pcap",
        &capture(&[(1_529_511_599, 1), (1_529_511_600, 2), (1_529_511_899, 3), (1_529_511_900, 4)]),
    );
    for interval in ["60", "600"] {
        let output = folder.path().join(interval);
        let options = ["--account-id", "123456789012", "--region", "eu-west-1", "--interval", interval, "--output"];
        run(agent().arg("replay").args(options).arg(&output).arg(&file)).ended(0);
        let names: Vec<String> = tree(&output).into_keys().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        for (name, stamp) in names.iter().zip(["1615", "1620", "1625"]) {
            let start = format!(
                "AWSLogs/123456789012/vpcflowlogs/eu-west-1/2018/06/20/123456789012_vpcflowlogs_eu-west-1_fl-00000000000000000_20180620T{stamp}Z_"
            );
            let hash = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".log.gz"));
            let hash = hash.unwrap_or_else(|| panic!("{name} is not {start}…"));
            assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        }
    }
}

#[test]
fn a_late_window_with_the_same_records_gets_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    // The first packet's window is long closed when the last packet asks for it again.
    let times = [(0, 1), (300, 2), (600, 2), (900, 2), (1200, 2), (0, 1)];
    let file = write(folder.path(), "c.pcap", &capture(&times));
    let output = folder.path().join("out");
    for _ in 0..2 {
        run(agent().args(["replay", "--output"]).arg(&output).arg(&file)).ended(0);
        let files = tree(&output);
        assert_eq!(files.len(), 6, "{:?}", files.keys());
        assert_eq!(files.values().collect::<std::collections::BTreeSet<_>>().len(), 6, "two files alike");
    }
}

#[test]
fn several_files_are_one_capture_in_order_of_their_first_packets() {
    let folder = tempfile::tempdir().unwrap();
    let times: Vec<(u64, u32)> = (0..400).map(|n| (1_700_000_000 + u64::from(n), n % 7)).collect();
    let whole = write(folder.path(), "whole.pcap", &capture(&times));
    // Cut inside a window, and named in the wrong order.
    let first = write(folder.path(), "z.pcap", &capture(&times[..100]));
    let second = write(folder.path(), "a.pcap", &capture(&times[100..]));
    let expected = run(agent().arg("replay").arg(whole)).ended(0).text();
    assert_eq!(run(agent().arg("replay").args([&second, &first])).ended(0).text(), expected);
    assert_eq!(run(agent().arg("replay").args([&first, &second])).ended(0).text(), expected);
    // Pipes are read once, in the order given.
    let program = agent().get_program().to_owned();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "exec \"$1\" replay <(cat \"$2\") <(cat \"$3\")", "bash"]).arg(program).args([&first, &second]);
    assert_eq!(run(&mut shell).ended(0).text(), expected);
}

#[test]
fn start_and_end_always_lie_in_the_records_window() {
    let folder = tempfile::tempdir().unwrap();
    let times: Vec<(u64, u32)> = (0..3000).map(|n| ((n * 7919) % 5000, u32::try_from(n % 11).unwrap())).collect();
    let file = write(folder.path(), "c.pcap", &capture(&times));
    for interval in [60, 600] {
        let ran = run(agent().args(["replay", "--interval", &interval.to_string()]).arg(&file)).ended(0);
        let text = ran.text();
        for (start, end) in column(&text, "start").iter().zip(column(&text, "end")) {
            assert!(*start <= end && start / interval == end / interval);
        }
        assert_eq!(column(&text, "packets").iter().sum::<u64>(), 3000);
    }
}

#[test]
fn wrong_usage_ends_with_64_and_names_the_option() {
    for (options, said) in [
        (vec!["--interval", "61"], "--interval 61"),
        (vec!["--log-format", "${srcadr}"], "--log-format: no flow log field is named 'srcadr'"),
        (vec!["--account-id", "12"], "--account-id '12'"),
        (vec!["--region", "a b"], "--region 'a b'"),
        (vec!["--interface-id", "-"], "--interface-id"),
        (vec!["--local-networks", "10.0.0.0/33"], "--local-networks '10.0.0.0/33'"),
        (vec!["--no-such-option"], "--no-such-option"),
        (vec!["-"], "standard input ('-') can be read once"),
    ] {
        run(agent().args(["replay", "-"]).args(options)).ended(64).says(said);
    }
    run(&mut agent()).ended(64).says("Usage");
    run(agent().arg("--help")).ended(0);
}

#[test]
fn fields_lists_every_field() {
    let text = run(agent().arg("fields")).ended(0).text();
    // A heading, 54 of VPC flow logs, 18 that only transit gateways have.
    assert_eq!(text.lines().count(), 1 + 54 + 18);
    for field in ["traffic-path", "next-hop-interface-type", "packets-lost-ttl-expired"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{field} "))), "{field}");
    }
}

/// The capture of the demo was made with real TCP/IP stacks; its summary is known.
#[test]
fn the_demo_capture_is_recorded_whole() {
    let ran = run(agent().arg("replay").arg(repository().join("tests/fixtures/demo/onprem.pcap.gz"))).ended(0);
    let summary = Summary::of(&ran.stderr);
    assert!(summary.packets > 1000 && summary.adds_up());
    // ARP alone is not IP.
    assert_eq!(summary.not_recorded.keys().collect::<Vec<_>>(), ["not IP"]);
}

#[test]
fn nodata_fills_whole_quiet_windows_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // A quiet window, then a gap of more than a day.
    let start: u64 = 1_700_000_040;
    let times = [0, 120, 3 * 86_400].map(|seconds| (start + seconds, 1));
    let path = write(folder.path(), "quiet.pcap", &capture(&times));
    let records = |more: &[&str]| {
        let format = "${start} ${end} ${packets} ${log-status}";
        let ran = run(agent().arg("replay").arg(&path).args(["--log-format", format]).args(more)).ended(0);
        ran.text().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let ok = |seconds: u64| format!("{0} {0} 1 OK", start + seconds);
    assert_eq!(records(&[]), [ok(0), ok(120), ok(3 * 86_400)]);
    let quiet = format!("{} {} - NODATA", start + 60, start + 119);
    assert_eq!(records(&["--nodata"]), [ok(0), quiet, ok(120), ok(3 * 86_400)]);
    run(agent().arg("replay").arg(&path).args(["--nodata", "--output"]).arg(folder.path().join("logs"))).ended(0);
    let files = tree(&folder.path().join("logs"));
    // 22:10, 22:15, and three days later.
    assert_eq!(files.len(), 3, "{:?}", files.keys());
}
