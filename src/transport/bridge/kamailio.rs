//! Ends dialogs of Kamailio through its JSON-RPC, over datagrams (module `jsonrpcs`, transport 4).
//!
//! Dialogs are looked up by Call-ID with `dlg.list_match` and ended with `dlg.end_dlg`, which takes
//! the place of a dialog that was found. `dlg.dlg_list` would look into one bucket instead of all, but
//! shows only the last of several dialogs with one Call-ID. Whoever calls chooses the Call-ID, so a
//! second dialog under it must protect neither: all that are answered are ended, or, where a request has the
//! tags of one, that one. Only an answered dialog (state 3 or 4) can be ended by version 5.6.
//!
//! The order is given once for each: when its answer is lost, the dialogs are looked up again, not ended
//! again. `dlg.end_dlg` also says nothing of whether it could send its BYE, so that a call counts as
//! ended when its dialogs are gone.
//!
//! An answer that does not fit a datagram is not sent at all. So a look-up without an answer is repeated
//! for fewer dialogs: of those that are told the answered ones end, and make room for others.

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
    INVALID_ATTRIBUTE_VALUE, RESOURCES_UNAVAILABLE, SESSION_CONTEXT_NOT_FOUND, SESSION_CONTEXT_NOT_REMOVABLE,
};
use crate::service::escape::escape;
use crate::service::session_request::{CallToEnd, Refusal};

/// More than any datagram carries.
const ANSWER_BYTES_MAX: usize = 65_536;
/// Most dialogs that a look-up asks for; 0 is all. It is sent [`LOOKS_MAX`] times while it is waited for,
/// each time with the next of these: it changes nothing, and answers get lost or would be too long.
const LOOK_LIMITS: [usize; 5] = [0, 16, 1, 1, 1];
/// How often a look-up is sent.
const LOOKS_MAX: usize = 3;
/// Between two looks at dialogs that are being ended; each wait is twice the one before.
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
    fn end(&self, call: &CallToEnd) -> Result<(), Refusal> {
        let name = json_text(&call.call_id)
            .ok_or_else(|| Refusal::new(INVALID_ATTRIBUTE_VALUE, "a Call-ID with a zero in it cannot be named"))?;
        let mut orders = Orders::default();
        let mut limit_at = 0;
        let mut since = None;
        let mut wait = FIRST_WAIT;
        loop {
            let found = self.dialogs(&name, &call.call_id, limit_at)?;
            limit_at = found.limit_at;
            let (up, others): (Vec<&Dialog>, Vec<&Dialog>) =
                found.dialogs.iter().filter(|dialog| orders.is_up(dialog)).partition(|dialog| dialog.has(&call.tags));
            let up: Vec<Place> = up.into_iter().map(Dialog::place).collect();
            if up.is_empty() && found.are_all {
                return orders.outcome(match (&others[..], &found.dialogs[..]) {
                    ([_, ..], _) => Left::Others,
                    ([], [_, ..]) => Left::Unanswered,
                    ([], []) => Left::Nothing,
                });
            }
            let told = orders.told.len();
            self.tell(&mut orders, &up)?;
            if orders.told.len() > told {
                wait = FIRST_WAIT;
            }
            let since = since.get_or_insert_with(Stopwatch::start);
            if since.elapsed() >= self.patience {
                return Err(Refusal::new(RESOURCES_UNAVAILABLE, orders.why_not_over(&up)));
            }
            std::thread::sleep(wait);
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    fn knock(&self) -> Result<(), String> {
        match self.look(br#""ringfence""#, 0) {
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

/// What is left of the dialogs of a Call-ID, once none is left that is meant and can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Answered ones with other tags.
    Others,
    /// Only such as are not answered, or were over when they were to be told.
    Unanswered,
    /// None.
    Nothing,
}

/// What was told to end, of the dialogs of one call.
#[derive(Debug, Default)]
struct Orders {
    /// Those that were told, once each.
    told: Vec<Place>,
    /// Those that were over when they were to be told.
    gone: Vec<Place>,
    /// The answer to the latest order was lost.
    lost: Option<Failure>,
}

impl Orders {
    fn is_up(&self, dialog: &Dialog) -> bool {
        dialog.state.can_be_ended() && !self.gone.contains(&dialog.place())
    }

    /// What comes of it once no dialog is left that is meant and can be ended.
    fn outcome(&self, left: Left) -> Result<(), Refusal> {
        match (&self.told[..], &self.gone[..], left) {
            ([_, ..], _, _) => Ok(()),
            // Never 503 where a call of this name is up: whoever asked would take his call for over.
            ([], _, Left::Others) => {
                Err(Refusal::new(SESSION_CONTEXT_NOT_REMOVABLE, "a call of this Call-ID is up, but with other tags"))
            }
            ([], [_, ..], _) => Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "the call ended by itself")),
            ([], [], Left::Nothing) => Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "no call has this Call-ID")),
            ([], [], Left::Unanswered) => {
                Err(Refusal::new(SESSION_CONTEXT_NOT_REMOVABLE, "the call is not answered yet"))
            }
        }
    }

    fn why_not_over(&self, up: &[Place]) -> String {
        match &self.lost {
            Some(failure) => format!("{failure}, and the call is still there"),
            None if up.is_empty() => {
                "so many other calls, that ring or have other tags, have this Call-ID that no answer has room for more"
                    .into()
            }
            None => "the proxy was told to end the call, and neither side has answered its BYE yet".into(),
        }
    }
}

impl Kamailio {
    /// Tells each of these dialogs to end that was not told yet.
    fn tell(&self, orders: &mut Orders, up: &[Place]) -> Result<(), Refusal> {
        for place in up {
            if orders.told.contains(place) {
                continue;
            }
            let (h_entry, h_id) = place;
            match self.ask("dlg.end_dlg", &[format!("[{h_entry},{h_id}]").into_bytes()]) {
                Ok(_) => orders.told.push(*place),
                Err(Failure::Fault { code: NOT_FOUND, .. }) => orders.gone.push(*place),
                Err(failure @ Failure::Silent(_)) => {
                    orders.told.push(*place);
                    orders.lost = Some(failure);
                    // Who hangs is not asked for each of them.
                    break;
                }
                Err(failure) => return Err(unavailable(&failure)),
            }
        }
        Ok(())
    }

    /// The dialogs of a Call-ID that have not ended, as many as can be told: first asked for with this one
    /// of the limits.
    fn dialogs(&self, name: &[u8], call: &[u8], limit_at: usize) -> Result<Found, Refusal> {
        let (found, asked) = match self.look(name, limit_at) {
            Ok(found) => found,
            Err(Failure::Fault { code: NOT_FOUND, .. }) => return Ok(Found::default()),
            Err(failure) => return Err(unavailable(&failure)),
        };
        let dialogs: Vec<Dialog> = serde_json::from_value(found)
            .map_err(|error| Refusal::new(RESOURCES_UNAVAILABLE, format!("the answer has no dialogs: {error}")))?;
        let limit_at = limit_at.saturating_add(asked.saturating_sub(1)).min(LOOK_LIMITS.len() - LOOKS_MAX);
        let limit = LOOK_LIMITS.get(limit_at).copied().unwrap_or(0);
        let are_all = limit == 0 || dialogs.len() < limit;
        // Whatever was answered: no other call than this one is ended.
        let name = String::from_utf8_lossy(call);
        let is_meant = |dialog: &Dialog| dialog.call_id == name && dialog.state != State::DELETED;
        Ok(Found { dialogs: dialogs.into_iter().filter(is_meant).collect(), are_all, limit_at })
    }

    /// Looks a Call-ID up, first with this one of the limits; the result, and how often it was asked for.
    fn look(&self, name: &[u8], limit_at: usize) -> Result<(Value, usize), Failure> {
        let limits = LOOK_LIMITS.iter().skip(limit_at).take(LOOKS_MAX);
        let parameters = limits.map(|limit| {
            let end = if *limit == 0 { "]".to_owned() } else { format!(",{limit}]") };
            [br#"["callid","eq","#, name, end.as_bytes()].concat()
        });
        self.ask("dlg.list_match", &parameters.collect::<Vec<_>>())
    }

    /// Asks with each of these parameters in turn, until there is an answer; the result, and how often it
    /// asked.
    fn ask(&self, method: &str, each: &[Vec<u8>]) -> Result<(Value, usize), Failure> {
        let identifier = format!("{:016x}", unpredictable());
        let head = format!(r#"{{"jsonrpc":"2.0","id":"{identifier}","method":"{method}","params":"#);
        let socket = Link::open(&self.place).map_err(|error| self.silent(&error))?;
        let since = Stopwatch::start();
        let times = u32::try_from(each.len()).unwrap_or(u32::MAX).max(1);
        let between = self.patience / times;
        let mut until = Duration::ZERO;
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        for (asked, parameters) in (1..).zip(each) {
            let question = [head.as_bytes(), parameters, b"}"].concat();
            socket.send(&question).map_err(|error| self.silent(&error))?;
            until = if asked == each.len() { self.patience } else { until.saturating_add(between) };
            while let Some(left) = until.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
                let length = match socket.receive(&mut buffer, left) {
                    Ok(length) => length,
                    Err(error) if is_patience(&error) => continue,
                    Err(error) => return Err(self.silent(&error)),
                };
                if let Some(answer) = read_answer(buffer.get(..length).unwrap_or_default(), &identifier) {
                    return answer.map(|result| (result, asked));
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

/// Where Kamailio keeps a dialog: its `h_entry` and `h_id`.
type Place = (u32, u32);

/// The dialogs that a look-up found.
struct Found {
    dialogs: Vec<Dialog>,
    /// There are no others.
    are_all: bool,
    /// Which limit was answered.
    limit_at: usize,
}

impl Default for Found {
    fn default() -> Found {
        Found { dialogs: Vec::new(), are_all: true, limit_at: 0 }
    }
}

/// What is read of a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Dialog {
    h_entry: u32,
    h_id: u32,
    #[serde(rename = "call-id")]
    call_id: String,
    state: State,
    #[serde(default)]
    caller: Side,
    #[serde(default)]
    callee: Side,
}

/// What is read of a side of a dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Side {
    /// None of the callee's before the answer.
    tag: Option<String>,
}

impl Dialog {
    /// Whether these are its tags, or one of them, in either order; none are everybody's.
    fn has(&self, tags: &[Vec<u8>]) -> bool {
        // As the answer was read.
        let tags: Vec<_> = tags.iter().map(|tag| String::from_utf8_lossy(tag)).collect();
        let tags: Vec<_> = tags.iter().map(|tag| Some(&**tag)).collect();
        let (caller, callee) = (self.caller.tag.as_deref(), self.callee.tag.as_deref());
        match tags[..] {
            [] => true,
            [one] => one == caller || one == callee,
            [one, other, ..] => (one, other) == (caller, callee) || (one, other) == (callee, caller),
        }
    }

    fn place(&self) -> Place {
        (self.h_entry, self.h_id)
    }
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

    #[test]
    fn answered_dialogs_are_meant_and_those_that_ended_are_not() {
        let dialog = |h_id, state| Dialog {
            h_entry: 1,
            h_id,
            call_id: "a@b".into(),
            state: State(state),
            caller: Side::default(),
            callee: Side::default(),
        };
        let mut orders = Orders::default();
        assert!([3, 4].iter().all(|state| orders.is_up(&dialog(1, *state))));
        assert!(![1, 2, 5].iter().any(|state| orders.is_up(&dialog(1, *state))));
        let cause = |orders: &Orders, left| orders.outcome(left).err().map(|refusal| refusal.cause);
        assert_eq!(cause(&orders, Left::Nothing), Some(SESSION_CONTEXT_NOT_FOUND));
        assert_eq!(cause(&orders, Left::Unanswered), Some(SESSION_CONTEXT_NOT_REMOVABLE));
        assert_eq!(cause(&orders, Left::Others), Some(SESSION_CONTEXT_NOT_REMOVABLE));
        orders.gone.push((1, 7));
        assert!(!orders.is_up(&dialog(7, 4)) && orders.is_up(&dialog(8, 4)));
        assert_eq!(cause(&orders, Left::Unanswered), Some(SESSION_CONTEXT_NOT_FOUND));
        assert_eq!(cause(&orders, Left::Others), Some(SESSION_CONTEXT_NOT_REMOVABLE));
        orders.told.push((1, 8));
        assert_eq!([Left::Unanswered, Left::Others, Left::Nothing].map(|left| cause(&orders, left)), [None; 3]);
    }

    #[test]
    fn a_dialog_is_known_by_its_tags_in_either_order() {
        let text = r#"{"h_entry":1,"h_id":2,"call-id":"a@b","state":4,"caller":{"tag":"f"},"callee":{"tag":"t"}}"#;
        let dialog: Dialog = serde_json::from_str(text).unwrap();
        let has = |tags: &[&[u8]]| dialog.has(&tags.iter().map(|tag| tag.to_vec()).collect::<Vec<_>>());
        assert!(has(&[]) && has(&[b"f"]) && has(&[b"t"]) && has(&[b"f", b"t"]) && has(&[b"t", b"f"]));
        let ringing = text.replace("\"t\"", "null");
        assert!(serde_json::from_str::<Dialog>(&ringing).is_ok_and(|dialog| dialog.has(&[b"f".to_vec()])));
        assert!(!has(&[b"x"]) && !has(&[b"f", b"x"]) && !has(&[b"x", b"t"]) && !has(&[b"f", b"f"]) && !has(&[b"f\0"]));
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
