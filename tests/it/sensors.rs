//! Logs of Zeek and Suricata: read whole, split into directions, named as the Community ID has it.

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{agent, converter, lake_files, loudly, python, repository, rows, run, shared, tree, write};

/// Where Zeek's own tests have no time, because it differs from run to run.
const NO_TIME: &str = "XXXXXXXXXX.XXXXXX";

/// Every public log is read, its packets and bytes of each direction are the log's, and what gives no row stands in `sensors.tsv`.
#[test]
fn public_logs_of_zeek_and_suricata_are_read() {
    let (Some(data), Some(mut python)) = (shared("data"), python()) else {
        return;
    };
    let explained = fs::read_to_string(repository().join("tests/it/sensors.tsv")).unwrap();
    let explained: BTreeMap<&str, Vec<&str>> = explained
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').map(|(path, rest)| (path, rest.split('\t').collect())).expect("a path"))
        .collect();
    let scratch = tempfile::tempdir().unwrap();
    python.arg(repository().join("tests/it/sensors/sums.py"));
    let (mut read, mut refused) = (0, 0);
    for kind in ["zeek", "suricata"] {
        for (name, mut content) in tree(&data.join(kind)) {
            let name = format!("{kind}/{name}");
            if name.contains("SEKOIA") {
                // Tests of another program: the log is what they feed it.
                let test: serde_json::Value = serde_json::from_slice(&content).unwrap();
                content = test["input"]["message"].as_str().expect("a message").into();
            }
            if let Ok(text) = std::str::from_utf8(&content)
                && text.contains(NO_TIME)
            {
                content = text.replace(NO_TIME, "1700000000.250000").into();
            }
            let file = write(scratch.path(), &format!("in/{name}"), &content);
            let lake = scratch.path().join("lakes").join(&name);
            let mut convert = converter();
            convert
                .arg("convert")
                .arg(&file)
                .arg("--lake")
                .arg(&lake)
                .arg("--rejects")
                .arg(lake.with_extension("rejects"));
            let ran = run(convert.args(["--account-id", "123456789012", "--region", "us-east-1"]));
            let rejects = ran.stderr.lines().find_map(|line| line.trim().strip_suffix(" rejected lines"));
            let rejects = rejects.expect("a summary");
            match explained.get(name.as_str()).map(Vec::as_slice) {
                Some(["-", said, _why]) => {
                    assert!(ran.code == 1 && ran.stderr.contains(said), "{name}: {}", ran.stderr);
                    refused += 1;
                    continue;
                }
                Some([count, said, _why]) => {
                    assert!(ran.code == 1 && ran.stderr.contains(said) && rejects == *count, "{name}: {}", ran.stderr);
                }
                _ => assert_eq!((ran.code, rejects), (0, "0"), "{name}: {}", ran.stderr),
            }
            assert!(
                !lake_files(&lake).iter().any(|path| !path.to_string_lossy().contains(&format!("flowlake_{kind}")))
            );
            python.arg(file).arg(lake);
            read += 1;
        }
    }
    assert_eq!(refused, explained.values().filter(|columns| columns[0] == "-").count());
    let said = run(&mut python).ended(0).text();
    assert_eq!(said.lines().count(), read);
    loudly(&format!("logs of sensors: {read} read, packets and bytes as they say; {refused} refused"));
    assert!(read >= 28);
}

/// A connection of one file: its rows, in the order of their text.
fn converted(folder: &Path, name: &str, content: &str, options: &[&str]) -> Vec<String> {
    let input = write(folder, name, content.as_bytes());
    let lake = folder.join(format!("{name}.lake"));
    let mut convert = converter();
    convert.arg("convert").arg(input).arg("--lake").arg(&lake).args(["--account-id", "123456789012", "--region", "r"]);
    run(convert.args(options)).ended(0);
    run(converter().arg("validate").arg(&lake)).ended(0);
    rows(&lake)
}

/// The two rows of a connection, and what is in them: TSV and JSON of Zeek, an event of Suricata.
#[test]
fn a_conversation_is_two_rows() {
    let folder = tempfile::tempdir().unwrap();
    let names = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig local_resp history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents region";
    let values = "1700000000.250000 C1 10.0.0.1 1234 192.0.2.9 443 tcp ssl 1.500000 100 2000 SF T F ShADadFf 6 400 5 2300 (empty) a#b";
    let tsv = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\t{}\n{}\n#close\n",
        names.replace(' ', "\t"),
        values.replace(' ', "\t").replace("a#b", "a b")
    );
    let json = r#"{"_path":"conn","ts":"2023-11-14T22:13:20.250000Z","uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":1234,"id.resp_h":"192.0.2.9","id.resp_p":443,"proto":"tcp","service":"ssl","duration":1.5,"orig_bytes":100,"resp_bytes":2000,"conn_state":"SF","local_orig":true,"local_resp":false,"history":"ShADadFf","orig_pkts":6,"orig_ip_bytes":400,"resp_pkts":5,"resp_ip_bytes":2300,"tunnel_parents":[],"region":"a b"}"#;
    for (name, content, truth) in [("tsv", tsv.as_str(), "T"), ("json", json, "true")] {
        let found = converted(folder.path(), name, content, &[]);
        let [out, back] = &found[..] else {
            panic!("{name}: {found:?}");
        };
        let (back, out) = if out.contains("port: 443, svc_name: null, ip: \"192.0.2.9\", intermediate_ips: null, interface_uid: null, vpc_uid: null, instance_uid: null, subnet_uid: null}, dst_endpoint: {port: 1234") { (out, back) } else { (back, out) };
        for part in [
            "ext/flowlake_zeek/region=r/accountId=external_123456789012/eventDay=20231114",
            "product: {version: null, name: \"Zeek\", feature: {name: \"conn\"}, vendor_name: \"Zeek\"}",
            "provider: \"on-premises\"",
            "time: 1700000000250,",
            "end_time_dt: 2023-11-14 22:13:21.750",
            "status_code: \"SF\"",
            "activity_name: \"Traffic\", activity_id: 6, action: \"Unknown\", action_id: 0",
            "\"uid\" -> \"C1\"",
            "\"service\" -> \"ssl\"",
            "\"conn_state\" -> \"SF\"",
            "\"history\" -> \"ShADadFf\"",
            "\"orig_bytes\" -> \"100\"",
            "\"sensor_region\" -> \"a b\"",
            &format!("\"local_orig\" -> \"{truth}\""),
        ] {
            assert!(out.contains(part) && back.contains(part), "{name}: '{part}' is not in\n{out}\n{back}");
        }
        for (row, parts) in [
            (
                out,
                [
                    "protocol_num: 6, tcp_flags: 3,",
                    "direction_id: 2, direction: \"Outbound\"",
                    "packets: 6, bytes: 400",
                    "\"zeek_side\" -> \"originator\"",
                ],
            ),
            (
                back,
                [
                    "protocol_num: 6, tcp_flags: 19,",
                    "direction_id: 1, direction: \"Inbound\"",
                    "packets: 5, bytes: 2300",
                    "\"zeek_side\" -> \"responder\"",
                ],
            ),
        ] {
            parts.iter().for_each(|part| assert!(row.contains(part), "{name}: '{part}' is not in {row}"));
        }
    }
    // Both ends on this side; nothing came back; counts that are not there; ICMP's type and code.
    let ping =
        json.replace("\"local_resp\":false", "\"local_resp\":true").replace("\"proto\":\"tcp\"", "\"proto\":\"icmp\"");
    let ping = ping
        .replace("1234", "8")
        .replace("443", "0")
        .replace("\"resp_pkts\":5", "\"resp_pkts\":0")
        .replace("2300", "0");
    let [ping] = &converted(folder.path(), "ping", &ping, &[])[..] else {
        panic!("one direction had packets");
    };
    for part in [
        "src_endpoint: {port: 0",
        "direction_id: 3, direction: \"Lateral\"",
        "protocol_num: 1",
        // In the code's place Zeek has the answer's type.
        "\"icmp_type\" -> \"8\", \"path\"",
    ] {
        assert!(ping.contains(part), "'{part}' is not in {ping}");
    }
    let refused = json.replace("\"proto\":\"tcp\"", "\"proto\":\"icmp\"").replace("1234", "3").replace("443", "13");
    let rows = converted(folder.path(), "refused", &refused, &[]);
    assert!(rows[0].contains("\"icmp_type\" -> \"3\", \"icmp_code\" -> \"13\""), "{}", rows[0]);
    // Nobody counted, but there was an answer.
    let uncounted = r#"{"ts":1700000000,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","id.orig_p":1,"id.resp_p":2,"proto":"tcp","conn_state":"SF","history":"ShADadFf"}"#;
    let rows = converted(folder.path(), "uncounted", uncounted, &[]);
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.contains("traffic: {packets: null, bytes: null}")),
        "{rows:?}"
    );
    let bare = r#"{"ts":1700000000,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","proto":"udp","conn_state":"S0"}"#;
    assert!(converted(folder.path(), "bare", bare, &[])[0].contains("traffic: {packets: null, bytes: null}"));

    let eve = r#"{"timestamp":"2023-11-14T22:20:00.000000+0000","flow_id":7,"event_type":"flow","src_ip":"10.0.0.1","src_port":1234,"dest_ip":"192.0.2.9","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":6,"pkts_toclient":5,"bytes_toserver":500,"bytes_toclient":2400,"start":"2023-11-14T23:13:20.250000+0100","end":"2023-11-14T22:13:21.750000+0000","age":1,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags_ts":"1b","tcp_flags_tc":"1b"}}"#;
    let alert = r#"{"timestamp":"2023-11-14T22:20:00.000000+0000","event_type":"alert","flow":{}}"#;
    // Of one direction: its flags are its own, an answer's where it comes from the service. In a log with both kinds of events each
    // conversation is told twice.
    let netflow = |source: &str, from: u16, destination: &str, to: u16, flags: &str| {
        format!(
            r#"{{"timestamp":"2023-11-14T22:20:00.000000+0000","flow_id":7,"event_type":"netflow","src_ip":"{source}","src_port":{from},"dest_ip":"{destination}","dest_port":{to},"proto":"TCP","netflow":{{"pkts":6,"bytes":500,"start":"2023-11-14T22:13:20.250000+0000","end":"2023-11-14T22:13:21.750000+0000","age":1}},"tcp":{{"tcp_flags":"{flags}"}}}}"#
        )
    };
    let both = [
        netflow("10.0.0.1", 1234, "192.0.2.9", 443, "1b"),
        netflow("192.0.2.9", 443, "10.0.0.1", 1234, "12"),
        netflow("10.0.0.1", 1235, "192.0.2.9", 443, "02"),
        eve.to_owned(),
    ];
    let found = converted(folder.path(), "netflow", &both.join("\n"), &[]);
    assert_eq!(found.len(), 3, "{found:?}");
    for flags in [2, 3, 18] {
        let of_flags = found.iter().filter(|row| row.contains(&format!("tcp_flags: {flags},"))).count();
        assert_eq!(of_flags, 1, "{flags} in {found:?}");
    }
    assert!(found.iter().all(|row| !row.contains("suricata_side")));
    let gre = eve.replace(r#""src_port":1234,"#, "").replace(r#""dest_port":443,"#, "").replace("TCP", "GRE");
    let gre = gre.replace(r#""state""#, r#""action":"pass","state""#);
    let found = converted(folder.path(), "gre", &gre, &[]).join("\n");
    assert!(found.contains("src_endpoint: {port: 0,") && found.contains("action: \"Unknown\""), "{found}");
    let found = converted(folder.path(), "eve", &format!("{alert}\n{eve}\n"), &[]).join("\n");
    for part in [
        "ext/flowlake_suricata/",
        "vendor_name: \"OISF\"",
        "time: 1700000000250,",
        "packets: 6, bytes: 500",
        "packets: 5, bytes: 2400",
        "protocol_num: 6, tcp_flags: 3,",
        "protocol_num: 6, tcp_flags: 19,",
        "status_code: \"closed\"",
        "\"bytes_layer\" -> \"frame\"",
        "\"flow_reason\" -> \"timeout\"",
    ] {
        assert!(found.contains(part), "'{part}' is not in {found}");
    }
    // What an IPS dropped was denied.
    let dropped = eve.replace("\"alerted\":false", "\"alerted\":false,\"action\":\"drop\"");
    assert!(converted(folder.path(), "ips", &dropped, &[])[0].contains("action: \"Denied\""));
}

/// A lake source has rows of one kind and of one version; kinds that share a file are told apart or refused.
#[test]
fn kinds_and_versions_do_not_mix_in_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let zeek = r#"{"ts":1700000000,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","proto":"udp","conn_state":"S0"}"#;
    let vpc = "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1700000000 1700000001 ACCEPT OK";
    let (zeek_log, vpc_log) =
        (write(folder.path(), "zeek", zeek.as_bytes()), write(folder.path(), "vpc", vpc.as_bytes()));
    let lake = folder.path().join("lake");
    let convert = |inputs: &[&Path], options: &[&str]| {
        let mut convert = converter();
        convert
            .arg("convert")
            .args(inputs)
            .arg("--lake")
            .arg(&lake)
            .arg("--rejects")
            .arg(folder.path().join("rejects"));
        run(convert.args(["--account-id", "123456789012", "--region", "r"]).args(options))
    };
    convert(&[&zeek_log, &vpc_log], &[]).ended(0).says("flowlake_zeek").says("flowlake_vpc");
    convert(&[&zeek_log, &vpc_log], &["--source", "one"]).ended(1).says("source one has rows of Zeek in OCSF 1.1.0");
    convert(&[&vpc_log], &["--ocsf-version", "1.3.0"])
        .ended(1)
        .says("source flowlake_vpc has rows of AWS in OCSF 1.1.0");
    convert(&[&vpc_log], &["--ocsf-version", "1.3.0", "--source", "newer"]).ended(0);
    run(converter().arg("validate").arg(&lake)).ended(0);
    let newer = rows(&lake).into_iter().find(|row| row.contains("ext/newer/")).expect("a row");
    assert!(
        newer.contains("version: \"1.3.0\"")
            && newer.ends_with("disposition_id: 1, status_id: 1, status: \"Success\"}"),
        "{newer}"
    );
    convert(&[&vpc_log], &["--verdict", "none", "--source", "unjudged"]).ended(0);
    let unjudged = rows(&lake).into_iter().find(|row| row.contains("ext/unjudged/")).expect("a row");
    assert!(
        unjudged.contains(
            "activity_name: \"Traffic\", activity_id: 6, action: \"Unknown\", action_id: 0, disposition: null"
        ),
        "{unjudged}"
    );

    let mixed = write(folder.path(), "mixed", format!("{zeek}\n{{\"message\":\"{vpc}\"}}\n").as_bytes());
    convert(&[&mixed], &[])
        .ended(1)
        .says("of another sensor than the file's first record, which is of a Zeek conn log");
}

/// The published baseline, seed 0: by logs of Zeek for every flow, and by captures for those whose flow logs have what it takes.
#[test]
fn community_ids_are_the_published_ones() {
    let Some(data) = shared("data/pcap/corelight_community-id-spec") else {
        return;
    };
    let baseline = fs::read(data.join("baseline_deflt.json")).unwrap();
    let baseline: Vec<serde_json::Value> = serde_json::from_slice(&baseline).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut by_flow = BTreeMap::new();
    for (number, flow) in baseline.iter().enumerate() {
        let text = |name: &str| flow[name].as_str().unwrap().to_owned();
        let port = |name: &str| flow[name].as_u64().unwrap_or(0);
        let id = text("communityid");
        let log = format!(
            r#"{{"ts":1700000000,"id.orig_h":"{}","id.resp_h":"{}","id.orig_p":{},"id.resp_p":{},"ip_proto":{},"conn_state":"S0","orig_pkts":1,"resp_pkts":1}}"#,
            text("saddr"),
            text("daddr"),
            port("sport"),
            port("dport"),
            flow["proto"]
        );
        let found = converted(folder.path(), &format!("flow {number}"), &log, &["--community-id"]);
        // Where a message has no answer, its two directions have two names, as the published program has it.
        assert!(found.iter().any(|row| row.contains(&format!("\"community_id\" -> \"{id}\""))), "{flow}: {found:?}");
        by_flow
            .insert((text("saddr"), text("daddr"), port("sport"), port("dport"), flow["proto"].as_u64().unwrap()), id);
    }
    let mut compared = 0;
    let logs = folder.path().join("logs");
    run(agent()
        .args(["replay", "--log-format", "all", "--output"])
        .arg(&logs)
        .args(["tcp", "udp", "ipv6", "icmp"].map(|name| data.join(format!("pcaps/{name}.pcap")))))
    .ended(0);
    let lake = folder.path().join("lake");
    run(converter().args(["convert", "--community-id", "--origin", "on-premises"]).arg(&logs).arg("--lake").arg(&lake))
        .ended(0);
    for row in rows(&lake) {
        let part = |begin: &str| {
            row.split(begin).nth(1).and_then(|rest| rest.split([',', '"', '}']).next()).unwrap_or_default().to_owned()
        };
        let end = |name: &str| {
            let rest = row.split(&format!("{name}: {{port: ")).nth(1).unwrap();
            let ip = rest.split("ip: \"").nth(1).unwrap().split('"').next().unwrap();
            (ip.to_owned(), rest.split(',').next().unwrap().parse::<u64>().unwrap())
        };
        let ((source, sport), (destination, dport)) = (end("src_endpoint"), end("dst_endpoint"));
        let protocol: u64 = part("protocol_num: ").parse().unwrap();
        let id = part("\"community_id\" -> \"");
        if [1, 58].contains(&protocol) {
            // Flow logs have neither its type nor its code.
            assert_eq!(id, "", "{row}");
        } else if let Some(expected) = by_flow.get(&(source, destination, sport, dport, protocol)) {
            assert_eq!(&id, expected, "{row}");
            compared += 1;
        }
    }
    loudly(&format!("Community ID: {} flows of the baseline, {compared} of them by captures too", baseline.len()));
    assert!(compared >= 4);
}
