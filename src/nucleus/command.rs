//! What a running nucleus can be told to do besides its work: faults, a restart, a killed broker, a component to run.

use super::faults::{Fault, FaultStatus};
use super::runner::{Runner, RunnerConfig, RunnerError, RunnerStatus};
use super::{LINK, Nucleus, NucleusError, NucleusHandle, Profile, ipc};
use std::time::Duration;

/// Longest time that a nucleus or a broker stays away on command.
pub(super) const MAX_DOWN: Duration = Duration::from_secs(600);

impl Nucleus {
    /// Runs a component, once for each nucleus. It must be one of [`NucleusConfig::components`](super::NucleusConfig).
    pub fn run(&self, config: &RunnerConfig) -> Result<(), RunnerError> {
        let (runner, serve) = Runner::start(config, self.handle.clone(), self.handle.profile)?;
        self.handle.runner.set(runner).map_err(|_| RunnerError::Already)?;
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = serve => {}
            }
        });
        Ok(())
    }
}

impl NucleusHandle {
    /// The component's process, if this nucleus runs one.
    pub fn runner_status(&self) -> Option<RunnerStatus> {
        self.runner.get().map(Runner::status)
    }

    /// Stops the component that this nucleus runs, and waits until it is gone.
    pub async fn stop_component(&self) {
        if let Some(runner) = self.runner.get() {
            runner.stop().await;
        }
    }

    /// Starts the component again, whatever its state: as a deployment does.
    pub async fn start_component(&self) {
        if let Some(runner) = self.runner.get() {
            runner.start_again().await;
        }
    }

    /// A deployment changed the configuration: lite starts the component anew, classic tells it.
    pub(super) async fn redeployed(&self) {
        if self.profile == Profile::Lite {
            self.start_component().await;
        }
    }

    /// Puts a fault in force; it takes effect with the next message.
    pub fn set_fault(&self, fault: &Fault) -> Result<(), NucleusError> {
        self.faults.set(fault).map_err(NucleusError::Fault)?;
        self.shared.link.faults_changed();
        Ok(())
    }

    /// The faults in force, and what they did.
    pub fn faults(&self) -> FaultStatus {
        self.faults.status()
    }

    /// Kills the embedded broker: its connections end, its sessions and retained messages are gone. Returns when,
    /// `down` later, an empty one serves on the same port.
    pub async fn kill_broker(&self, down: Duration) -> Result<(), NucleusError> {
        let broker =
            self.broker.as_ref().ok_or_else(|| NucleusError::Fault("the broker is not ours to kill".into()))?;
        let killed = broker.kill(down.min(MAX_DOWN)).await;
        killed.map_err(|reason| NucleusError::Broker { port: broker.address().port(), reason })
    }

    /// Restarts the nucleus: IPC connections end, every token is replaced, the link is made anew and what was in its
    /// memory is gone (the spooler, publishes without PUBACK). Returns when, `down` later, it serves again.
    ///
    /// On classic a component under a runner stops before and is started afterwards. On lite it lives on and must come
    /// back by its name. Without a runner, on classic, only a new process with [`NucleusHandle::env`] gets in again.
    pub async fn restart(&self, down: Duration) -> Result<(), NucleusError> {
        let (gate, link) = (&self.shared.gate, &self.shared.link);
        let mut tokens = Vec::new();
        for name in self.shared.components.names() {
            tokens.push((name, ipc::new_token().ok_or(NucleusError::Random)?));
        }
        if self.profile == Profile::Classic {
            self.stop_component().await;
        }
        gate.shut();
        let online = link.wanted();
        link.want(false);
        if !link.reached(false, LINK).await {
            gate.open();
            return Err(NucleusError::Link(false));
        }
        link.forget();
        for (name, token) in tokens {
            self.shared.components.replace_tokens(&name, token);
        }
        tokio::time::sleep(down.min(MAX_DOWN)).await;
        link.want(online);
        let up = !online || link.reached(true, LINK).await;
        // The IPC server comes back whether or not there is a network.
        gate.open();
        if self.profile == Profile::Classic {
            self.start_component().await;
        }
        if up { Ok(()) } else { Err(NucleusError::Link(true)) }
    }

    /// The environment that `component`'s process is started with now: the token changes with every restart.
    pub fn env(&self, component: &str) -> Option<Vec<(String, String)>> {
        let token = self.shared.components.first_token(component)?;
        let mut environment = self.environment.get(component)?.clone();
        for (key, value) in &mut environment {
            if key == "SVCUID" {
                value.clone_from(&token);
            }
        }
        Some(environment)
    }
}
