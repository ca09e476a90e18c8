//! A Kamailio of its own for a test: any configuration, in a directory of the test.

use std::fs;
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::live::{PATIENCE, now, wait_until};

/// A Kamailio that runs.
pub struct Kamailio {
    directory: PathBuf,
    child: Child,
    rpc: Rpc,
}

/// Where a Kamailio listens for JSON-RPC: `dgram_socket` of its module jsonrpcs.
#[derive(Clone, Debug)]
pub enum Rpc {
    /// A UDP port of the loopback.
    Udp(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Rpc {
    /// As Kamailio and the bridge write it.
    pub fn place(&self) -> String {
        match self {
            Rpc::Udp(port) => format!("udp:127.0.0.1:{port}"),
            Rpc::Unix(path) => path.display().to_string(),
        }
    }

    /// What is answered to a datagram within a moment.
    fn ask(&self, question: &[u8]) -> Option<Vec<u8>> {
        let patience = Some(Duration::from_millis(500));
        let mut buffer = vec![0; 65_536];
        let length = match self {
            Rpc::Udp(port) => {
                let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
                socket.set_read_timeout(patience).ok()?;
                socket.send_to(question, ("127.0.0.1", *port)).ok()?;
                socket.recv(&mut buffer).ok()?
            }
            Rpc::Unix(path) => {
                let name = format!("ringfence-test-{}", fastrand::u64(..));
                let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).ok()?).ok()?;
                socket.set_read_timeout(patience).ok()?;
                socket.send_to(question, path).ok()?;
                socket.recv(&mut buffer).ok()?
            }
        };
        buffer.truncate(length);
        Some(buffer)
    }
}

impl Kamailio {
    /// Starts one with this configuration, and waits until it answers to JSON-RPC there, as the
    /// configuration has to say.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    pub fn started(directory: &Path, config: &str, rpc: Rpc) -> Kamailio {
        Kamailio::started_with(directory, config, &[], rpc)
    }

    /// The same, with definitions of the command line (`-A`).
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    pub fn started_with(directory: &Path, config: &str, definitions: &[String], rpc: Rpc) -> Kamailio {
        let file = directory.join("kamailio.cfg");
        fs::write(&file, config).expect("a directory that can be written");
        let log = fs::File::options().create(true).append(true).open(directory.join("kamailio.log"));
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(&file)
            .arg("-Y")
            .arg(directory)
            .arg("-w")
            .arg(directory)
            .args(definitions.iter().flat_map(|definition| ["-A", definition]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a directory that can be written"))
            // It has children of its own, which go with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "these tests need Kamailio ({error}); install it with: apt-get install kamailio \
                     kamailio-json-modules kamailio-extra-modules kamailio-radius-modules"
                )
            });
        let mut kamailio = Kamailio { directory: directory.to_owned(), child, rpc };
        let deadline = now() + PATIENCE;
        while kamailio.try_rpc("core.version", &json!([])).is_none() {
            let ended = kamailio.child.try_wait().expect("a child of ours").is_some();
            assert!(!ended && now() < deadline, "Kamailio does not come up:\n{}", kamailio.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        kamailio
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("kamailio.log")).unwrap_or_default()
    }

    /// The whole answer to a JSON-RPC call; `None` where there is none in a moment.
    pub fn try_rpc(&self, method: &str, parameters: &Value) -> Option<Value> {
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer = self.rpc.ask(question.to_string().as_bytes())?;
        serde_json::from_str(&String::from_utf8_lossy(&answer)).ok()
    }

    /// The states of all dialogs that have not ended (1 new, 2 ringing, 3 and 4 answered).
    pub fn dialogs(&self) -> Vec<u64> {
        let answer = self.try_rpc("dlg.list", &json!([])).expect("Kamailio answers");
        let dialogs = answer["result"].as_array().cloned().unwrap_or_default();
        let states = dialogs.iter().map(|dialog| dialog["state"].as_u64().expect("a state"));
        states.filter(|state| *state != 5).collect()
    }

    /// Waits until these are the states of its dialogs.
    pub fn wait_for_dialogs(&self, states: &[u64]) {
        wait_until(&format!("dialogs {states:?}"), || self.dialogs() == states);
    }

    /// How many calls are up, whose dialogs may be too long to be listed.
    pub fn answered(&self) -> Option<u64> {
        self.try_rpc("dlg.stats_active", &json!([]))?["result"]["ongoing"].as_u64()
    }

    /// Has it hang up a call that is up.
    pub fn end_dialog(&self, call_id: &str) {
        let answer = self.try_rpc("dlg.list", &json!([])).expect("Kamailio answers");
        let mut dialogs = answer["result"].as_array().expect("a list").iter();
        let dialog = dialogs.find(|dialog| dialog["call-id"] == call_id && dialog["state"] == 4);
        let dialog = dialog.unwrap_or_else(|| panic!("{call_id} is not up: {answer}"));
        let ended = self.try_rpc("dlg.end_dlg", &json!([dialog["h_entry"], dialog["h_id"]]));
        assert!(ended.as_ref().is_some_and(|answer| answer.get("error").is_none()), "{ended:?}");
    }

    /// Ends it as if the power failed.
    pub fn kill(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of Kamailio:\n{}", self.log());
        }
        self.kill();
    }
}
