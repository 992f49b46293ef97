//! When to stop, and that it comes to an end.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A stop is over within 5 s; this leaves something for leaving.
const PATIENCE: Duration = Duration::from_millis(4700);
/// The status of a server that didn't stop by itself.
const FORCED: i32 = 1;
/// The status of a program that a signal ended: 128 and the signal's number.
const SIGNALLED: i32 = 128;

/// Ctrl+C and SIGTERM.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens for the signals from here on.
    pub(crate) fn on_signals() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Ready at the first signal. A second one, or a stop that takes too long, ends the process.
    pub(crate) async fn asked(mut self) {
        self.next().await;
        watch_over();
        tokio::spawn(async move {
            let signal = self.next().await;
            tracing::warn!("asked a second time: ending at once");
            std::process::exit(SIGNALLED + signal);
        });
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}

/// Ends the process when stopping hangs. A thread, since what hangs may be the runtime.
fn watch_over() {
    let watch = || {
        let (_never, patience) = mpsc::channel::<()>();
        let _ = patience.recv_timeout(PATIENCE);
        tracing::error!("stopping takes too long: ending without it");
        std::process::exit(FORCED);
    };
    if let Err(error) = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch) {
        tracing::warn!(%error, "nothing watches over the stop");
    }
}
