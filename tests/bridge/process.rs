//! The bridge as a child process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use crate::live::daemon::signal;
use crate::live::{PATIENCE, binary, now, wait_until};

pub const SECRET: &str = "testing123";

/// A bridge that runs.
pub struct Bridge {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// `ringfence bridge` with these words, a free port and the secret in the environment.
pub fn command(proxy: &str, more: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["bridge", proxy, "--listen", "127.0.0.1:0"]).args(more).env("RINGFENCE_BRIDGE_SECRET", SECRET);
    command
}

/// Runs one that ends by itself.
pub fn ended(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the binary was built for this test")
}

impl Bridge {
    /// One that obeys 127.0.0.1 beside a Kamailio with its JSON-RPC there.
    pub fn beside_kamailio(rpc: &str, more: &[&str]) -> Bridge {
        Bridge::start(command("kamailio", &[&["--from", "127.0.0.1", "--rpc", rpc], more].concat()))
    }

    /// Starts one and waits until it is ready.
    pub fn start(mut command: Command) -> Bridge {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let reader = std::thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            }
        });
        let (told, ready) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = told.send(line);
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let line = ready.recv_timeout(PATIENCE).expect("a line");
        let address = line.trim_end().strip_prefix("ready disconnect=").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line:?}; its log:\n{}", log.lock().unwrap()));
        Bridge { child, address, log, reader: Some(reader) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.log().contains(text));
    }

    pub fn tell_to_stop(&self) {
        signal(&self.child, "-TERM");
    }

    /// Stops it; its whole log, if it ended well.
    pub fn stopped(mut self) -> String {
        self.tell_to_stop();
        let deadline = now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            assert!(now() < deadline, "it does not stop; its log:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        self.reader.take().expect("not joined yet").join().expect("reads to the end");
        assert!(status.success(), "{status}; its log:\n{}", self.log());
        self.log()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the bridge:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
