//! The end: SIGTERM or SIGINT.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};

/// Whether to end, and a way to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    /// Told by a byte that nobody reads: everybody sees it.
    tells: Arc<UnixStream>,
    told: Arc<UnixStream>,
}

impl Stop {
    /// Listens for signals from now on.
    pub(super) fn on_signals() -> io::Result<Self> {
        let (tells, told) = UnixStream::pair()?;
        let stop = Self { tells: Arc::new(tells), told: Arc::new(told) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut terminate, mut interrupt) = {
            let _within = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let tells = stop.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            tells.tell();
        })?;
        Ok(stop)
    }

    /// Ends whoever waits for it.
    pub(super) fn tell(&self) {
        // It cannot fail: both ends are here, and a few bytes have room.
        drop((&*self.tells).write(b"."));
    }

    /// Waits for the end, or so long; whether it came.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let time =
            Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() };
        let mut told = [PollFd::new(&*self.told, PollFlags::IN)];
        // A signal that cuts the wait short says nothing: whoever waits comes again.
        poll(&mut told, Some(&time)).is_ok_and(|ready| ready > 0)
    }
}
