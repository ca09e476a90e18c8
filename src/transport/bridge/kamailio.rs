//! Ends dialogs of Kamailio through its JSON-RPC, over datagrams (module `jsonrpcs`, transport 4).
//!
//! A dialog is looked up by Call-ID with `dlg.list_match` and ended with `dlg.end_dlg`, which takes
//! the place of the one dialog that was found. `dlg.dlg_list` would look into one bucket instead of
//! all, but shows only the last of several dialogs with one Call-ID, and whoever calls chooses the
//! Call-ID. Only an answered dialog (state 3 or 4) can be ended by version 5.6.
//!
//! The order is given once: when its answer is lost, the dialog is looked up again, not ended again.
//! `dlg.end_dlg` also says nothing of whether it could send its BYE, so that a call counts as ended
//! when the dialog is gone.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use serde::Deserialize;
use serde_json::Value;

use super::Door;
use crate::clock::Stopwatch;
use crate::domain::error_cause::{
    INVALID_ATTRIBUTE_VALUE, MULTIPLE_SESSION_SELECTION_UNSUPPORTED, RESOURCES_UNAVAILABLE, SESSION_CONTEXT_NOT_FOUND,
    SESSION_CONTEXT_NOT_REMOVABLE,
};
use crate::service::escape::escape;
use crate::service::session_request::Refusal;

/// More than any datagram carries.
const ANSWER_BYTES_MAX: usize = 65_536;
/// How often a look-up is sent while it is waited for: it changes nothing, and datagrams get lost.
const ASKS_MAX: u32 = 3;
/// Between two looks at a dialog that is being ended; each wait is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// The code of an answer that says: there is no such dialog.
const NOT_FOUND: i64 = 404;

/// Where Kamailio's JSON-RPC is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcPlace {
    /// `dgram_socket` is `udp:HOST:PORT`.
    Udp(SocketAddr),
    /// `dgram_socket` is a path.
    Unix(PathBuf),
}

/// A Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    place: RpcPlace,
    patience: Duration,
}

impl Kamailio {
    /// The one behind this place; it has so long for each question.
    pub fn new(place: RpcPlace, patience: Duration) -> Kamailio {
        Kamailio { place, patience }
    }
}

impl Door for Kamailio {
    fn end(&self, call: &[u8]) -> Result<(), Refusal> {
        let name = json_text(call)
            .ok_or_else(|| Refusal::new(INVALID_ATTRIBUTE_VALUE, "a Call-ID with a zero in it cannot be named"))?;
        let dialog = the_one(&self.dialogs(&name, call)?)?;
        let place = format!("[{},{}]", dialog.h_entry, dialog.h_id);
        let told = self.ask("dlg.end_dlg", place.as_bytes(), 1);
        match &told {
            Ok(_) | Err(Failure::Silent(_)) => {}
            Err(Failure::Fault { code: NOT_FOUND, .. }) => {
                return Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "the call ended by itself"));
            }
            Err(failure) => return Err(unavailable(failure)),
        }
        self.wait_for_end(&name, call, dialog, told.err().as_ref())
    }

    fn knock(&self) -> Result<(), String> {
        match self.ask("dlg.list_match", br#"["callid","eq","ringfence"]"#, ASKS_MAX) {
            Ok(_) | Err(Failure::Fault { code: NOT_FOUND, .. }) => Ok(()),
            Err(failure @ Failure::Fault { .. }) => {
                Err(format!("{failure}; is the module dialog of Kamailio 5.6 or later loaded?"))
            }
            Err(failure @ Failure::Silent(_)) => {
                Err(format!("{failure}; is it up, and dgram_socket of its module jsonrpcs this place?"))
            }
        }
    }
}

impl Kamailio {
    /// All dialogs of a Call-ID that have not ended.
    fn dialogs(&self, name: &[u8], call: &[u8]) -> Result<Vec<Dialog>, Refusal> {
        let parameters = [br#"["callid","eq","#, name, b"]"].concat();
        let found = match self.ask("dlg.list_match", &parameters, ASKS_MAX) {
            Ok(found) => found,
            Err(Failure::Fault { code: NOT_FOUND, .. }) => return Ok(Vec::new()),
            Err(failure) => return Err(unavailable(&failure)),
        };
        let dialogs: Vec<Dialog> = serde_json::from_value(found)
            .map_err(|error| Refusal::new(RESOURCES_UNAVAILABLE, format!("the answer has no dialogs: {error}")))?;
        // Whatever was answered: no other call than this one is ended.
        let name = String::from_utf8_lossy(call);
        Ok(dialogs.into_iter().filter(|dialog| dialog.call_id == name && dialog.state != State::DELETED).collect())
    }

    /// Waits until a dialog that was told to end is gone.
    fn wait_for_end(&self, name: &[u8], call: &[u8], dialog: Dialog, lost: Option<&Failure>) -> Result<(), Refusal> {
        let since = Stopwatch::start();
        let mut wait = FIRST_WAIT;
        loop {
            let dialogs = self.dialogs(name, call)?;
            if !dialogs.iter().any(|other| (other.h_entry, other.h_id) == (dialog.h_entry, dialog.h_id)) {
                return Ok(());
            }
            if since.elapsed() >= self.patience {
                let why = match lost {
                    Some(failure) => format!("{failure}, and the call is still there"),
                    None => "the proxy was told to end the call, and neither side has answered its BYE yet".to_owned(),
                };
                return Err(Refusal::new(RESOURCES_UNAVAILABLE, why));
            }
            std::thread::sleep(wait);
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// Asks, up to `asks_max` times, and gives the result.
    fn ask(&self, method: &str, parameters: &[u8], asks_max: u32) -> Result<Value, Failure> {
        let identifier = format!("{:016x}", unpredictable());
        let head = format!(r#"{{"jsonrpc":"2.0","id":"{identifier}","method":"{method}","params":"#);
        let question = [head.as_bytes(), parameters, b"}"].concat();
        let socket = Link::open(&self.place).map_err(|error| self.silent(&error))?;
        let since = Stopwatch::start();
        let between = self.patience / asks_max.max(1);
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        for ask in 1..=asks_max {
            socket.send(&question).map_err(|error| self.silent(&error))?;
            let until = if ask == asks_max { self.patience } else { between.saturating_mul(ask) };
            while let Some(left) = until.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
                let length = match socket.receive(&mut buffer, left) {
                    Ok(length) => length,
                    Err(error) if is_patience(&error) => continue,
                    Err(error) => return Err(self.silent(&error)),
                };
                if let Some(answer) = read_answer(buffer.get(..length).unwrap_or_default(), &identifier) {
                    return answer;
                }
            }
        }
        let why = format!("no answer within {} ms", self.patience.as_millis());
        Err(self.silent(&io::Error::new(ErrorKind::TimedOut, why)))
    }

    fn silent(&self, error: &io::Error) -> Failure {
        Failure::Silent(format!("Kamailio at {}: {error}", self.place))
    }
}

impl std::fmt::Display for RpcPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RpcPlace::Udp(address) => write!(f, "udp:{address}"),
            RpcPlace::Unix(path) => f.write_str(&escape(path.as_os_str().as_encoded_bytes())),
        }
    }
}

/// Why a question has no result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Kamailio says no.
    #[error("Kamailio answers {code} {}", escape(message.as_bytes()))]
    Fault { code: i64, message: String },
    /// Kamailio says nothing.
    #[error("{0}")]
    Silent(String),
}

fn unavailable(failure: &Failure) -> Refusal {
    Refusal::new(RESOURCES_UNAVAILABLE, failure.to_string())
}

// -------------------------------------------------------------------------------- dialogs

/// What is read of a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Dialog {
    h_entry: u32,
    h_id: u32,
    #[serde(rename = "call-id")]
    call_id: String,
    state: State,
}

/// The state of a dialog, by Kamailio's numbers: 1 unconfirmed, 2 early, 3 answered and not
/// acknowledged, 4 answered, 5 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct State(u8);

impl State {
    const DELETED: State = State(5);

    fn can_be_ended(self) -> bool {
        matches!(self.0, 3 | 4)
    }
}

/// The dialog that is meant, of all that have the Call-ID and have not ended.
fn the_one(dialogs: &[Dialog]) -> Result<Dialog, Refusal> {
    let mut answered = dialogs.iter().filter(|dialog| dialog.state.can_be_ended());
    match (answered.next(), answered.next()) {
        (Some(dialog), None) => Ok(dialog.clone()),
        (Some(_), Some(_)) => {
            Err(Refusal::new(MULTIPLE_SESSION_SELECTION_UNSUPPORTED, "several calls have this Call-ID"))
        }
        (None, _) if dialogs.is_empty() => Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "no call has this Call-ID")),
        (None, _) => Err(Refusal::new(SESSION_CONTEXT_NOT_REMOVABLE, "the call is not answered yet")),
    }
}

// -------------------------------------------------------------------------------- JSON

/// Bytes as a text of JSON. Those that are no UTF-8 stay as they are, as Kamailio takes and compares
/// them: a caller must not become safe from us by a strange Call-ID. A zero would end the text there.
fn json_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![b'"'];
    for byte in bytes {
        match byte {
            0 => return None,
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            control if *control < 0x20 => text.extend(format!("\\u{control:04x}").as_bytes()),
            plain => text.push(*plain),
        }
    }
    text.push(b'"');
    Some(text)
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    result: Option<Value>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    #[serde(default)]
    message: String,
}

/// What a datagram answers to the question with this identifier; `None`: nothing.
fn read_answer(datagram: &[u8], identifier: &str) -> Option<Result<Value, Failure>> {
    // Names of callers may be in it, in whatever encoding.
    let text = String::from_utf8_lossy(datagram);
    let answer: Answer = serde_json::from_str(&text).ok()?;
    if answer.id.as_deref() != Some(identifier) {
        return None;
    }
    match (answer.error, answer.result) {
        (Some(Fault { code, message }), _) => Some(Err(Failure::Fault { code, message })),
        (None, Some(result)) => Some(Ok(result)),
        (None, None) => None,
    }
}

/// A number that nobody can guess: who can send to our socket must not answer for Kamailio.
fn unpredictable() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    // Keyed by the system's randomness (SipHash).
    RandomState::new().hash_one(0)
}

// -------------------------------------------------------------------------------- sockets

/// A socket of ours for one question.
enum Link<'a> {
    Udp(UdpSocket, SocketAddr),
    Unix(UnixDatagram, &'a PathBuf),
}

impl Link<'_> {
    fn open(place: &RpcPlace) -> io::Result<Link<'_>> {
        match place {
            RpcPlace::Udp(address) => {
                let ours: IpAddr = match (address.ip().is_loopback(), address) {
                    (true, _) => address.ip(),
                    (false, SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
                    (false, SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((ours, 0))?;
                // Not connected, since some versions answer from another port; then only this way the
                // kernel tells that nobody listens.
                match address {
                    SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
                    SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
                }
                Ok(Link::Udp(socket, *address))
            }
            RpcPlace::Unix(path) => {
                // An abstract name: Kamailio needs no permission on a file to answer.
                let name = format!("ringfence-bridge-{:016x}", unpredictable());
                let socket = UnixDatagram::bind_addr(&UnixAddress::from_abstract_name(name)?)?;
                Ok(Link::Unix(socket, path))
            }
        }
    }

    fn send(&self, question: &[u8]) -> io::Result<()> {
        match self {
            Link::Udp(socket, to) => socket.send_to(question, to).map(drop),
            Link::Unix(socket, path) => {
                // A full queue of a proxy that hangs must not hold us.
                socket.set_nonblocking(true)?;
                let sent = socket.send_to(question, path).map(drop);
                socket.set_nonblocking(false)?;
                sent
            }
        }
    }

    /// Waits so long for a datagram; what comes from elsewhere has no length.
    fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        match self {
            Link::Udp(socket, to) => {
                socket.set_read_timeout(Some(patience))?;
                let (length, from) = socket.recv_from(buffer)?;
                Ok(if from.ip() == to.ip() { length } else { 0 })
            }
            Link::Unix(socket, _) => {
                socket.set_read_timeout(Some(patience))?;
                socket.recv(buffer)
            }
        }
    }
}

/// Whether waiting came to nothing; it may go on.
fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(h_id: u32, state: u8) -> Dialog {
        Dialog { h_entry: 1, h_id, call_id: "a@b".into(), state: State(state) }
    }

    fn cause(dialogs: &[Dialog]) -> u32 {
        the_one(dialogs).expect_err("refused").cause
    }

    #[test]
    fn the_answered_dialog_is_meant() {
        for state in [3, 4] {
            assert_eq!(the_one(&[dialog(1, state)]), Ok(dialog(1, state)));
            // Who rings under the name of a call that is up does not keep it from being ended.
            assert_eq!(the_one(&[dialog(1, 1), dialog(2, state), dialog(3, 2)]), Ok(dialog(2, state)));
        }
        assert_eq!(cause(&[]), SESSION_CONTEXT_NOT_FOUND);
        assert_eq!(cause(&[dialog(1, 1), dialog(2, 2)]), SESSION_CONTEXT_NOT_REMOVABLE);
        assert_eq!(cause(&[dialog(1, 4), dialog(2, 3)]), MULTIPLE_SESSION_SELECTION_UNSUPPORTED);
    }

    #[test]
    fn a_name_stays_inside_its_quotes() {
        let text = |bytes: &[u8]| json_text(bytes).map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(text(b"a@b").as_deref(), Some("\"a@b\""));
        assert_eq!(text(br#"x","evil":"y\"#).as_deref(), Some(r#""x\",\"evil\":\"y\\""#));
        assert_eq!(text(b"a\r\n\x1f").as_deref(), Some(r#""a\u000d\u000a\u001f""#));
        assert_eq!(text(b"a\0b"), None);
        assert_eq!(json_text(b"\xff").as_deref(), Some(&b"\"\xff\""[..]), "as the caller sent it");
        for bytes in [&b"plain"[..], br#""\""#, b"\x01\t ", "é".as_bytes()] {
            let read: String = serde_json::from_slice(&json_text(bytes).unwrap()).unwrap();
            assert_eq!(read.as_bytes(), bytes);
        }
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        let read = |text: &str| read_answer(text.as_bytes(), "17");
        assert!(read(r#"{"id":"18","result":[]}"#).is_none());
        assert!(read(r#"{"id":17,"result":[]}"#).is_none());
        assert!(read(r#"{"id":"17"}"#).is_none());
        assert!(read("garbage").is_none() && read("").is_none());
        assert!(read(&"[".repeat(60_000)).is_none(), "however deep");
        assert!(matches!(read(r#"{"id":"17","result":[]}"#), Some(Ok(_))));
        let fault = read(r#"{"id":"17","error":{"code":404,"message":"Not found"}}"#);
        assert!(matches!(fault, Some(Err(Failure::Fault { code: 404, .. }))));
    }

    #[test]
    fn identifiers_differ() {
        assert_ne!(unpredictable(), unpredictable());
    }
}
