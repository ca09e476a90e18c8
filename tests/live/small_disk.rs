//! A file system of its own, small enough to be full soon.
//!
//! It is mounted in a mount namespace of the test's own, so that nobody else sees it and nothing is
//! left of it, however the test ends. For that the test runs itself once more, as a child.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::setting;

/// Tells the child that it is one.
const INSIDE: &str = "RINGFENCE_TEST_OWN_MOUNTS";

/// Whether this process may mount what it likes; where not, the test of this name has been run in
/// one that may, and has passed there.
///
/// # Panics
/// The test failed there, or this machine lets nobody mount.
pub fn may_mount(test: &str) -> bool {
    if setting(INSIDE).is_some() {
        return true;
    }
    let myself = std::env::current_exe().expect("a test has a file");
    let output = own_mounts()
        .arg(myself)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("unshare was there a moment ago");
    let said = said(&output);
    assert!(output.status.success() && said.contains("1 passed"), "with mounts of its own:\n{said}");
    false
}

/// `unshare` so that its command may mount: by right, or as root of a user namespace.
fn own_mounts() -> Command {
    let place = TempDir::new().expect("a directory for temporary files");
    let mut why = String::new();
    for flags in [["--mount"].as_slice(), &["--mount", "--user", "--map-root-user"]] {
        let mut tried = Command::new("unshare");
        tried.args(flags).args(mount(place.path(), 64)).stdin(Stdio::null());
        match tried.output() {
            Ok(output) if output.status.success() => {
                let mut command = Command::new("unshare");
                command.args(flags);
                return command;
            }
            Ok(output) => why = said(&output),
            Err(error) => why = format!("unshare: {error}"),
        }
    }
    panic!(
        "this test fills a disk and needs to mount a small one: run it as root with the right to mount, or where \
         `unshare --mount --user --map-root-user` is allowed ({})",
        why.trim()
    );
}

fn mount(place: &Path, kibibytes: u64) -> [String; 7] {
    let place = place.to_str().expect("the names of temporary files are text").to_owned();
    let options = format!("size={kibibytes}k,mode=0700");
    ["mount", "-t", "tmpfs", "-o", &options, "ringfence-test", &place].map(str::to_owned)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The file system; unmounted when it is dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one.
    ///
    /// # Panics
    /// It cannot be mounted; see [`may_mount`].
    pub fn new(kibibytes: u64) -> SmallDisk {
        let place = TempDir::new().expect("a directory for temporary files");
        let [program, arguments @ ..] = mount(place.path(), kibibytes);
        let output = Command::new(program).args(arguments).output().expect("mount was there a moment ago");
        assert!(output.status.success(), "{}", said(&output));
        SmallDisk(place)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets nobody write to a file or directory below it, root neither, as long as the result lives.
    ///
    /// # Panics
    /// It cannot be mounted; see [`may_mount`].
    pub fn read_only(&self, path: &Path) -> ReadOnly {
        for arguments in [["--bind"].as_slice(), &["-o", "remount,bind,ro"]] {
            let source = arguments.contains(&"--bind").then_some(path);
            let output = Command::new("mount").args(arguments).args(source).arg(path).output();
            let output = output.expect("mount was there a moment ago");
            assert!(output.status.success(), "{}", said(&output));
        }
        ReadOnly(path.to_owned())
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut filler =
            fs::File::options().create(true).append(true).open(self.filler()).expect("a file system of ours");
        // To the last byte: in blocks first, then by and by.
        for block in [65_536, 4_096, 1] {
            loop {
                match filler.write_all(&vec![1; block]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Makes room again.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).expect("a file of ours");
    }
}

/// A file or directory that nobody may write to.
pub struct ReadOnly(PathBuf);

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what a failed test has left open does not keep it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
