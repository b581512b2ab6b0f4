//! Live capture, in network namespaces of the test's own making: `outside` and `host` are two ends of a wire, and the agent
//! runs in `host`.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use flowlake_common::time;

use crate::support::{Ran, Summary, agent, loudly, repository, run, write};

/// Two namespaces with a wire between `out0` (10.9.0.1, fd09::1) and `in0` (10.9.0.2, fd09::2). Neither says anything by itself.
struct Lab {
    outside: String,
    host: String,
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None`, said loudly, where namespaces may not be made.
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for tool in ["ip", "nft", "tcpdump", "python3", "sysctl", "kill"] {
            let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
            if !found.is_ok_and(|found| found.status.success()) {
                loudly(&format!("SKIPPED: live capture needs {tool}"));
                return None;
            }
        }
        let number = format!("{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Self { outside: format!("flo{number}"), host: format!("flh{number}"), folder };
        if !run(Command::new("ip").args(["netns", "add", &lab.host])).code.eq(&0) {
            loudly("SKIPPED: live capture needs the right to make network namespaces; run as root");
            return None;
        }
        ip(&["netns", "add", &lab.outside]);
        for namespace in [&lab.host, &lab.outside] {
            // Nothing that the test did not send: no duplicate address detection, no router solicitations.
            let quiet = "net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_dad=0 \
                         net.ipv6.conf.default.addr_gen_mode=1";
            lab.shell(namespace, &format!("sysctl -qw {quiet}; ip link set lo up")).ended(0);
        }
        lab.plug_in();
        Some(lab)
    }

    /// Makes the wire, or makes it anew.
    fn plug_in(&self) {
        ip(&["-n", &self.outside, "link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", &self.host]);
        for (namespace, device, end, peer) in [(&self.outside, "out0", 1, 2), (&self.host, "in0", 2, 1)] {
            let script = format!(
                "ip link set {device} address 02:00:00:00:00:0{end} multicast off up
                 ip addr add 10.9.0.{end}/24 dev {device}; ip addr add fd09::{end}/64 dev {device} nodad
                 ip neigh add 10.9.0.{peer} lladdr 02:00:00:00:00:0{peer} nud permanent dev {device}
                 ip neigh add fd09::{peer} lladdr 02:00:00:00:00:0{peer} nud permanent dev {device}"
            );
            self.shell(namespace, &script).ended(0);
        }
    }

    fn command(namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command
    }

    fn shell(&self, namespace: &str, script: &str) -> Ran {
        run(Self::command(namespace).args(["sh", "-ec", script]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an agent in `host` that captures `in0`, and waits until it does.
    fn agent(&self, more: &str) -> Agent {
        let state = self.path("state");
        let capture = if more.contains("[[capture]]") { "" } else { "[[capture]]\ninterface = \"in0\"\n" };
        let config = format!(
            "account-id = \"111122223333\"\nregion = \"eu-central-1\"\nstate = \"{}\"\n{capture}{more}",
            state.display()
        );
        let config = write(self.folder.path(), "agent.toml", config.as_bytes());
        let said = self.path("said");
        let program = agent();
        let mut command = Self::command(&self.host);
        command.arg(program.get_program()).args(["run", "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::options().create(true).append(true).open(&said).expect("a file"));
        let before = fs::read_to_string(&said).unwrap_or_default().len();
        let agent = Agent { child: command.spawn().expect("the agent starts"), said, before };
        agent.wait_for("captured as");
        agent
    }

    /// Starts a tcpdump of `in0` in `host`, of packets coming in or going out, and waits until it listens.
    fn dump(&self, way: &str) -> Child {
        let said = self.path(&format!("{way}.log"));
        let child = Self::command(&self.host)
            .args(["tcpdump", "-i", "in0", "-Q", way, "-s", "256", "-B", "65536", "-U", "-w"])
            .arg(self.path(&format!("{way}.pcap")))
            .stderr(fs::File::create(&said).expect("a file"))
            .spawn()
            .expect("tcpdump starts");
        let deadline = time::monotonic_us() + 10_000_000;
        while !fs::read_to_string(&said).unwrap_or_default().contains("listening on") {
            assert!(time::monotonic_us() < deadline, "tcpdump does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        child
    }

    /// Every record in the spool: a map of field names to values each.
    fn records(&self) -> Vec<BTreeMap<String, String>> {
        let mut records = Vec::new();
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path("state/spool"))
            .expect("a spool")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let mut text = String::new();
            let file = fs::File::open(&path).expect("a file");
            let decoder = flowlake_common::codec::Decoder::new(file, 1 << 30).expect("gzip");
            std::io::BufReader::new(decoder).read_to_string(&mut text).expect("text");
            records.extend(parse(&text));
        }
        records
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.host, &self.outside] {
            run(Command::new("ip").args(["netns", "del", namespace]));
        }
    }
}

/// A running agent. Killed when the test fails.
struct Agent {
    child: Child,
    said: PathBuf,
    before: usize,
}

impl Agent {
    fn said(&self) -> String {
        let said = fs::read(&self.said).expect("what it said");
        String::from_utf8_lossy(&said[self.before..]).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let deadline = time::monotonic_us() + 20_000_000;
        while !self.said().contains(text) {
            assert!(time::monotonic_us() < deadline, "'{text}' was not said:\n{}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        run(Command::new("kill").args([signal, &self.child.id().to_string()])).ended(0);
    }

    /// Ends it as a service manager does, and gives what it said.
    #[track_caller]
    fn stop(mut self) -> String {
        self.signal("-TERM");
        let status = self.child.wait().expect("it ends");
        let said = self.said();
        assert!(status.success(), "{status}\n{said}");
        said
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments)).ended(0);
}

fn sum(records: &[BTreeMap<String, String>], field: &str, wanted: &[(&str, &str)]) -> u64 {
    let matching = records.iter().filter(|record| wanted.iter().all(|(field, value)| record[*field] == *value));
    matching.map(|record| record[field].parse::<u64>().expect("a number")).sum()
}

fn script(name: &str) -> PathBuf {
    repository().join("tests/it").join(name)
}

/// Sends datagrams from `outside`: count, size, address, port.
fn send(lab: &Lab, namespace: &str, arguments: &str) {
    let sender = script("live_traffic.py");
    lab.shell(namespace, &format!("python3 {} udp {arguments}", sender.display())).ended(0);
}

/// Records of a text with a header, as maps of field names to values.
fn parse(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(' ').collect();
    let record = |line: &str| header.iter().map(ToString::to_string).zip(line.split(' ').map(str::to_owned)).collect();
    lines.map(record).collect()
}

/// TCP (with super-packets) and UDP, IPv4 and IPv6, fragments, and frames with VLAN tags: bytes equal the kernel's counters
/// less link headers, and a tcpdump of the same traffic, replayed, gives the same records.
#[test]
fn records_equal_the_kernels_counters_and_a_replayed_tcpdump() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let counters = "cat /sys/class/net/in0/statistics/rx_packets /sys/class/net/in0/statistics/rx_bytes \
                    /sys/class/net/in0/statistics/tx_packets /sys/class/net/in0/statistics/tx_bytes";
    let count = || -> Vec<u64> {
        lab.shell(&lab.host, counters).ended(0).text().lines().map(|line| line.parse().expect("a number")).collect()
    };
    // What the kernel says of itself when a wire is new comes in its first second or two.
    thread::sleep(Duration::from_millis(2500));
    let running = lab.agent("");
    let before = count();
    // One for each way, as a capture of Ethernet frames does not tell it; whole headers, as the agent has them.
    let ways = [("ingress", "in"), ("egress", "out")];
    let mut dumps: Vec<Child> = ways.iter().map(|(_, way)| lab.dump(way)).collect();
    let traffic = script("live_traffic.py");
    let mut server = Lab::command(&lab.host)
        .args(["python3"])
        .arg(&traffic)
        .args(["serve", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut ready = [0; 1];
    server.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it listens");
    lab.shell(&lab.outside, &format!("python3 {} mix 10.9.0.2 fd09::2", traffic.display())).ended(0);
    assert!(server.wait().expect("it ends").success());
    thread::sleep(Duration::from_millis(700));
    let after = count();
    for dump in &mut dumps {
        run(Command::new("kill").args(["-INT", &dump.id().to_string()]));
        dump.wait().expect("it ends");
    }
    let said = running.stop();
    assert!(Summary::of(&said).adds_up(), "{said}");

    let records = lab.records();
    let delta: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    // 30 frames with one VLAN tag and 20 with two, injected by the traffic.
    let tags = 4 * (30 + 2 * 20);
    for (direction, packets, bytes, tags) in [("ingress", delta[0], delta[1], tags), ("egress", delta[2], delta[3], 0)]
    {
        let wanted = [("flow-direction", direction)];
        assert_eq!(sum(&records, "packets", &wanted), packets, "{direction}\n{said}");
        assert_eq!(sum(&records, "bytes", &wanted), bytes - 14 * packets - tags, "{direction}\n{said}");
    }
    assert_eq!(sum(&records, "packets", &[("dstport", "7100")]), 50, "tagged frames");
    let largest = records.iter().map(|record| {
        record["bytes"].parse::<u64>().expect("a number") / record["packets"].parse::<u64>().expect("a number")
    });
    assert!(largest.max().is_some_and(|bytes| bytes > 1500), "no super-packets");
    for kind in ["IPv4", "IPv6"] {
        assert!(sum(&records, "bytes", &[("type", kind), ("protocol", "6")]) > 2_000_000, "{kind}");
    }
    // Fragments have their datagram's ports.
    assert_eq!(sum(&records, "packets", &[("dstport", "7200"), ("type", "IPv4")]), 10 * 3);

    let id = records[0]["interface-id"].clone();
    for (direction, way) in ways {
        let mut replay = agent();
        replay.arg("replay").arg(lab.path(&format!("{way}.pcap"))).args(["--log-format", "all", "--interface-id", &id]);
        replay.args(["--account-id", "111122223333", "--region", "eu-central-1"]);
        let mut replayed = parse(&run(&mut replay).ended(0).text());
        for record in &mut replayed {
            record.insert("flow-direction".to_owned(), direction.to_owned());
        }
        let live: Vec<_> = records.iter().filter(|record| record["flow-direction"] == direction).cloned().collect();
        let only = |these: &[BTreeMap<String, String>], others: &[BTreeMap<String, String>]| {
            these.iter().filter(|record| !others.contains(record)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&live, &replayed), only(&replayed, &live));
        assert_eq!(live.len(), replayed.len());
    }
    loudly(&format!("live: {} records equal a replayed tcpdump; {:?} = rx, tx of the kernel", records.len(), delta));
}

/// A ring of 1 MiB and an agent that is held up: what the kernel dropped is said, and nothing else is missing.
#[test]
fn an_overload_is_skipdata_and_adds_up() {
    const SENT: u64 = 60_000;
    let Some(lab) = Lab::new() else {
        return;
    };
    let capture = "[[capture]]\ninterface = \"in0\"\nring-mib = 1\nfilter = \"udp port 7300\"\n";
    let running = lab.agent(capture);
    running.signal("-STOP");
    send(&lab, &lab.outside, &format!("{SENT} 100 10.9.0.2 7300"));
    running.signal("-CONT");
    thread::sleep(Duration::from_millis(1500));
    let said = running.stop();
    let summary = Summary::of(&said);
    let dropped = summary.not_recorded.get("dropped by the kernel, because the ring was full").copied().unwrap_or(0);
    assert!(dropped > 0 && summary.recorded > 0, "{said}");
    assert_eq!(summary.recorded + dropped, SENT, "{said}");
    let records = lab.records();
    assert_eq!(sum(&records, "packets", &[("log-status", "OK")]), summary.recorded, "{said}");
    assert!(records.iter().any(|record| record["log-status"] == "SKIPDATA"), "{said}");
    assert!(said.contains("raise ring-mib"), "{said}");
    loudly(&format!("overload: {SENT} sent = {} recorded + {dropped} dropped", summary.recorded));
}

/// The interface is deleted and made anew: the process goes on, records before and after are complete, and the gap is said.
#[test]
fn an_interface_that_comes_back_is_captured_again() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    send(&lab, &lab.outside, "100 100 10.9.0.2 7401");
    ip(&["-n", &lab.host, "link", "del", "in0"]);
    running.wait_for("not captured");
    thread::sleep(Duration::from_millis(500));
    lab.plug_in();
    running.wait_for("captured again");
    send(&lab, &lab.outside, "70 100 10.9.0.2 7402");
    // Down and up again: the handle survives.
    lab.shell(&lab.host, "ip link set in0 down").ended(0);
    running.wait_for("in0: down");
    lab.shell(
        &lab.host,
        "ip link set in0 up; ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 nud permanent dev in0",
    )
    .ended(0);
    running.wait_for("in0: up again");
    send(&lab, &lab.outside, "30 100 10.9.0.2 7403");
    thread::sleep(Duration::from_millis(500));
    let said = running.stop();
    let records = lab.records();
    for (port, packets) in [("7401", 100), ("7402", 70), ("7403", 30)] {
        assert_eq!(sum(&records, "packets", &[("dstport", port)]), packets, "{port}\n{said}");
    }
    let skipped = records.iter().filter(|record| record["log-status"] == "SKIPDATA").count();
    assert!(skipped >= 1, "{said}");
    let ids: std::collections::BTreeSet<&String> = records.iter().map(|record| &record["interface-id"]).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

/// After kill -9 the next start says SKIPDATA from the first second that was not written.
#[test]
fn a_killed_agent_leaves_skipdata_and_a_stopped_one_none() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("");
    send(&lab, &lab.outside, "10 100 10.9.0.2 7500");
    let killed_at = time::now();
    running.signal("-KILL");
    drop(running);
    thread::sleep(Duration::from_millis(1100));
    let again = lab.agent("");
    let started_at = time::now();
    let said = again.stop();
    assert!(said.contains("ended suddenly"), "{said}");
    let skipped: Vec<_> = lab.records().into_iter().filter(|record| record["log-status"] == "SKIPDATA").collect();
    assert_eq!(skipped.len(), 1, "{said}");
    let second = |field: &str| skipped[0][field].parse::<i64>().expect("a number");
    assert!(second("start") <= killed_at && second("end") >= killed_at && second("end") <= started_at, "{skipped:?}");
    // It was stopped: the next start has nothing to say.
    let said = lab.agent("").stop();
    assert!(!said.contains("ended suddenly"), "{said}");
    assert_eq!(lab.records().iter().filter(|record| record["log-status"] == "SKIPDATA").count(), 1);
}

/// A whole window without traffic is NODATA, and a window with traffic is not.
#[test]
fn a_quiet_window_is_nodata() {
    let Some(lab) = Lab::new() else {
        return;
    };
    let running = lab.agent("[records]\ntraffic-type = \"ALL\"\nexclude = [{ ports = [7601] }]\n");
    send(&lab, &lab.outside, "5 100 10.9.0.2 7601");
    send(&lab, &lab.outside, "5 100 10.9.0.2 7602");
    let started = time::now();
    let next_window = (started / 60 + 1) * 60;
    while time::now() < next_window + 63 {
        thread::sleep(Duration::from_millis(200));
    }
    let said = running.stop();
    let records = lab.records();
    let quiet: Vec<_> = records.iter().filter(|record| record["log-status"] == "NODATA").collect();
    assert_eq!(quiet.len(), 1, "{said}\n{records:?}");
    assert_eq!(quiet[0]["start"], next_window.to_string());
    assert_eq!(quiet[0]["end"], (next_window + 59).to_string());
    assert_eq!(sum(&records, "packets", &[("dstport", "7602")]), 5);
    assert!(!records.iter().any(|record| record["dstport"] == "7601"));
    assert!(said.contains("1 records left out by the filters") && said.contains("5 packets in these"), "{said}");
}
