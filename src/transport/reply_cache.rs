//! Replies that were sent, kept for a while: a request that comes again gets the same bytes, and one
//! that is still being worked on gets nothing (RFC 5080 2.2.2).
//!
//! One cache for each listening socket. A request goes in only after it was verified, so that who
//! knows no secret cannot fill it. What is being worked on is bounded by the queue before the engine;
//! what was answered by time, count and bytes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::time::Timestamp;
use crate::wire::packet::{Code, Packet};

/// What of a datagram tells it from every other one to the same socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    source: SocketAddr,
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
}

impl RequestKey {
    /// The key of a packet from wherever it comes: for requests with a time in them, which are to be obeyed
    /// once even where somebody who recorded one sends it from elsewhere.
    pub fn from_anywhere(packet: &Packet<'_>) -> RequestKey {
        RequestKey::new(SocketAddr::from(([0; 4], 0)), packet)
    }

    /// The key of a packet and the address that it came from.
    pub fn new(source: SocketAddr, packet: &Packet<'_>) -> RequestKey {
        RequestKey {
            source,
            code: packet.code(),
            identifier: packet.identifier(),
            authenticator: *packet.authenticator(),
        }
    }
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It never came, or so long ago that it counts as another one.
    Never,
    /// It is being worked on.
    InFlight,
    /// This was the answer.
    Answered(Arc<[u8]>),
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// How long a reply is kept, seconds.
    pub seconds: u32,
    /// Most replies.
    pub replies_max: usize,
}

/// An ordinary reply is far shorter; what is longer counts as several.
const BYTES_A_REPLY: usize = 256;
/// So many old replies go at most when one is put in, so that none waits long after a quiet time.
const EXPIRED_AT_ONCE: usize = 64;

/// The requests of one socket.
#[derive(Debug)]
pub struct ReplyCache {
    limits: CacheLimits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: HashMap<RequestKey, State>,
    /// The answered ones, oldest first.
    answered: VecDeque<(Timestamp, RequestKey)>,
    bytes: usize,
}

#[derive(Debug)]
enum State {
    InFlight,
    Answered { at: Timestamp, reply: Arc<[u8]> },
}

impl ReplyCache {
    /// An empty one.
    pub fn new(limits: CacheLimits) -> ReplyCache {
        ReplyCache { limits, inner: Mutex::default() }
    }

    /// What is known of a request.
    pub fn look_up(&self, key: &RequestKey, now: Timestamp) -> Seen {
        match self.lock().requests.get(key) {
            None => Seen::Never,
            Some(State::InFlight) => Seen::InFlight,
            Some(State::Answered { at, .. }) if self.is_old(*at, now) => Seen::Never,
            Some(State::Answered { reply, .. }) => Seen::Answered(reply.clone()),
        }
    }

    /// A request is worked on from now on.
    pub fn begin(&self, key: RequestKey) {
        let mut inner = self.lock();
        if let Some(State::Answered { reply, .. }) = inner.requests.insert(key, State::InFlight) {
            inner.bytes = inner.bytes.saturating_sub(reply.len());
        }
    }

    /// A request was answered. One that was forgotten meanwhile is kept all the same: the reply
    /// was sent.
    pub fn answer(&self, key: RequestKey, reply: Arc<[u8]>, now: Timestamp) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_add(reply.len());
        let before = inner.requests.insert(key, State::Answered { at: now, reply });
        if let Some(State::Answered { reply, .. }) = before {
            inner.bytes = inner.bytes.saturating_sub(reply.len());
        }
        inner.answered.push_back((now, key));
        for _ in 0..EXPIRED_AT_ONCE {
            match inner.answered.front() {
                Some((at, _)) if self.is_old(*at, now) || self.is_full(&inner) => inner.drop_oldest(),
                _ => break,
            }
        }
    }

    /// A request gets no answer: when it comes again it is a new one.
    pub fn forget(&self, key: &RequestKey) {
        let mut inner = self.lock();
        if matches!(inner.requests.get(key), Some(State::InFlight)) {
            inner.requests.remove(key);
        }
    }

    /// How many requests are known.
    pub fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        now >= at.plus_seconds(u64::from(self.limits.seconds))
    }

    fn is_full(&self, inner: &Inner) -> bool {
        let bytes_max = self.limits.replies_max.saturating_mul(BYTES_A_REPLY);
        inner.answered.len() > self.limits.replies_max || inner.bytes > bytes_max
    }

    /// Nothing panics while it is locked; if it did, what is there would still be whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn drop_oldest(&mut self) {
        let Some((at, key)) = self.answered.pop_front() else { return };
        // The same request may have been answered anew since.
        if matches!(self.requests.get(&key), Some(State::Answered { at: answered, .. }) if *answered == at)
            && let Some(State::Answered { reply, .. }) = self.requests.remove(&key)
        {
            self.bytes = self.bytes.saturating_sub(reply.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CacheLimits = CacheLimits { seconds: 10, replies_max: 4 };

    fn key(port: u16, identifier: u8, authenticator: u8) -> RequestKey {
        let source = SocketAddr::from(([192, 0, 2, 1], port));
        RequestKey { source, code: Code::ACCESS_REQUEST, identifier, authenticator: [authenticator; 16] }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn reply(byte: u8) -> Arc<[u8]> {
        vec![byte; 20].into()
    }

    #[test]
    fn a_request_is_new_then_in_flight_then_answered() {
        let cache = ReplyCache::new(LIMITS);
        let request = key(1, 1, 1);
        assert_eq!(cache.look_up(&request, at(0)), Seen::Never);
        cache.begin(request);
        assert_eq!(cache.look_up(&request, at(0)), Seen::InFlight);
        cache.answer(request, reply(7), at(1));
        assert_eq!(cache.look_up(&request, at(10)), Seen::Answered(reply(7)));
        assert_eq!(cache.look_up(&request, at(11)), Seen::Never, "kept for ten seconds");
    }

    #[test]
    fn another_port_identifier_or_authenticator_is_another_request() {
        let cache = ReplyCache::new(LIMITS);
        cache.begin(key(1, 1, 1));
        for other in [key(2, 1, 1), key(1, 2, 1), key(1, 1, 2)] {
            assert_eq!(cache.look_up(&other, at(0)), Seen::Never);
        }
        let other_code = RequestKey { code: Code::ACCOUNTING_REQUEST, ..key(1, 1, 1) };
        assert_eq!(cache.look_up(&other_code, at(0)), Seen::Never);
    }

    #[test]
    fn what_got_no_answer_is_a_new_try() {
        let cache = ReplyCache::new(LIMITS);
        cache.begin(key(1, 1, 1));
        cache.forget(&key(1, 1, 1));
        assert!(cache.is_empty());
    }

    #[test]
    fn an_answer_is_not_forgotten_by_who_gave_up() {
        let cache = ReplyCache::new(LIMITS);
        cache.begin(key(1, 1, 1));
        cache.answer(key(1, 1, 1), reply(7), at(0));
        cache.forget(&key(1, 1, 1));
        assert_eq!(cache.look_up(&key(1, 1, 1), at(0)), Seen::Answered(reply(7)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let cache = ReplyCache::new(LIMITS);
        for identifier in 0..100 {
            cache.begin(key(1, identifier, 1));
            cache.answer(key(1, identifier, 1), reply(identifier), at(0));
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.look_up(&key(1, 95, 1), at(0)), Seen::Never);
        assert_eq!(cache.look_up(&key(1, 96, 1), at(0)), Seen::Answered(reply(96)));
    }

    #[test]
    fn long_replies_count_by_their_bytes() {
        let cache = ReplyCache::new(LIMITS);
        for identifier in 0..4 {
            cache.answer(key(1, identifier, 1), vec![0; 500].into(), at(0));
        }
        assert_eq!(cache.len(), 2);
        assert!(cache.lock().bytes <= 4 * BYTES_A_REPLY);
    }

    #[test]
    fn what_is_old_goes_when_something_new_comes() {
        let cache = ReplyCache::new(LIMITS);
        cache.answer(key(1, 1, 1), reply(1), at(0));
        cache.answer(key(1, 2, 1), reply(2), at(10));
        assert_eq!((cache.len(), cache.lock().bytes), (1, 20));
    }

    #[test]
    fn a_request_answered_anew_outlives_its_first_answer() {
        let cache = ReplyCache::new(LIMITS);
        cache.answer(key(1, 1, 1), reply(1), at(0));
        assert_eq!(cache.look_up(&key(1, 1, 1), at(10)), Seen::Never);
        cache.begin(key(1, 1, 1));
        cache.answer(key(1, 1, 1), reply(2), at(10));
        assert_eq!(cache.look_up(&key(1, 1, 1), at(11)), Seen::Answered(reply(2)));
        assert_eq!(cache.lock().bytes, 20);
    }
}
