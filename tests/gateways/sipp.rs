//! sipp as a phone: a scenario file, an address of the loopback, one call.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::free_media_port;
use crate::live::wait_until;

/// A phone that is in a call, or waits for one.
pub struct Phone(Child);

impl Phone {
    /// One that is called at this port, and plays a scenario of `tests/gateways/sipp`.
    pub fn called(directory: &Path, scenario: &str, port: u16) -> Phone {
        Phone::play(directory, &stored(scenario), port, |_| {})
    }

    /// One that calls `number` through the proxy at this port, with a Call-ID of its own choice.
    pub fn calling(
        directory: &Path,
        scenario: &str,
        port: u16,
        proxy: u16,
        number: &str,
        call_id: impl AsRef<OsStr>,
    ) -> Phone {
        Phone::play(directory, &stored(scenario), port, |command| {
            command.arg(format!("127.0.0.1:{proxy}")).args(["-s", number, "-cid_str"]).arg(call_id.as_ref());
        })
    }

    /// One that plays a scenario that is written here; what it finds unexpected is in `name.err`.
    pub fn playing(directory: &Path, name: &str, scenario: &str, port: u16, more: impl FnOnce(&mut Command)) -> Phone {
        let file = directory.join(format!("{name}.xml"));
        fs::write(&file, scenario).expect("a directory that can be written");
        Phone::play(directory, &file, port, |command| {
            more(command);
            command.args(["-trace_err", "-error_file", &format!("{name}.err")]);
        })
    }

    fn play(directory: &Path, file: &Path, port: u16, more: impl FnOnce(&mut Command)) -> Phone {
        let mut command = Command::new("sipp");
        more(&mut command);
        let child = command
            .arg("-sf")
            .arg(file)
            .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-m", "1", "-nostdin"])
            // Nothing is said there. By itself it takes one that another takes at the same time.
            .args(["-mp", &free_media_port().to_string()])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Phone(child.unwrap_or_else(|error| {
            panic!("these tests need sipp ({error}); install it with: apt-get install sip-tester")
        }))
    }

    /// Waits until its scenario is over; whether all went as it expects.
    pub fn ended_well(&mut self) -> bool {
        let mut status = None;
        wait_until("the end of a call", || {
            status = self.has_ended();
            status.is_some()
        });
        status.is_some_and(|status| status.success())
    }

    /// How its scenario came out, where it is over.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child of ours")
    }

    /// The tag of one that calls (`calls.xml`).
    pub fn tag(&self) -> String {
        format!("caller{}", self.0.id())
    }

    /// Whether its call goes on.
    pub fn is_busy(&mut self) -> bool {
        self.has_ended().is_none()
    }
}

/// The path of a scenario of `tests/gateways/sipp`.
fn stored(scenario: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/gateways/sipp", scenario].iter().collect()
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
