//! A Sippy B2BUA of its own for a test, and what it told by RADIUS.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::gateways::{free_sip_port, is_taken};
use crate::live::gateway::SECRET;
use crate::live::{PATIENCE, now};

/// A B2BUA that runs.
pub struct Sippy {
    directory: PathBuf,
    child: Child,
    port: u16,
}

/// One request that it made through its helper, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `AUTH` or `ACCT`.
    pub what: String,
    /// What it sent, by the names of its dictionary.
    pub sent: Vec<(String, String)>,
    /// What it was answered.
    pub answered: Vec<(String, String)>,
    /// 0 accepted, 1 refused, -1 no answer.
    pub result: i64,
}

impl Asked {
    /// The first value of what was sent under this name.
    pub fn sent(&self, name: &str) -> Option<&str> {
        self.sent.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// The python that has Sippy: `SIPPY_PYTHON`, or where tests/run puts it.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn python() -> PathBuf {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sippy/bin/python3");
    std::env::var_os("SIPPY_PYTHON").map_or_else(installed, PathBuf::from)
}

/// A file beside this one.
fn beside(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/sippy", name].iter().collect()
}

impl Sippy {
    /// Starts one that asks and tells this server as `docs/gateways/sippy.md` has it, and waits until it takes
    /// commands at its socket, which it opens last but for SIP. `more` are further options.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    pub fn started(directory: &Path, auth: SocketAddr, acct: SocketAddr, more: &[&str]) -> Sippy {
        let python = python();
        let has_it = Command::new(&python).args(["-c", "import sippy.b2bua"]).stdin(Stdio::null()).output();
        assert!(
            has_it.as_ref().is_ok_and(|output| output.status.success()),
            "these tests need Sippy B2BUA 2.5.0 of PyPI at {} ({has_it:?}); install it with: python3 -m venv \
             target/sippy && target/sippy/bin/pip install -r tests/sippy/requirements.txt, or let SIPPY_PYTHON name \
             the python that has it",
            python.display()
        );
        let (servers, transcript) = (directory.join("radiusclient.conf"), directory.join("transcript"));
        let settings =
            format!("authserver {auth}\nacctserver {acct}\nsecret {SECRET}\ntranscript {}\n", transcript.display());
        for (path, text) in [(&servers, settings.as_str()), (&transcript, "")] {
            fs::write(path, text).expect("a directory that can be written");
        }
        let log = fs::File::create(directory.join("b2bua.log")).expect("a directory that can be written");
        let port = free_sip_port();
        let child = Command::new(&python)
            .arg(beside("b2bua.py"))
            .args(["--foreground=on", "--sip_address=127.0.0.1", &format!("--sip_port={port}")])
            .args(["--auth_enable=on", "--acct_enable=on", "--start_acct_enable=on", "--digest_auth=off"])
            .arg("--max_radiusclients=4")
            .arg(format!("--radiusclient={}", beside("radiusclient.py").display()))
            .arg(format!("--radiusclient.conf={}", servers.display()))
            .arg(format!("--b2bua_socket={}", directory.join("b2bua.sock").display()))
            .args(more)
            .current_dir(directory)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("SIPLOG_BEND", "stderr")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("open"))
            .stderr(log)
            // It has children of its own, which go with it.
            .process_group(0)
            .spawn()
            .expect("it ran a moment ago");
        let mut sippy = Sippy { directory: directory.to_owned(), child, port };
        let deadline = now() + PATIENCE;
        // SIP comes after the socket.
        while UnixStream::connect(sippy.socket()).is_err() || !is_taken(port) {
            let ended = sippy.child.try_wait().expect("a child of ours").is_some();
            assert!(!ended && now() < deadline, "Sippy does not come up:\n{}", sippy.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        sippy
    }

    /// Its command socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("b2bua.sock")
    }

    /// Its port for SIP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("b2bua.log")).unwrap_or_default()
    }

    /// What it has asked and told so far.
    pub fn asked(&self) -> Vec<Asked> {
        let text = fs::read_to_string(self.directory.join("transcript")).expect("it was there at the start");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(|line| read(&line)).collect()
    }
}

fn read(line: &Value) -> Asked {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let pairs = |value: &Value| {
        let pairs = value.as_array().expect("pairs").iter();
        pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    };
    Asked {
        what: text(&line["what"]),
        sent: pairs(&line["sent"]),
        answered: pairs(&line["answered"]),
        result: line["result"].as_i64().expect("a number"),
    }
}

impl Drop for Sippy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of Sippy:\n{}\nwhat it asked and told: {:#?}", self.log(), self.asked());
        }
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
