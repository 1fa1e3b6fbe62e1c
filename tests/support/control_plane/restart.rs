//! Crashes of the control plane.

use super::{ControlPlane, start_api_server, start_etcd};

/// A program of the control plane that can crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The database of the API server.
    Etcd,
    /// The API server.
    ApiServer,
}

impl ControlPlane {
    /// Kills a part; requests fail until [`ControlPlane::start_again`].
    pub fn crash(&mut self, part: Part) {
        self.processes[part.place()].kill();
    }

    /// Starts a part again with its data, and waits until the API server is ready.
    pub async fn start_again(&mut self, part: Part) {
        self.processes[part.place()] = match part {
            Part::Etcd => start_etcd(&self.folder, self.etcd_port),
            Part::ApiServer => start_api_server(&self.folder, self.port, self.etcd_port),
        };
        self.wait_until_ready().await;
    }
}

impl Part {
    /// Its place among the processes.
    fn place(self) -> usize {
        match self {
            Self::Etcd => 0,
            Self::ApiServer => 1,
        }
    }
}
