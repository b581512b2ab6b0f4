//! Network namespaces of the tests' own making, and agents that run in them.
//!
//! `outside` and `host` are two ends of a wire; with a router, `beyond` is on the other side of `host`. The agent runs in `host`.

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

use crate::support::{Ran, agent, loudly, repository, run, write};

/// Two namespaces with a wire between `out0` (10.9.0.1, fd09::1) and `in0` (10.9.0.2, fd09::2). Neither says anything by itself.
pub(crate) struct Lab {
    pub(crate) outside: String,
    pub(crate) host: String,
    beyond: Option<String>,
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None`, said loudly, where namespaces may not be made.
    pub(crate) fn new() -> Option<Self> {
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
        let lab = Self { outside: format!("flo{number}"), host: format!("flh{number}"), beyond: None, folder };
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

    /// What the kernel says of itself when a wire is new comes in its first second or two.
    pub(crate) fn wait_for_quiet() {
        thread::sleep(Duration::from_millis(2500));
    }

    /// Makes the wire, or makes it anew.
    pub(crate) fn plug_in(&self) {
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

    /// Makes `host` a router to `beyond`: `far0` (10.8.0.2, fd08::2) and, there, `bey0` (10.8.0.1, fd08::1).
    pub(crate) fn route(&mut self) {
        let beyond = self.host.replacen("flh", "flb", 1);
        ip(&["netns", "add", &beyond]);
        self.beyond = Some(beyond.clone());
        let quiet = "net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_dad=0";
        self.shell(&beyond, &format!("sysctl -qw {quiet} net.ipv6.conf.default.addr_gen_mode=1; ip link set lo up"))
            .ended(0);
        ip(&["-n", &beyond, "link", "add", "bey0", "type", "veth", "peer", "name", "far0", "netns", &self.host]);
        for (namespace, device, end, peer) in [(&beyond, "bey0", 1, 2), (&self.host, "far0", 2, 1)] {
            let script = format!(
                "ip link set {device} address 02:00:00:00:08:0{end} multicast off up
                 ip addr add 10.8.0.{end}/24 dev {device}; ip addr add fd08::{end}/64 dev {device} nodad
                 ip neigh add 10.8.0.{peer} lladdr 02:00:00:00:08:0{peer} nud permanent dev {device}
                 ip neigh add fd08::{peer} lladdr 02:00:00:00:08:0{peer} nud permanent dev {device}"
            );
            self.shell(namespace, &script).ended(0);
        }
        self.shell(&self.host, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1").ended(0);
        self.shell(&self.outside, "ip route add 10.8.0.0/24 via 10.9.0.2; ip route add fd08::/64 via fd09::2").ended(0);
        self.shell(&beyond, "ip route add 10.9.0.0/24 via 10.8.0.2; ip route add fd09::/64 via fd08::2").ended(0);
    }

    pub(crate) fn command(namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command
    }

    pub(crate) fn shell(&self, namespace: &str, script: &str) -> Ran {
        run(Self::command(namespace).args(["sh", "-ec", script]))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an agent in `host` that captures `in0`, and waits until it does.
    pub(crate) fn agent(&self, more: &str) -> Agent {
        let agent = self.start_agent("state", &[], more);
        agent.wait_for("captured as");
        agent
    }

    /// Starts an agent in `host`, by way of other commands, with a state folder of its own.
    pub(crate) fn start_agent(&self, state: &str, by: &[&str], more: &str) -> Agent {
        let capture = if more.contains("[[capture]]") { "" } else { "[[capture]]\ninterface = \"in0\"\n" };
        let config = format!(
            "account-id = \"111122223333\"\nregion = \"eu-central-1\"\nstate = \"{}\"\n{}",
            self.path(state).display(),
            // Keys of the top come before the first table.
            if more.starts_with('[') { format!("{capture}{more}") } else { format!("{more}{capture}") }
        );
        let config = write(self.folder.path(), &format!("{state}.toml"), config.as_bytes());
        let said = self.path(&format!("{state}.said"));
        let program = agent();
        let mut command = Self::command(&self.host);
        command.args(by).arg(program.get_program()).args(["run", "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::options().create(true).append(true).open(&said).expect("a file"));
        let before = fs::read_to_string(&said).unwrap_or_default().len();
        Agent { child: command.spawn().expect("the agent starts"), said, before }
    }

    /// Starts a tcpdump of `in0` in `host`, of packets coming in or going out, and waits until it listens.
    pub(crate) fn dump(&self, way: &str) -> Child {
        self.dump_to(way, "in0", &["-Q", way, "-s", "256"])
    }

    /// Starts a tcpdump in `host` into `<name>.pcap`, and waits until it listens.
    pub(crate) fn dump_to(&self, name: &str, device: &str, options: &[&str]) -> Child {
        let said = self.path(&format!("{name}.log"));
        let child = Self::command(&self.host)
            .args(["tcpdump", "-i", device, "-B", "65536", "-U"])
            .args(options)
            .arg("-w")
            .arg(self.path(&format!("{name}.pcap")))
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
    pub(crate) fn records(&self) -> Vec<BTreeMap<String, String>> {
        self.records_of("state")
    }

    /// Every record in the spool of an agent with another state folder.
    pub(crate) fn records_of(&self, state: &str) -> Vec<BTreeMap<String, String>> {
        let mut records = Vec::new();
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path(state).join("spool"))
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
        for namespace in [Some(&self.host), Some(&self.outside), self.beyond.as_ref()].into_iter().flatten() {
            run(Command::new("ip").args(["netns", "del", namespace]));
        }
    }
}

/// A running agent. Killed when the test fails.
pub(crate) struct Agent {
    child: Child,
    said: PathBuf,
    before: usize,
}

impl Agent {
    pub(crate) fn said(&self) -> String {
        let said = fs::read(&self.said).expect("what it said");
        String::from_utf8_lossy(&said[self.before..]).into_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = time::monotonic_us() + 20_000_000;
        while !self.said().contains(text) {
            assert!(time::monotonic_us() < deadline, "'{text}' was not said:\n{}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        run(Command::new("kill").args([signal, &self.child.id().to_string()])).ended(0);
    }

    /// Signals the one process that its process started.
    pub(crate) fn signal_child(&self, signal: &str) {
        run(Command::new("pkill").args([signal, "--parent", &self.child.id().to_string()])).ended(0);
    }

    /// Ends it as a service manager does, and gives what it said.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal("-TERM");
        self.ended(0)
    }

    /// Waits until it ends, and gives what it said.
    #[track_caller]
    pub(crate) fn ended(mut self, code: i32) -> String {
        let status = self.child.wait().expect("it ends");
        let said = self.said();
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments)).ended(0);
}

pub(crate) fn sum(records: &[BTreeMap<String, String>], field: &str, wanted: &[(&str, &str)]) -> u64 {
    let matching = records.iter().filter(|record| wanted.iter().all(|(field, value)| record[*field] == *value));
    matching.map(|record| record[field].parse::<u64>().expect("a number")).sum()
}

pub(crate) fn script(name: &str) -> PathBuf {
    repository().join("tests/it").join(name)
}

/// Sends datagrams from `outside`: count, size, address, port.
pub(crate) fn send(lab: &Lab, namespace: &str, arguments: &str) {
    let sender = script("live_traffic.py");
    lab.shell(namespace, &format!("python3 {} udp {arguments}", sender.display())).ended(0);
}

/// Records of a text with a header, as maps of field names to values.
pub(crate) fn parse(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(' ').collect();
    let record = |line: &str| header.iter().map(ToString::to_string).zip(line.split(' ').map(str::to_owned)).collect();
    lines.map(record).collect()
}
