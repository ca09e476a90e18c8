//! An Access-Request on its way: who calls and what proves it, to the engine and back as a reply.

use std::sync::Arc;

use crate::dialect::{Asked, Challenge, PasswordProof};
use crate::domain::book::Book;
use crate::domain::call::CallKey;
use crate::domain::command::Command;
use crate::domain::decision::Reply;
use crate::domain::nas::DigestNonces;
use crate::domain::time::Timestamp;
use crate::service::answers::Answers;
use crate::service::caller::{CallerTold, Hidden, Proven, find_account, prove};
use crate::service::fingerprint::Fingerprint;
use crate::service::nas_table::NasEntry;
use crate::service::nonces::Nonces;
use crate::service::packet_log::without_passwords;
use crate::service::sessions::Sessions;
use crate::wire::authenticator::Verified;
use crate::wire::digest::algorithm_named;
use crate::wire::error::EncodeError;
use crate::wire::packet::Code;
use crate::wire::reply::{ReplyBuilder, ReplyTo};

/// What the reply to an Access-Request is made from when the packet is gone.
#[derive(Clone, Debug)]
pub struct PendingAccess {
    nas: Arc<NasEntry>,
    reply_to: ReplyTo,
    asked: Asked,
    /// What the call is called, where it is one.
    call: Option<CallKey>,
}

/// What is to be done about an Access-Request.
#[derive(Debug)]
pub enum AccessRead {
    /// The engine decides.
    Decide(Box<Command>),
    /// The caller is to answer a challenge first; there is nothing to decide.
    Challenge(Challenge),
}

/// Reads an Access-Request: what the engine is to decide, and what its reply will be made from.
pub fn read(
    packet: &Verified<'_>,
    nas: &Arc<NasEntry>,
    book: &Book,
    nonces: &Nonces,
    answers: &Answers,
    sessions: &Sessions,
    now: Timestamp,
) -> (AccessRead, PendingAccess) {
    let mut request = nas.dialect.read_access(packet, &nas.nas, nas.mark);
    let mut pending = PendingAccess {
        nas: nas.clone(),
        reply_to: ReplyTo::from(packet),
        asked: request.asked.clone(),
        call: request.identity.key.clone(),
    };
    let makes_nonces = nas.nas.digest_nonces == DigestNonces::Server;
    if let (PasswordProof::Challenge(asked), true) = (&request.password, makes_nonces) {
        let realm = asked.realm.or_else(|| host(asked.uri)).or_else(|| host(request.user_name?));
        let challenge = challenge(nas, realm, asked.algorithm, nonces, now, false);
        return (AccessRead::Challenge(challenge), pending);
    }
    if let PasswordProof::Digest { answer, .. } = &request.password {
        request.user_name = request.user_name.or(Some(answer.username).filter(|name| !name.is_empty()));
    }
    let told = CallerTold {
        user_name: request.user_name,
        caller: request.caller.as_deref(),
        address: request.caller_address,
        is_name_alone: request.is_name_alone,
    };
    let account = find_account(book, &nas.nas, told);
    let hidden = Hidden { secret: &nas.secret, authenticator: packet.authenticator() };
    let mut proven = prove(account.map(|account| &**account), &nas.nas, told, &request.password, hidden);
    if let (PasswordProof::Digest { answer, mutual }, Proven::ByDigest) = (&request.password, proven) {
        let called = request.called.as_deref().unwrap_or_default().as_bytes();
        // One that names no call cannot be told from a replay: it is the same as itself alone.
        let call = request.identity.key.as_ref().map_or(&packet.authenticator()[..], |key| &key.0);
        let asked = Fingerprint::of(&[answer.response, call, called]);
        let is_fresh = !makes_nonces || nonces.take(answer, nas.nas.key, asked, now);
        // Whoever makes the nonces: what began a call that is over begins no other.
        let given_for = request.identity.key.as_ref().filter(|_| request.called.is_some()).zip(account);
        let is_over = is_fresh
            && given_for
                .is_some_and(|(call, account)| !answers.give(answer.response, (nas.nas.key, call), account.key, now));
        if makes_nonces && (!is_fresh || is_over) {
            let challenge = challenge(nas, Some(answer.realm), answer.algorithm, nonces, now, true);
            return (AccessRead::Challenge(challenge), pending);
        }
        if is_over {
            proven = Proven::Wrong;
        }
        let password = account.and_then(|account| account.password.as_ref());
        pending.asked.response_auth = password
            .filter(|_| *mutual && !is_over)
            .and_then(|password| answer.response_auth(password.expose()))
            .map(Into::into);
    }
    let connection = request.connection_address.and_then(|address| book.connection_by_address(address));
    let command = request.into_command(
        nas.nas.key,
        account.map(|account| account.key),
        proven.proof(),
        connection.map(|connection| connection.key),
        Some(without_passwords(packet)),
    );
    nas.count(sessions.asked(&command, now));
    (AccessRead::Decide(Box::new(Command::Authorize(Box::new(command)))), pending)
}

/// A new nonce for a realm and an algorithm; where nobody has said one, for the NAS itself and for MD5, which
/// every phone knows.
fn challenge(
    nas: &NasEntry,
    realm: Option<&[u8]>,
    algorithm: Option<&[u8]>,
    nonces: &Nonces,
    now: Timestamp,
    stale: bool,
) -> Challenge {
    let realm = realm.filter(|realm| !realm.is_empty()).unwrap_or(nas.nas.id.as_bytes());
    let algorithm = algorithm.and_then(algorithm_named).unwrap_or("MD5");
    Challenge { realm: realm.into(), nonce: nonces.make(nas.nas.key, now), algorithm, stale }
}

/// The host of a SIP URI or of a name with a realm; none in what has no `@`.
fn host(name: &[u8]) -> Option<&[u8]> {
    let at = name.iter().rposition(|byte| *byte == b'@')?;
    let host = name.get(at.saturating_add(1)..)?;
    let end = host.iter().position(|byte| matches!(byte, b':' | b';' | b'?' | b'>')).unwrap_or(host.len());
    host.get(..end)
}

impl PendingAccess {
    /// The NAS that asked.
    pub fn nas(&self) -> &Arc<NasEntry> {
        &self.nas
    }

    /// The signed challenge with its code.
    ///
    /// # Errors
    /// As [`PendingAccess::write`].
    pub fn write_challenge(&self, challenge: &Challenge) -> Result<(Code, Vec<u8>), EncodeError> {
        let mut builder = ReplyBuilder::new(Code::ACCESS_CHALLENGE, &self.reply_to);
        self.nas.dialect.write_challenge(challenge, &mut builder);
        Ok((Code::ACCESS_CHALLENGE, builder.finish(&self.nas.secret)?))
    }

    /// Remembers what was decided, for whoever looks for faults of the NAS.
    pub fn note(&self, reply: &Reply, sessions: &Sessions) {
        if let (Reply::Reject(_), Some(call)) = (reply, &self.call) {
            sessions.rejected(self.nas.nas.key, call);
        }
    }

    /// The signed reply with its code; `None` where the engine's is not one to an Access-Request.
    ///
    /// An Accept that does not fit beside the Proxy-State of the request becomes a Reject: to say nothing
    /// would have the call asked for again. What was reserved for it is free when it has not begun in time.
    ///
    /// # Errors
    /// The reply cannot be written: the Proxy-State of the request fills the packet.
    pub fn write(&self, reply: &Reply) -> Result<Option<(Code, Vec<u8>)>, EncodeError> {
        let NasEntry { nas, dialect, secret, mark, .. } = &*self.nas;
        let code = match reply {
            Reply::Accept(_) => Code::ACCESS_ACCEPT,
            Reply::Reject(_) => Code::ACCESS_REJECT,
            Reply::Recorded | Reply::Done(_) | Reply::Refused(_) | Reply::None => return Ok(None),
        };
        let mut builder = ReplyBuilder::new(code, &self.reply_to);
        match reply {
            Reply::Accept(accept) => dialect.write_accept(accept, nas, &self.asked, *mark, &mut builder),
            Reply::Reject(rejected) => dialect.write_reject(rejected, nas, &self.asked, &mut builder),
            _ => {}
        }
        match builder.finish(secret) {
            Err(EncodeError::PacketTooLong { .. }) if code == Code::ACCESS_ACCEPT => {
                let bare = ReplyBuilder::new(Code::ACCESS_REJECT, &self.reply_to);
                Ok(Some((Code::ACCESS_REJECT, bare.finish(secret)?)))
            }
            written => Ok(Some((code, written?))),
        }
    }
}
