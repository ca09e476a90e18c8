//! radclient of FreeRADIUS as a gateway.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// What radclient received, reply by reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `Access-Accept` and so on.
    pub code: String,
    /// Names and values as radclient prints them, without quotation marks.
    pub attributes: Vec<(String, String)>,
}

impl Reply {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn seconds(&self) -> Option<u64> {
        self.attribute("Session-Timeout").map(|value| value.parse().expect("a number"))
    }
}

/// Sends one request `times` times, each time as a packet of its own, and gives all replies that
/// radclient accepts: it checks the secret, the authenticators and the identifiers.
///
/// # Panics
/// There is no radclient.
pub fn send(server: SocketAddr, kind: &str, secret: &str, times: u32, attributes: &str) -> Vec<Reply> {
    let mut child = Command::new("radclient")
        .args(["-x", "-r", "1", "-t", "3", "-c", &times.to_string()])
        .args([&server.to_string(), kind, secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "these tests need radclient of FreeRADIUS ({error}); install it with: \
                 apt-get install freeradius-utils"
            )
        });
    // Dropped at the end of the statement, which closes it: radclient reads to the end.
    child.stdin.take().expect("piped").write_all(attributes.as_bytes()).expect("radclient reads");
    let output = child.wait_with_output().expect("a child of ours");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !errors.contains("rror") || errors.contains("No reply"),
        "radclient cannot send this: {errors}\n{attributes}"
    );
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(text: &str) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut is_reply = false;
    for line in text.lines() {
        if let Some(attribute) = line.strip_prefix('\t') {
            if let (true, Some(reply), Some((name, value))) =
                (is_reply, replies.last_mut(), attribute.split_once(" = "))
            {
                reply.attributes.push((name.to_owned(), value.trim_matches('"').to_owned()));
            }
            continue;
        }
        is_reply = line.starts_with("Received ");
        if is_reply {
            let code = line.split(' ').nth(1).unwrap_or_default().to_owned();
            replies.push(Reply { code, attributes: Vec::new() });
        }
    }
    replies
}
