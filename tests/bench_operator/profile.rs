//! A CPU profile of the API server, on request.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;

use latchkey_tests::control_plane::ControlPlane;

/// The path of the profile. Unset: no profile is taken.
const VARIABLE: &str = "LATCHKEY_BENCH_PROFILE";
const SECONDS: u32 = 60;

/// A profile that is being taken.
pub struct Profile(Option<Child>);

/// Starts a profile of the API server over the next minute, for `go tool pprof`, if requested.
pub fn begin(control_plane: &ControlPlane) -> Profile {
    Profile(std::env::var_os(VARIABLE).map(|path| {
        let file = File::create(PathBuf::from(path)).expect("a file for the profile");
        let mut kubectl = control_plane.program("kubectl");
        kubectl.args(["get", "--raw", &format!("/debug/pprof/profile?seconds={SECONDS}")]);
        kubectl.stdout(file).spawn().expect("kubectl")
    }))
}

impl Profile {
    /// Waits until it is there.
    pub fn end(self) {
        if let Some(mut kubectl) = self.0 {
            kubectl.wait().expect("kubectl ends");
        }
    }
}
