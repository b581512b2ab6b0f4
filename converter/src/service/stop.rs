//! The end: SIGTERM or SIGINT.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

/// Whether to end, and a way to wait for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Listens for signals from now on.
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut terminate, mut interrupt) = {
            let _within = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let told = stop.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            told.tell();
        })?;
        Ok(stop)
    }

    /// Ends whoever waits for it.
    pub(super) fn tell(&self) {
        let (is_told, waiting) = &*self.0;
        *is_told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        waiting.notify_all();
    }

    /// Waits for the end, or so long; whether it came.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let (is_told, waiting) = &*self.0;
        let is_told = is_told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = waiting.wait_timeout_while(is_told, time, |is_told| !*is_told);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
