//! A CPU profile of the API server, on request.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use latchkey_tests::control_plane::ControlPlane;
use latchkey_tests::wait;

/// The path of the profile. If it is not set, no profile is recorded.
const VARIABLE: &str = "LATCHKEY_BENCH_PROFILE";
/// The duration of the profile.
const SECONDS: Duration = Duration::from_mins(1);

/// A profile that is being recorded.
pub struct Profile(Option<Child>);

/// Starts a profile of the API server over the next minute, for `go tool pprof`, if requested.
pub fn begin(control_plane: &ControlPlane) -> Profile {
    Profile(std::env::var_os(VARIABLE).map(|path| {
        let file = File::create(PathBuf::from(path)).expect("a file for the profile");
        let mut kubectl = control_plane.program("kubectl");
        kubectl.args(["get", "--raw", &format!("/debug/pprof/profile?seconds={}", SECONDS.as_secs())]);
        kubectl.stdout(file).spawn().expect("kubectl")
    }))
}

impl Profile {
    /// Waits until it is complete.
    pub fn end(self) {
        if let Some(mut kubectl) = self.0 {
            wait::until_blocking_within(2 * SECONDS, "the profile", || match kubectl.try_wait() {
                Ok(Some(status)) => Ok(status),
                running => Err(running),
            });
        }
    }
}
