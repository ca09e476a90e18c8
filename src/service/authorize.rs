//! An Access-Request on its way: who calls and what proves it, to the engine and back as a reply.

use std::sync::Arc;

use crate::dialect::Asked;
use crate::domain::book::Book;
use crate::domain::command::Command;
use crate::domain::decision::Reply;
use crate::service::caller::{CallerTold, Hidden, find_account, prove};
use crate::service::nas_table::NasEntry;
use crate::service::packet_log::without_passwords;
use crate::wire::authenticator::Verified;
use crate::wire::error::EncodeError;
use crate::wire::packet::Code;
use crate::wire::reply::{ReplyBuilder, ReplyTo};

/// What the reply to an Access-Request is made from when the packet is gone.
#[derive(Clone, Debug)]
pub struct PendingAccess {
    nas: Arc<NasEntry>,
    reply_to: ReplyTo,
    asked: Asked,
}

/// Reads an Access-Request: what the engine is to decide, and what its reply will be made from.
pub fn read(packet: &Verified<'_>, nas: &Arc<NasEntry>, book: &Book) -> (Command, PendingAccess) {
    let request = nas.dialect.read_access(packet, &nas.nas, nas.mark);
    let told =
        CallerTold { user_name: request.user_name, caller: request.caller.as_deref(), address: request.caller_address };
    let account = find_account(book, &nas.nas, told);
    let hidden = Hidden { secret: &nas.secret, authenticator: packet.authenticator() };
    let proof = prove(account.map(|account| &**account), &nas.nas, told, request.password, hidden);
    let connection = request.connection_address.and_then(|address| book.connection_by_address(address));
    let pending = PendingAccess { nas: nas.clone(), reply_to: ReplyTo::from(packet), asked: request.asked.clone() };
    let command = request.into_command(
        nas.nas.key,
        account.map(|account| account.key),
        proof,
        connection.map(|connection| connection.key),
        Some(without_passwords(packet)),
    );
    (Command::Authorize(Box::new(command)), pending)
}

impl PendingAccess {
    /// The NAS that asked.
    pub fn nas(&self) -> &Arc<NasEntry> {
        &self.nas
    }

    /// The signed reply with its code; `None` where the engine's is not one to an Access-Request.
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
        Ok(Some((code, builder.finish(secret)?)))
    }
}
