//! SIP as it is written: for what no phone says.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::live::{PATIENCE, now};

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(700);

/// One at an end of a call, who writes what he likes.
pub struct Party {
    socket: UdpSocket,
    proxy: SocketAddr,
    user: String,
    heard: RefCell<Heard>,
}

/// What one has heard, repetitions once.
#[derive(Default)]
struct Heard {
    messages: HashSet<String>,
    /// In short.
    in_order: Vec<String>,
}

/// A message of SIP.
#[derive(Clone, Debug)]
pub struct Message {
    text: String,
    from: SocketAddr,
}

/// A dialog as its caller has it, or as he pretends to.
#[derive(Clone, Debug)]
pub struct Dialog {
    pub call_id: String,
    /// The whole of From, with the tag.
    pub from: String,
    /// The whole of To, with the tag if there is one.
    pub to: String,
    /// Where requests go in the end.
    pub target: String,
    pub routes: Vec<String>,
}

impl Party {
    pub fn new(host: Ipv4Addr, proxy: u16, user: &str) -> Party {
        let socket = UdpSocket::bind((host, 0)).expect("Linux has all of 127.0.0.0/8");
        let proxy = (Ipv4Addr::LOCALHOST, proxy).into();
        Party { socket, proxy, user: user.into(), heard: RefCell::default() }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().expect("bound").port()
    }

    /// Where it is reached.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.socket.local_addr().expect("bound"))
    }

    /// A call to the one at this port, which does not exist yet.
    pub fn dialog(&self, callee: u16, call_id: &str, tag: &str) -> Dialog {
        let target = format!("sip:4930{callee}@{}", self.proxy);
        Dialog {
            call_id: call_id.into(),
            from: format!("<{}>;tag={tag}", self.uri()),
            to: format!("<{target}>"),
            target,
            routes: Vec::new(),
        }
    }

    /// Sends a request of a dialog to the proxy; its branch, by which it is cancelled or acknowledged.
    pub fn requests(&self, method: &str, cseq: u32, dialog: &Dialog, more: &str) -> String {
        let branch = format!("z9hG4bK{:016x}", fastrand::u64(..));
        self.requests_by(&branch, method, cseq, dialog, more);
        branch
    }

    /// The same with a branch that was there before.
    pub fn requests_by(&self, branch: &str, method: &str, cseq: u32, dialog: &Dialog, more: &str) {
        let Dialog { call_id, from, to, target, routes } = dialog;
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let contact = if more.contains("Contact:") { String::new() } else { format!("Contact: <{}>\r\n", self.uri()) };
        let (local, number) = (self.socket.local_addr().expect("bound"), method);
        self.sends(
            &format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch}\r\nFrom: {from}\r\nTo: {to}\r\n\
                 {routes}Call-ID: {call_id}\r\nCSeq: {cseq} {number}\r\n{contact}Max-Forwards: 70\r\n{more}\
                 Content-Length: 0\r\n\r\n"
            ),
            self.proxy,
        );
    }

    /// Answers to a request; `tag` is set where it has none in To. `more` may end with a Content-Length and a body.
    pub fn answers(&self, request: &Message, status: &str, tag: &str, more: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.text.lines() {
            let is_to = line.starts_with("To:");
            if is_to && !line.contains(";tag=") {
                text += &format!("{line};tag={tag}\r\n");
            } else if is_to
                || ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|name| line.starts_with(name))
            {
                text += &format!("{line}\r\n");
            }
        }
        if !more.contains("Contact:") {
            text += &format!("Contact: <{}>\r\n", self.uri());
        }
        let end = if more.contains("Content-Length:") { "" } else { "Content-Length: 0\r\n\r\n" };
        self.sends(&format!("{text}{more}{end}"), request.from);
    }

    pub fn sends(&self, text: &str, to: SocketAddr) {
        self.socket.send_to(text.as_bytes(), to).expect("loopback takes it");
    }

    /// Waits for a message that begins so; others, such as repetitions, are passed over.
    ///
    /// # Panics
    /// It does not come, or a final answer comes in its place.
    pub fn hears(&self, start: &str) -> Message {
        let deadline = now() + PATIENCE;
        let mut heard = Vec::new();
        while now() < deadline {
            let Some(message) = self.receives(Duration::from_millis(100)) else { continue };
            if message.text.starts_with(start) {
                return message;
            }
            heard.push(message.first_line().to_owned());
        }
        panic!("{}: not {start:?} but {heard:?}", self.user);
    }

    /// Waits for the final answer to the request with this number; its first line.
    pub fn final_answer(&self, cseq: u32, method: &str) -> Message {
        let end = format!("{cseq} {method}");
        let deadline = now() + PATIENCE;
        let mut heard = Vec::new();
        while now() < deadline {
            let Some(message) = self.receives(Duration::from_millis(100)) else { continue };
            let is_final = message.text.starts_with("SIP/2.0 ") && !message.text.starts_with("SIP/2.0 1");
            if is_final && message.header("CSeq") == Some(&end) {
                return message;
            }
            heard.push(message.first_line().to_owned());
        }
        panic!("{}: no answer to {end} but {heard:?}", self.user);
    }

    /// Takes repetitions of what it heard for something new.
    pub fn forgets(&self) {
        self.heard.borrow_mut().messages.clear();
    }

    /// Whether nothing comes for a while.
    pub fn hears_nothing(&self) -> bool {
        self.receives(SILENCE).is_none()
    }

    /// What comes within this time, but for repetitions: a busy machine is slow to answer.
    pub fn receives(&self, patience: Duration) -> Option<Message> {
        self.socket.set_read_timeout(Some(patience)).expect("not zero");
        let mut buffer = [0; 65_536];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if self.heard.borrow_mut().is_new(&text) {
                return Some(Message { text, from });
            }
        }
    }
}

/// What went wrong for one side is often told to the other.
impl Drop for Party {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        while self.receives(Duration::from_millis(1)).is_some() {}
        eprintln!("{} heard: {:#?}", self.uri(), self.heard.get_mut().in_order);
    }
}

impl Heard {
    /// Whether it is there for the first time.
    fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.messages.insert(text.to_owned());
        if is_new {
            let line = |name| text.lines().find(|line| line.starts_with(name)).unwrap_or(name);
            let first = text.lines().next().unwrap_or_default();
            self.in_order.push(format!("{first} ({}, {})", line("CSeq:"), line("Call-ID:")));
        }
        is_new
    }
}

impl Message {
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        let code = self.text.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no answer: {}", self.text))
    }

    /// The first of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The URI of Contact.
    fn contact(&self) -> String {
        let contact = self.header("Contact").expect("a Contact");
        let inner = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        inner.map_or(contact, |(uri, _)| uri).to_owned()
    }
}

impl Dialog {
    /// As it is after this answer.
    pub fn answered(&self, answer: &Message) -> Dialog {
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name} in {answer:?}")).to_owned();
        Dialog {
            to: header("To"),
            target: answer.contact(),
            routes: answer.header("Record-Route").map(str::to_owned).into_iter().collect(),
            ..self.clone()
        }
    }

    /// With this tag in To.
    pub fn with_tag(&self, tag: &str) -> Dialog {
        let bare = self.to.split_once(";tag=").map_or(&*self.to, |(bare, _)| bare);
        Dialog { to: format!("{bare};tag={tag}"), ..self.clone() }
    }

    /// With another end.
    pub fn to_target(&self, target: &str) -> Dialog {
        Dialog { target: target.into(), ..self.clone() }
    }

    /// In the other side's name.
    pub fn swapped(&self) -> Dialog {
        Dialog { from: self.to.clone(), to: self.from.clone(), ..self.clone() }
    }
}
