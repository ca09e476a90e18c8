//! Ends calls of Sippy B2BUA through its command socket: a line `d CALL-ID`, answered by a line.
//!
//! The B2BUA splits the line at white space and takes `*` for all calls, so a Call-ID of anything but
//! visible ASCII, or of that asterisk alone, is not sent. It ends whatever has the Call-ID, ringing or
//! answered, both sides of it. It remembers a call for a while after its end and says `OK` then too, so that
//! to be told is all that can be known here.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Door;
use crate::clock::Stopwatch;
use crate::domain::error_cause::{INVALID_ATTRIBUTE_VALUE, RESOURCES_UNAVAILABLE, SESSION_CONTEXT_NOT_FOUND};
use crate::service::escape::escape;
use crate::service::session_request::{CallToEnd, Refusal};

/// The longest line that is read; an answer repeats the Call-ID at most.
const LINE_BYTES_MAX: usize = 1_024;

/// A Sippy B2BUA.
#[derive(Debug)]
pub struct Sippy {
    socket: PathBuf,
    patience: Duration,
}

impl Sippy {
    /// The one with this command socket; it has so long for a command.
    pub fn new(socket: PathBuf, patience: Duration) -> Sippy {
        Sippy { socket, patience }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Who hangs takes no connections either, and would keep us as long as it does.
        socket.set_write_timeout(Some(self.patience))?;
        socket.connect(&SockAddr::unix(&self.socket)?)?;
        Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
    }

    /// Gives a command and reads the line that answers it.
    fn command(&self, line: &[u8]) -> io::Result<Vec<u8>> {
        let since = Stopwatch::start();
        let mut stream = self.connect()?;
        stream.write_all(line)?;
        let mut answer = Vec::new();
        let mut part = [0; 256];
        loop {
            let left = self.patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(late(self.patience));
            }
            stream.set_read_timeout(Some(left))?;
            let length = match stream.read(&mut part) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer")),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late(self.patience)),
                Err(error) => return Err(error),
            };
            answer.extend(part.get(..length).unwrap_or_default());
            if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
                answer.truncate(end);
                return Ok(answer);
            }
            if answer.len() > LINE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end"));
            }
        }
    }

    fn named(&self, error: &io::Error) -> String {
        format!("Sippy B2BUA at {}: {error}", escape(self.socket.as_os_str().as_encoded_bytes()))
    }
}

fn late(patience: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", patience.as_millis()))
}

impl Door for Sippy {
    fn end(&self, call: &CallToEnd) -> Result<(), Refusal> {
        let line = command_line(&call.call_id)
            .ok_or_else(|| Refusal::new(INVALID_ATTRIBUTE_VALUE, "a Call-ID like this cannot be put into a command"))?;
        let answer = self.command(&line).map_err(|error| Refusal::new(RESOURCES_UNAVAILABLE, self.named(&error)))?;
        understood(&answer)
    }

    fn knock(&self) -> Result<(), String> {
        self.connect()
            .map(drop)
            .map_err(|error| format!("{}; is it up, and its option -c this place?", self.named(&error)))
    }
}

/// The command that ends a call, where the Call-ID can be part of one.
fn command_line(call: &[u8]) -> Option<Vec<u8>> {
    let is_word = !call.is_empty() && call.iter().all(u8::is_ascii_graphic);
    (is_word && call != b"*").then(|| [b"d ", call, b"\n"].concat())
}

/// What an answer says.
fn understood(answer: &[u8]) -> Result<(), Refusal> {
    match answer.trim_ascii() {
        b"OK" => Ok(()),
        other if other.starts_with(b"ERROR: no call with id of ") => {
            Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "no call has this Call-ID"))
        }
        other => Err(Refusal::new(RESOURCES_UNAVAILABLE, format!("Sippy B2BUA answers {}", escape(other)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_becomes_a_command() {
        assert_eq!(command_line(b"a@b").as_deref(), Some(&b"d a@b\n"[..]));
        // An asterisk among others is part of a name.
        assert_eq!(command_line(b"*a").as_deref(), Some(&b"d *a\n"[..]));
        for name in
            [&b""[..], b"*", b"a b", b"a\nd b", b"a\r", b"a\0", b"a\tb", b"\x1c", b"\x7f", "a\u{a0}b".as_bytes()]
        {
            assert_eq!(command_line(name), None, "{name:?}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let cause = |answer: &[u8]| understood(answer).err().map(|refusal| refusal.cause);
        assert_eq!(cause(b"OK\r"), None);
        assert_eq!(cause(b"ERROR: no call with id of OK has been found"), Some(SESSION_CONTEXT_NOT_FOUND));
        for other in [&b""[..], b"OKAY", b"ERROR: unknown command", b"\xff\x1b[2J"] {
            assert_eq!(cause(other), Some(RESOURCES_UNAVAILABLE), "{other:?}");
        }
    }
}
