//! The agent's main loop: interfaces come and go, signals end it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use flowlake_common::{spool::Spool, time};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::MissedTickBehavior,
};

use super::{
    Event, Say,
    closer::Written,
    config::Config,
    firewall::{self, Drops, Firewall},
    interfaces::Interfaces,
    marker::Markers,
};
use crate::{
    capture::live::Rights,
    emit::{Gap, SpoolWriter},
    flow::{Closed, Counters},
};

/// What a run counted, to be said at its end.
#[derive(Debug)]
pub struct Ended {
    /// Where the packets went.
    pub counters: Counters,
    /// Records written, NODATA and SKIPDATA among them.
    pub records: u64,
    /// Windows with a SKIPDATA record.
    pub skipped_windows: u64,
    /// Records that the filters left out, and their packets.
    pub left_out: (u64, u64),
    /// Of the firewall's log: recorded as REJECT, on interfaces that are not captured, and not readable as drops. `None`
    /// when it was not read.
    pub drops: Option<(u64, u64, u64)>,
    /// Drops that were not seen on their way in.
    pub verdict_unmatched: u64,
    /// Packets that ICMP messages called refused, but that were not seen.
    pub refused_unseen: u64,
    /// Records that could not be written.
    pub given_up: u64,
    /// Finished files of the spool that had to make room, and the packets that they told of.
    pub dropped: (u64, u64),
}

/// Captures until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin: another agent runs, a folder cannot be written, the firewall's log cannot be read.
pub fn run(config: &Config, say: Say) -> anyhow::Result<Ended> {
    if !Rights::of_this_process().net_raw {
        bail!("capturing needs CAP_NET_RAW: run the agent's service, or as root");
    }
    fs::create_dir_all(&config.state).with_context(|| format!("cannot make {}", config.state.display()))?;
    let _lock = lock(&config.state)?;
    let spool = Spool::open(&config.spool, config.limits).context("cannot write the spool")?;
    let markers = Markers::open(&config.state).with_context(|| format!("cannot write {}", config.state.display()))?;
    say_what_was_lost(config, &spool, &markers, say)?;

    let named = Arc::new(Mutex::new(firewall::Interfaces::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut drops = None;
    if !config.nflog_groups.is_empty() {
        let firewall =
            Firewall::open(config.nflog_groups.clone(), &config.rules, Arc::clone(&named), Arc::clone(&stop), say);
        let firewall = firewall.with_context(|| format!("cannot read NFLOG groups {:?}", config.nflog_groups))?;
        drops = Some(thread::Builder::new().name("firewall".to_owned()).spawn(|| firewall.run())?);
    }
    let firewall_runs = || drops.as_ref().is_none_or(|thread| !thread.is_finished());
    let mut interfaces = Interfaces::new(config.clone(), spool, markers, named, say);
    let changes = Arc::new(Notify::new());
    let (notified, ending) = (Arc::clone(&changes), Arc::clone(&stop));
    let links = thread::Builder::new().name("links".to_owned()).spawn(move || watch_links(&notified, &ending))?;
    let supervised = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(supervise(&mut interfaces, &changes, firewall_runs, say));

    let stopped = interfaces.stop();
    stop.store(true, Ordering::Relaxed);
    // A thread that panicked has counted nothing; its interfaces' windows are not all closed, and their markers stay.
    let drops: Option<Drops> = drops.map(|thread| thread.join().unwrap_or_default());
    let (counters, written) = interfaces.finish();
    drop(links.join());
    supervised?;
    stopped?;
    let Written {
        records,
        skipped_windows,
        verdict_unmatched,
        refused_unseen,
        left_out,
        given_up,
        dropped_files,
        dropped_packets,
    } = written;
    Ok(Ended {
        counters,
        records,
        skipped_windows,
        left_out: (left_out.records, left_out.packets),
        drops: drops
            .map(|drops| (drops.recorded.saturating_sub(counters.lost.queue_drops), drops.elsewhere, drops.unread)),
        verdict_unmatched,
        refused_unseen,
        given_up,
        dropped: (dropped_files, dropped_packets),
    })
}

/// Two agents would write into each other's files.
fn lock(state: &Path) -> anyhow::Result<File> {
    let path = state.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another agent runs with {}; end it first", state.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// What a run that ended suddenly did not write is SKIPDATA, from its first unwritten second to now.
fn say_what_was_lost(config: &Config, spool: &Spool, markers: &Markers, say: Say) -> anyhow::Result<()> {
    let writer = SpoolWriter::new(spool.clone(), config.rules.flow.interval);
    let now = time::now();
    for left in markers.left().context("cannot read the crash markers")? {
        let (id, since) = match left {
            Ok(left) => left,
            Err(path) => {
                let why = "cannot be read as a crash marker".to_owned();
                say(&Event::Marker { path, why });
                continue;
            }
        };
        // A clock that was set back tells of a time to come; the lost time is then unknown, but some.
        let since = since.min(now);
        say(&Event::Crashed { id: id.clone(), since });
        let identity = config.identity_of(&id, None);
        let closed = Closed { start: since, entries: Vec::new(), verdict_unmatched: 0 };
        let mut tell = |given_up| say(&Event::SpoolFull { given_up });
        let gap = (Gap::SkipData, since, now);
        writer.write(&identity, &closed, &[gap], &mut tell).context("cannot write the spool")?;
        markers.remove(&id).context("cannot remove a crash marker")?;
    }
    Ok(())
}

/// Until a signal: what changes is looked at when the kernel says so, and once a second anyway.
async fn supervise(
    interfaces: &mut Interfaces,
    changes: &Notify,
    firewall_runs: impl Fn() -> bool,
    say: Say,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                say(&Event::Hangup);
                continue;
            }
            _ = tick.tick() => false,
            () = changes.notified() => true,
        };
        interfaces.reconcile(changed).context("cannot look after the interfaces")?;
        ensure!(firewall_runs(), "the thread that reads the firewall's log failed; this is a defect, please report it");
    }
}

/// Passes on that the kernel says a device changed. What it says in detail is read from its files. Without it the tick is
/// enough, only later.
fn watch_links(changes: &Notify, stop: &AtomicBool) {
    let Ok(socket) = link_events() else {
        return;
    };
    let mut message = [0_u8; 8192];
    while !stop.load(Ordering::Relaxed) {
        match recv(&socket, &mut message[..], RecvFlags::empty()) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // An overflow says the same as a message.
            Ok(_) | Err(Errno::NOBUFS) => changes.notify_one(),
            Err(_) => return,
        }
    }
}

fn link_events() -> io::Result<OwnedFd> {
    // Protocol 0 is NETLINK_ROUTE.
    const RTMGRP_LINK: u32 = 1; // rtnetlink.h
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // So that the end is noticed.
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_millis(500)))?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
    Ok(socket)
}
