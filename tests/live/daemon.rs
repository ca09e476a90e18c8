//! The real binary as a child process: `ringfence serve` in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use super::http::Server;
use super::{PATIENCE, binary, free_udp_ports, now, wait_until};

/// A daemon that is running, or was.
pub struct Daemon {
    directory: PathBuf,
    child: Option<Child>,
    auth: SocketAddr,
    acct: SocketAddr,
    status: Option<SocketAddr>,
}

impl Daemon {
    /// A daemon in this directory, on ports of the loopback that stay its own when it is started
    /// again; `more` is added to its configuration. It is not started yet.
    pub fn new(directory: &Path, more: &str) -> Daemon {
        let [auth, acct] = free_udp_ports();
        let config = format!(
            "{more}\n\
             [radius]\nauth = [\"127.0.0.1:{auth}\"]\nacct = [\"127.0.0.1:{acct}\"]\n\
             [status]\nlisten = \"127.0.0.1:0\"\n"
        );
        fs::write(directory.join("ringfence.toml"), config).expect("a directory that can be written");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Daemon { directory: directory.into(), child: None, auth: local(auth), acct: local(acct), status: None }
    }

    /// One that is up.
    pub fn started(directory: &Path, more: &str) -> Daemon {
        let mut daemon = Daemon::new(directory, more);
        daemon.start();
        daemon
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// It ends instead, or says nothing.
    pub fn start(&mut self) {
        let ready = self.spawn();
        match ready.recv_timeout(PATIENCE) {
            Ok(line) => self.status = Some(address_in(&line, "status")),
            Err(_) => panic!("the daemon did not become ready; its log:\n{}", self.log()),
        }
    }

    /// Starts it without waiting. The line in which it says that it is ready comes by the channel,
    /// which is cut where the daemon ends before.
    pub fn spawn(&mut self) -> mpsc::Receiver<String> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("stderr"))
            .expect("a directory that can be written");
        let mut child = Command::new(binary())
            .args(["serve", "--config", "ringfence.toml"])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary was built for this test");
        let stdout = child.stdout.take().expect("piped");
        self.child = Some(child);
        let (told, ready) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the daemon never writes into a closed pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("ready") {
                    let _ = told.send(line);
                }
            }
        });
        ready
    }

    /// Kills it as the power fails.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        signal(&child, "-TERM");
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(now() < deadline, "it does not stop; its log:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child of ours").is_none())
    }

    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn auth(&self) -> SocketAddr {
        self.auth
    }

    pub fn acct(&self) -> SocketAddr {
        self.acct
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("ringfence.sock")
    }

    /// The API.
    pub fn api(&self) -> Server {
        Server::Socket(self.socket())
    }

    /// The status port.
    pub fn status(&self) -> Server {
        Server::Tcp(self.status.expect("ready"))
    }

    /// Makes the parties, tariffs and gateways as a setup file says.
    pub fn apply(&self, setup: &str) {
        let setup: Value = toml::from_str(setup).expect("the setup of a test");
        self.api().post("/api/v1/apply", &json!({ "setup": setup }));
    }

    /// A metric by its name with its labels, 0 where there is none.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.status().request("GET", "/metrics", None).body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{name} {value}")))
    }

    /// The sum of all metrics whose names with labels begin so, such as `ringfence_drops_total{`.
    pub fn metrics_sum(&self, beginning: &str) -> u64 {
        let text = self.status().request("GET", "/metrics", None).body;
        let values = text.lines().filter(|line| line.starts_with(beginning)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{beginning} {value}"))).sum()
    }

    /// What it holds in memory (VmRSS).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).expect("running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells VmRSS");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kibibytes * 1024
    }

    /// Runs `ringfence` with the socket of this daemon.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("the binary was built for this test")
    }

    /// One member of a customer or reseller, such as `/customers/acme`, as micro-units.
    pub fn money(&self, party: &str, member: &str) -> i64 {
        let view = self.api().get(&format!("/api/v1{party}"));
        super::micros(view[member].as_str().unwrap_or_else(|| panic!("{party} has no {member}: {view}")))
    }

    /// Waits for call records, which are written behind the replies.
    pub fn wait_for_cdrs(&self, filter: &str, count: usize) -> Vec<Value> {
        let path = format!("/api/v1/cdrs?{filter}");
        wait_until(&format!("{count} records of {filter}"), || self.api().all(&path, "cdrs").len() >= count);
        self.api().all(&path, "cdrs")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
        self.kill();
    }
}

/// Sends a signal by its name (`-TERM`).
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill {name}");
}

/// `name=ADDRESS` in the line that says that the daemon is ready.
fn address_in(line: &str, name: &str) -> SocketAddr {
    let address = line
        .split([' ', ','])
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {name}= in {line:?}"));
    address.parse().unwrap_or_else(|error| panic!("{name} in {line:?}: {error}"))
}
