//! The recipes of `packaging/firewall`, each as shipped on a real firewall in namespaces: what its rules dropped is REJECT,
//! all of it and nothing else.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use crate::support::{agent, loudly, repository, run};

/// Packets and bytes.
type Sum = (u64, u64);

/// Whether what a test needs is there; says loudly what is not. Tools lie in `sbin`, which may not be in the path.
fn has(recipe: &str, tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| {
        let search = format!("PATH=$PATH:/usr/sbin:/sbin; command -v {tool}");
        !Command::new("sh").args(["-c", &search]).output().expect("sh starts").status.success()
    });
    if let Some(tool) = missing {
        loudly(&format!("SKIPPED: the {recipe} recipe needs {tool}"));
    }
    missing.is_none()
}

/// Records by destination port, action and direction.
fn replay(folder: &Path) -> BTreeMap<(String, String, String), Sum> {
    let mut command = agent();
    command.args(["replay", "--log-format", "${dstport} ${action} ${flow-direction} ${packets} ${bytes}"]);
    command.arg(folder.join("tap.pcap")).arg("--verdict").arg(folder.join("nflog.pcap"));
    let mut sums = BTreeMap::<_, Sum>::new();
    for line in run(&mut command).ended(0).text().lines().skip(1) {
        let [port, action, direction, packets, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let sum = sums.entry((port.to_owned(), action.to_owned(), direction.to_owned())).or_default();
        *sum = (sum.0 + packets.parse::<u64>().unwrap(), sum.1 + bytes.parse::<u64>().unwrap());
    }
    sums
}

/// Runs a recipe's firewall; its lines are `port PORT DIRECTION SENT DROPPED` and `total DROPPED`.
fn holds(recipe: &str, tools: &[&str]) {
    let common = ["unshare", "ip", "sysctl", "nft", "tcpdump", "python3"];
    if !has(recipe, &[&common, tools].concat()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = repository().join("tests/it/recipes.sh");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let ran = run(Command::new("bash").env("PATH", path).arg(script).arg(recipe).arg(folder.path()));
    if ran.code == 77 {
        loudly(&format!("SKIPPED: the {recipe} recipe: {}", ran.stderr.trim()));
        return;
    }
    let ran = ran.ended(0);
    let records = replay(folder.path());
    let sum = |port: &str, action: &str, direction: &str| -> Sum {
        let of = records.iter().filter(|((its_port, its_action, its_direction), _)| {
            its_port == port && its_action == action && (direction.is_empty() || its_direction == direction)
        });
        of.fold((0, 0), |sum, (_, (packets, bytes))| (sum.0 + packets, sum.1 + bytes))
    };
    let rejected: u64 = records.iter().filter(|((_, action, _), _)| action == "REJECT").map(|(_, sum)| sum.0).sum();
    let mut expected = 0;
    for line in ran.text().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["port", port, direction, sent, dropped] => {
                let (sent, dropped): (u64, u64) = (sent.parse().unwrap(), dropped.parse().unwrap());
                let direction = if direction == "unseen" { "ingress" } else { direction };
                assert_eq!(sum(port, "REJECT", "").0, dropped, "{recipe}: {line}\n{records:?}");
                assert_eq!(sum(port, "REJECT", direction).0, dropped, "{recipe}: {line}\n{records:?}");
                assert!(sent >= dropped && sent > 0, "{recipe}: {line}");
                if words[2] == "ingress" {
                    assert_eq!(sum(port, "ACCEPT", "").0 + dropped, sent, "{recipe}: {line}\n{records:?}");
                }
                expected += dropped;
            }
            ["total", dropped] => assert_eq!(rejected, dropped.parse::<u64>().unwrap(), "{recipe}\n{records:?}"),
            _ => panic!("{line}"),
        }
    }
    assert!(expected > 0 && rejected >= expected, "{recipe}: {rejected} of {expected}");
    // Datagrams of 1000 bytes, shortened to 128 in the rule: less of a log, and all of their bytes in the records.
    let datagrams = sum("7006", "REJECT", "");
    assert_eq!(datagrams.1, datagrams.0 / 2 * (1028 + 1048), "{recipe}");
    let logged = fs::metadata(folder.path().join("nflog.pcap")).unwrap().len();
    assert!(logged < rejected * 400, "{recipe}: {logged} bytes for {rejected} drops");
    loudly(&format!("{recipe} recipe: {rejected} drops, all REJECT; {logged} bytes of log"));
}

#[test]
fn nftables() {
    holds("nftables", &[]);
}

#[test]
fn iptables() {
    holds("iptables", &["iptables", "ip6tables"]);
}

#[test]
fn ufw() {
    holds("ufw", &["iptables", "ufw"]);
}

#[test]
fn docker() {
    holds("docker", &["iptables", "ip6tables"]);
}

#[test]
fn firewalld() {
    holds("firewalld", &["firewalld", "firewall-cmd", "dbus-daemon"]);
}
