//! A radsecproxy of its own for a test, on the loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::live::gateway::{Gateway, SECRET};
use crate::live::{PATIENCE, free_udp_ports, now};

/// Its secret with the server behind it: another than with its clients, so that nothing is passed on as it came.
pub const UPSTREAM: &str = "upstream1";

/// A proxy that runs.
pub struct Radsecproxy {
    child: Child,
    log: PathBuf,
    auth: SocketAddr,
    acct: SocketAddr,
}

impl Radsecproxy {
    /// Starts one before these two ports of a server, and waits until it says that it is up.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    pub fn started(directory: &Path, server_auth: SocketAddr, server_acct: SocketAddr) -> Radsecproxy {
        let [auth, acct] = free_udp_ports().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (config, log) = (directory.join("radsecproxy.conf"), directory.join("radsecproxy.log"));
        let server = |name: &str, to: SocketAddr| {
            format!("server {name} {{\n host {}\n port {}\n type udp\n secret {UPSTREAM}\n}}\n", to.ip(), to.port())
        };
        let text = format!(
            "ListenUDP {auth}\nListenUDP {acct}\nSourceUDP {}\nLogLevel 2\nLogDestination file://{}\n\
             client gateways {{\n host 127.0.0.0/8\n type udp\n secret {SECRET}\n}}\n{}{}\
             realm * {{\n server auth\n accountingServer acct\n}}\n",
            server_auth.ip(),
            log.display(),
            server("auth", server_auth),
            server("acct", server_acct),
        );
        fs::write(&config, text).expect("a directory that can be written");
        let child = Command::new("radsecproxy")
            .args(["-f", "-c"])
            .arg(&config)
            .arg("-i")
            .arg(directory.join("radsecproxy.pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs radsecproxy ({error}); install it with: apt-get install radsecproxy")
            });
        let mut proxy = Radsecproxy { child, log, auth, acct };
        let mut gateway = Gateway::new(1);
        let deadline = now() + PATIENCE;
        // It answers these itself.
        for port in [auth, acct] {
            let status = gateway.status_server();
            while gateway.ask(port, &status, Duration::from_millis(100), Duration::from_millis(100)).is_none() {
                let ended = proxy.child.try_wait().expect("a child of ours").is_some();
                assert!(!ended && now() < deadline, "radsecproxy does not come up:\n{}", proxy.log());
            }
        }
        proxy
    }

    pub fn auth(&self) -> SocketAddr {
        self.auth
    }

    pub fn acct(&self) -> SocketAddr {
        self.acct
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Radsecproxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of radsecproxy:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
