//! An Accounting-Request on its way: what a NAS tells of a leg or of itself, to the engine and back
//! as a reply that says that it is recorded.

use std::sync::Arc;

use crate::dialect::oddity::Oddities;
use crate::dialect::{AccountingRequest, LegReport, NotACallPacket, RestartReport};
use crate::domain::book::Book;
use crate::domain::command::{Accounting, Command, Restart};
use crate::domain::decision::Reply;
use crate::domain::time::Timestamp;
use crate::service::answers::Answers;
use crate::service::caller::{CallerTold, find_account};
use crate::service::nas_table::NasEntry;
use crate::service::packet_log::without_passwords;
use crate::service::sessions::Sessions;
use crate::wire::authenticator::Verified;
use crate::wire::error::EncodeError;
use crate::wire::packet::Code;
use crate::wire::reply::{ReplyBuilder, ReplyTo};

/// What the reply to an Accounting-Request is made from when the packet is gone.
#[derive(Clone, Debug)]
pub struct PendingAccounting {
    nas: Arc<NasEntry>,
    reply_to: ReplyTo,
}

/// Reads an Accounting-Request: what the engine is to decide, and what the reply
/// will be made from. Where it tells nothing of a call there is nothing to decide, and it is answered
/// all the same: a NAS would send it again for ever.
pub fn read(
    packet: &Verified<'_>,
    nas: &Arc<NasEntry>,
    book: &Book,
    answers: &Answers,
    sessions: &Sessions,
    now: Timestamp,
) -> (Result<Command, NotACallPacket>, PendingAccounting) {
    let pending = PendingAccounting { nas: nas.clone(), reply_to: ReplyTo::from(packet) };
    let command = nas.dialect.read_accounting(packet, &nas.nas, nas.mark).map(|request| match request {
        AccountingRequest::Leg(report) => {
            answers.told(&report);
            let found = sessions.told(&report, !nas.nas.stop_only);
            nas.count(found.with_event_time(report.accounting.event_at, now));
            Command::Account(Box::new(of_leg(*report, packet, nas, book)))
        }
        AccountingRequest::Restart(report) => {
            nas.count(Oddities::default().with_event_time(report.event_at, now));
            restart(report, packet, nas)
        }
    });
    (command, pending)
}

fn of_leg(report: LegReport, packet: &Verified<'_>, nas: &NasEntry, book: &Book) -> Accounting {
    let LegReport { mut accounting, caller_address, .. } = report;
    let told = CallerTold {
        user_name: accounting.user_name.as_deref(),
        caller: accounting.caller.as_deref(),
        address: caller_address,
        is_name_alone: false,
    };
    let account = find_account(book, &nas.nas, told).map(|account| account.key);
    accounting.account = account;
    let far_end = accounting.remote_address.and_then(|address| book.connection_by_address(address.to_canonical()));
    accounting.connection = far_end.map(|connection| connection.key);
    accounting.packet = Some(without_passwords(packet));
    accounting
}

/// The same word comes again with the same time in it or, where there is none, as the same packet.
fn restart(report: RestartReport, packet: &Verified<'_>, nas: &NasEntry) -> Command {
    let RestartReport { event_at, delay_seconds, sender, .. } = report;
    let by_time = || event_at.and_then(|at| u64::try_from(at.millis()).ok());
    let by_packet = || packet.authenticator().first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let word = by_time().or_else(by_packet);
    Command::RestartNas(Restart { nas: nas.nas.key, sender, event_at, delay_seconds, word })
}

impl PendingAccounting {
    /// The NAS that told.
    pub fn nas(&self) -> &Arc<NasEntry> {
        &self.nas
    }

    /// The signed reply with its code; `None` where the engine's does not say that it is recorded.
    ///
    /// # Errors
    /// The reply cannot be written: the Proxy-State of the request fills the packet.
    pub fn write(&self, reply: &Reply) -> Result<Option<(Code, Vec<u8>)>, EncodeError> {
        match reply {
            Reply::Recorded => self.write_recorded().map(Some),
            Reply::Accept(_) | Reply::Reject(_) | Reply::Done(_) | Reply::Refused(_) | Reply::None => Ok(None),
        }
    }

    /// The signed reply to what needs no recording.
    ///
    /// # Errors
    /// As [`PendingAccounting::write`].
    pub fn write_recorded(&self) -> Result<(Code, Vec<u8>), EncodeError> {
        let code = Code::ACCOUNTING_RESPONSE;
        Ok((code, ReplyBuilder::new(code, &self.reply_to).finish(&self.nas.secret)?))
    }
}
