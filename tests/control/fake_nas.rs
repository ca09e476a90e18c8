//! A NAS that takes Disconnect-Requests and CoA-Requests, with a habit.
//!
//! It checks what it is sent with digests and a reading of its own, and keeps every fault that it
//! finds: a request with one is not answered, and fails the test.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};

use crate::live::gateway::{Gateway, SECRET};
use crate::live::now;

/// Its address is 127.0.0.`HOST`.
pub const HOST: u8 = 40;

const DISCONNECT: u8 = 40;
const COA: u8 = 43;
const SESSION_TIMEOUT: u8 = 27;
const ACCT_SESSION_ID: u8 = 44;
const EVENT_TIMESTAMP: u8 = 55;
const MESSAGE_AUTHENTICATOR: u8 = 80;
const ERROR_CAUSE: u8 = 101;
/// Session-Context-Not-Found (RFC 5176, 3.6).
pub const NO_SUCH_CALL: u32 = 503;
/// Residual-Session-Context-Removed.
const REMOVED: u32 = 201;
/// Administratively Prohibited.
pub const PROHIBITED: u32 = 501;

/// What it does with a request about a call that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Answers ACK; a call that is to end is ended, and told of by a Stop.
    Obeys,
    /// As above, with zeroes for the authenticator of the answer.
    ObeysUnproven,
    /// Ends the call at once, but answers only what was sent so often.
    StopsThenAnswers(usize),
    /// Answers what was sent so often, and ends the call only then.
    AnswersLate(usize),
    /// Answers ACK, and lets the call go on.
    OnlySaysSo,
    /// Answers NAK with this Error-Cause.
    Refuses(u32),
    /// Answers ACK with Error-Cause 201: it had no such call, and has removed what was left of it.
    Removes,
    /// Does nothing at all.
    Deaf,
}

/// A request as it was first heard, and how often it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub bytes: Vec<u8>,
    pub from: SocketAddr,
    pub session: Vec<u8>,
    pub session_timeout: Option<u32>,
    pub times: usize,
}

impl Heard {
    pub fn is_disconnect(&self) -> bool {
        self.bytes[0] == DISCONNECT
    }
}

/// A call as the NAS knows it.
#[derive(Clone, Debug)]
pub struct Up {
    /// The attributes by which it is to be named, byte for byte.
    pub identification: Vec<u8>,
    pub answered: Instant,
    /// Makes the Stop that tells of so many seconds.
    pub stop: fn(&mut Gateway, &str, u32) -> Vec<u8>,
    /// What it said in its Stop.
    pub seconds: Option<u32>,
    is_forgotten: bool,
}

impl Up {
    pub fn new(identification: Vec<u8>, stop: fn(&mut Gateway, &str, u32) -> Vec<u8>) -> Up {
        Up { identification, answered: now(), stop, seconds: None, is_forgotten: false }
    }
}

/// The NAS; it ends when it is dropped, and fails the test then if it was sent anything wrong.
pub struct FakeNas {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    socket: UdpSocket,
    /// Where its Stops go.
    acct: SocketAddr,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    habit: Habit,
    calls: HashMap<Vec<u8>, Up>,
    heard: Vec<Heard>,
    faults: Vec<String>,
}

impl FakeNas {
    pub fn new(acct: SocketAddr) -> FakeNas {
        let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, HOST)), 0)).expect("the loopback is there");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket of ours");
        let address = socket.local_addr().expect("bound");
        let state = State { habit: Habit::Obeys, calls: HashMap::new(), heard: Vec::new(), faults: Vec::new() };
        let shared = Arc::new(Shared { socket, acct, is_over: AtomicBool::new(false), state: Mutex::new(state) });
        let listener = shared.clone();
        let thread = Some(std::thread::spawn(move || listener.run()));
        FakeNas { shared, address, thread }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn has_habit(&self, habit: Habit) {
        self.shared.lock().habit = habit;
    }

    pub fn answers_call(&self, session: &str, call: Up) {
        self.shared.lock().calls.insert(session.into(), call);
    }

    /// The caller hangs up. Nothing that the NAS is asked is looked at before its Stop is answered: it
    /// would say that it has no such call, and the call would be closed without its Stop first.
    pub fn hangs_up(&self, session: &str) {
        let mut state = self.shared.lock();
        let told = self.shared.end(&mut state, session.as_bytes());
        told.join().expect("its Stop is answered");
    }

    /// Loses all calls, and tells nobody.
    pub fn forgets_all(&self) {
        self.shared.lock().calls.values_mut().for_each(|call| call.is_forgotten = true);
    }

    /// Whole seconds that a call has been up by its clock.
    pub fn seconds_up(&self, session: &str) -> u64 {
        now().duration_since(self.shared.lock().calls[session.as_bytes()].answered).as_secs()
    }

    /// What its Stop said; `None` before.
    pub fn seconds_told(&self, session: &str) -> Option<u32> {
        self.shared.lock().calls[session.as_bytes()].seconds
    }

    /// What it was asked about a call, each request once.
    pub fn heard(&self, session: &str) -> Vec<Heard> {
        self.shared.lock().heard.iter().filter(|heard| heard.session == session.as_bytes()).cloned().collect()
    }

    pub fn disconnects(&self, session: &str) -> usize {
        self.heard(session).iter().filter(|heard| heard.is_disconnect()).count()
    }

    pub fn prolonged(&self, session: &str) -> Vec<u32> {
        self.heard(session).iter().filter_map(|heard| heard.session_timeout).collect()
    }
}

impl Drop for FakeNas {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        let faults = std::mem::take(&mut self.shared.lock().faults);
        if std::thread::panicking() {
            eprintln!("the NAS heard {:02x?}\nand found {faults:?}", self.shared.lock().heard);
        } else {
            assert!(ended && faults.is_empty(), "the NAS was sent what is wrong: {faults:?}");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut buffer = [0; 4096];
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let request = &buffer[..length];
            let mut state = self.lock();
            if let Err(fault) = self.hear(&mut state, request, from) {
                state.faults.push(format!("{fault}: {request:02x?}"));
            }
        }
    }

    fn hear(&self, state: &mut State, request: &[u8], from: SocketAddr) -> Result<(), String> {
        let asked = read(request)?;
        let call = state.calls.get(&asked.session).ok_or("a call that it never had")?;
        if call.identification != asked.identification {
            return Err(format!("the call was told of by {:02x?}", call.identification));
        }
        let is_here = call.seconds.is_none() && !call.is_forgotten;
        let known = state.heard.iter_mut().find(|heard| heard.bytes == request && heard.from == from);
        let times = if let Some(heard) = known {
            heard.times += 1;
            heard.times
        } else {
            let (bytes, session, session_timeout) = (request.to_vec(), asked.session.clone(), asked.session_timeout);
            state.heard.push(Heard { bytes, from, session, session_timeout, times: 1 });
            1
        };
        let ends = asked.code == DISCONNECT;
        let is_again = times > 1;
        match state.habit {
            // What was obeyed once is answered so again (RFC 5080, 2.2.2).
            Habit::Obeys | Habit::ObeysUnproven | Habit::StopsThenAnswers(_) | Habit::AnswersLate(_)
                if !is_here && !is_again =>
            {
                self.answer(request, from, 2, Some(NO_SUCH_CALL), true);
            }
            Habit::Deaf => {}
            Habit::OnlySaysSo => self.answer(request, from, 1, None, true),
            Habit::Refuses(cause) => self.answer(request, from, 2, Some(cause), true),
            Habit::Removes => self.answer(request, from, 1, Some(REMOVED), true),
            Habit::Obeys | Habit::ObeysUnproven => {
                self.answer(request, from, 1, None, state.habit == Habit::Obeys);
                if ends && is_here {
                    self.end(state, &asked.session);
                }
            }
            Habit::StopsThenAnswers(sends) => {
                if ends && is_here {
                    self.end(state, &asked.session);
                }
                if times >= sends {
                    self.answer(request, from, 1, None, true);
                }
            }
            Habit::AnswersLate(sends) => {
                if times >= sends {
                    self.answer(request, from, 1, None, true);
                    if ends && is_here {
                        self.end(state, &asked.session);
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends a call and has its Stop sent, again and again until it is answered: then the thread ends.
    fn end(&self, state: &mut State, session: &[u8]) -> JoinHandle<()> {
        let call = state.calls.get_mut(session).expect("a call that it has");
        let seconds = u32::try_from(now().duration_since(call.answered).as_secs()).expect("no test takes years");
        call.seconds = Some(seconds);
        let (stop, acct) = (call.stop, self.acct);
        let session = String::from_utf8(session.to_vec()).expect("the tests name calls in ASCII");
        std::thread::spawn(move || {
            let mut gateway = Gateway::new(HOST);
            let stop = stop(&mut gateway, &session, seconds);
            gateway.answer(acct, &stop);
        })
    }

    /// ACK has the next code after the request, NAK the one after that (RFC 5176, 2.3).
    fn answer(&self, request: &[u8], to: SocketAddr, kind: u8, cause: Option<u32>, proven: bool) {
        let mut attributes = Vec::new();
        if let Some(cause) = cause {
            attributes.extend([ERROR_CAUSE, 6]);
            attributes.extend(cause.to_be_bytes());
        }
        let mut answer = vec![request[0] + kind, request[1], 0, u8::try_from(20 + attributes.len()).expect("short")];
        answer.extend(&request[4..20]);
        answer.extend(attributes);
        let digest = Md5::new().chain_update(&answer).chain_update(SECRET).finalize();
        answer[4..20].copy_from_slice(if proven { digest.as_slice() } else { &[0; 16] });
        self.socket.send_to(&answer, to).expect("the loopback takes a datagram");
    }
}

/// A request whose digests are right.
struct Asked {
    code: u8,
    session: Vec<u8>,
    session_timeout: Option<u32>,
    identification: Vec<u8>,
}

/// Reads and proves a request (RFC 5176, 2.3 and 3.4).
fn read(request: &[u8]) -> Result<Asked, String> {
    let code = *request.first().ok_or("nothing")?;
    if request.len() < 20 || usize::from(u16::from_be_bytes([request[2], request[3]])) != request.len() {
        return Err("a wrong length".into());
    }
    let mut unsigned = request.to_vec();
    unsigned[4..20].fill(0);
    let digest = Md5::new().chain_update(&unsigned).chain_update(SECRET).finalize();
    if digest.as_slice() != &request[4..20] {
        return Err("a wrong Request Authenticator".into());
    }
    let (mut session, mut identification) = (Vec::new(), Vec::new());
    let (mut session_timeout, mut stamp, mut signed) = (None, None, None);
    let mut at = 20;
    while at < request.len() {
        let length = usize::from(*request.get(at + 1).ok_or("half an attribute")?);
        let whole = request.get(at..at + length).filter(|whole| whole.len() > 2).ok_or("a wrong attribute")?;
        let value = &whole[2..];
        let number = || value.try_into().map(u32::from_be_bytes).map_err(|_| "a number that is none");
        let is_twice = match whole[0] {
            MESSAGE_AUTHENTICATOR => signed.replace(at + 2..at + length).is_some(),
            EVENT_TIMESTAMP => stamp.replace(number()?).is_some(),
            SESSION_TIMEOUT => session_timeout.replace(number()?).is_some(),
            kind => {
                identification.extend(whole);
                kind == ACCT_SESSION_ID && !std::mem::replace(&mut session, value.to_vec()).is_empty()
            }
        };
        if is_twice {
            return Err(format!("attribute {} twice", whole[0]));
        }
        at += length;
    }
    let signed = signed.filter(|signed| signed.len() == 16).ok_or("no Message-Authenticator")?;
    unsigned[signed.clone()].fill(0);
    let mut mac = Hmac::<Md5>::new_from_slice(SECRET.as_bytes()).expect("any length of key");
    mac.update(&unsigned);
    if mac.finalize().into_bytes().as_slice() != &request[signed] {
        return Err("a wrong Message-Authenticator".into());
    }
    let stamp = stamp.ok_or("no Event-Timestamp")?;
    if wall_seconds().abs_diff(u64::from(stamp)) > 300 {
        return Err(format!("an Event-Timestamp of {stamp}"));
    }
    match (code, session_timeout) {
        (DISCONNECT, None) | (COA, Some(1..=0x7fff_ffff)) => {}
        _ => return Err("neither a Disconnect-Request nor a CoA-Request with a Session-Timeout".into()),
    }
    Ok(Asked { code, session, session_timeout, identification })
}

#[expect(clippy::disallowed_methods, reason = "a NAS has a clock of its own")]
fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
