//! The gate of the IPC server: shut, every connection ends and none is taken, as while a nucleus restarts.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    open: bool,
    /// How many times it was shut.
    shut: u64,
}

/// Open at first.
#[derive(Debug)]
pub(super) struct Gate(watch::Sender<State>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(State { open: true, shut: 0 }))
    }
}

impl Gate {
    /// For a new connection; `None` while it is shut.
    pub(super) fn enter(&self) -> Option<Entered> {
        let state = self.0.subscribe();
        let now = *state.borrow();
        now.open.then_some(Entered { state, shut: now.shut })
    }

    pub(super) fn shut(&self) {
        self.0.send_modify(|state| *state = State { open: false, shut: state.shut + 1 });
    }

    pub(super) fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }
}

/// A connection that was taken.
#[derive(Debug)]
pub(super) struct Entered {
    state: watch::Receiver<State>,
    shut: u64,
}

impl Entered {
    /// Waits until the gate is shut. Cancel safe.
    pub(super) async fn shut(&mut self) {
        let before = self.shut;
        // An error: the nucleus is gone.
        let _ = self.state.wait_for(|state| state.shut != before).await;
    }
}
