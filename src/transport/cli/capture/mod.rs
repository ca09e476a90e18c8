//! Where captured packets come from: pcap and pcapng files, recorded exchanges (`.jsonl`), lines of
//! hexadecimal digits; files, directories of them, standard input, or the command line itself.
//!
//! Files may be anything: whatever is in them, reading ends, holds a bounded part of them at a time,
//! and says of each thing that cannot be read where it is.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::domain::time::Timestamp;
use crate::transport::cli::error::CliError;
use crate::wire::value::parse_hex;

mod lines;
mod link;
mod pcap;

/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// The most of standard input.
const STDIN_BYTES_MAX: u64 = 64 << 20;
/// Most files of a directory.
const FILES_MAX: usize = 1_000;
/// How the files of a directory that are read are called at their ends.
const ENDINGS: [&str; 5] = ["jsonl", "pcap", "pcapng", "cap", "hex"];
/// The digits of the shortest packet: what is typed and has fewer is a path.
const HEX_DIGITS_MIN: usize = 40;

/// One thing that was found in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A datagram.
    Packet(Captured),
    /// Something that cannot be read: where, and what is wrong.
    Fault(String),
    /// Something that was passed over, and that should be known at the end.
    Note(String),
}

/// A datagram of a capture.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Where it stands.
    pub place: String,
    /// When it was captured.
    pub at: Option<Timestamp>,
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// Whom it was sent to.
    pub to: Option<SocketAddr>,
    /// What the capture says about it.
    pub told: Option<String>,
    /// The secret that the capture names.
    pub secret: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Its bytes may hide a password, and its secret is one.
impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Captured").field("place", &self.place).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Who is given what is found, one after the other.
pub type Take<'a> = &'a mut dyn FnMut(Found) -> Result<(), CliError>;

/// Reads a source as it was typed: `-` is standard input, hexadecimal digits are a packet, all else is
/// a file or a directory. `is_wanted` says of a UDP port whether RADIUS is spoken there; it is asked
/// about packets of a network only.
///
/// # Errors
/// The source cannot be read at all, or whoever takes has failed.
pub fn read(source: &str, is_wanted: &dyn Fn(u16) -> bool, take: Take<'_>) -> Result<(), CliError> {
    if source == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed("-", error))?;
        if bytes.len() as u64 > STDIN_BYTES_MAX {
            return Err(failed("-", format!("more than {STDIN_BYTES_MAX} bytes on standard input: use a file")));
        }
        return contents(Cursor::new(bytes), "standard input", is_wanted, take);
    }
    let path = Path::new(source);
    if !path.exists()
        && source.len() >= HEX_DIGITS_MIN
        && let Some(bytes) = hex(source)
    {
        return take(Found::Packet(Captured { place: "the command line".to_owned(), bytes, ..Captured::default() }));
    }
    if path.is_dir() { directory(path, is_wanted, take) } else { file(path, is_wanted, take) }
}

/// Bytes as people write them: `0x` before them, spaces or colons between them.
fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    parse_hex(&digits)
}

fn directory(path: &Path, is_wanted: &dyn Fn(u16) -> bool, take: Take<'_>) -> Result<(), CliError> {
    let name = path.display().to_string();
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| failed(&name, error))? {
        let entry = entry.map_err(|error| failed(&name, error))?.path();
        let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if ENDINGS.contains(&ending.as_str()) && entry.is_file() {
            files.push(entry);
        }
        if files.len() > FILES_MAX {
            return Err(failed(&name, format!("more than {FILES_MAX} captures in one directory")));
        }
    }
    if files.is_empty() {
        return Err(failed(&name, format!("no capture in it: no file that ends in {}", ENDINGS.join(", "))));
    }
    files.sort();
    files.iter().try_for_each(|path| file(path, is_wanted, take))
}

fn file(path: &Path, is_wanted: &dyn Fn(u16) -> bool, take: Take<'_>) -> Result<(), CliError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| failed(&name, error))?;
    let about = file.metadata().map_err(|error| failed(&name, error))?;
    if about.len() > FILE_BYTES_MAX {
        let why = format!(
            "{} bytes are more than the {FILE_BYTES_MAX} that are read: cut out the RADIUS packets first, as with \
             tcpdump -r FILE -w LESS udp port 1812 or udp port 1813",
            about.len()
        );
        return Err(failed(&name, why));
    }
    // What is no plain file may never end.
    contents(BufReader::with_capacity(1 << 16, file.take(FILE_BYTES_MAX)), &name, is_wanted, take)
}

/// By its first bytes it is told what it is.
fn contents(
    mut reader: impl BufRead + Send,
    name: &str,
    is_wanted: &dyn Fn(u16) -> bool,
    take: Take<'_>,
) -> Result<(), CliError> {
    let beginning = reader.fill_buf().map_err(|error| failed(name, error))?;
    if beginning.is_empty() {
        return take(Found::Fault(format!("{name}: nothing is in it")));
    }
    if pcap::begins(beginning) { pcap::read(reader, name, is_wanted, take) } else { lines::read(reader, name, take) }
}

fn failed(name: &str, why: impl std::fmt::Display) -> CliError {
    let name = if name == "-" { "standard input" } else { name };
    CliError::failed(format!("{}: {why}", crate::transport::cli::client::shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str) -> Result<Vec<Found>, CliError> {
        let mut found = Vec::new();
        read(source, &|_| true, &mut |it| {
            found.push(it);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn digits_that_are_typed_are_a_packet_in_any_spelling() {
        let plain = "0c".repeat(20);
        let colons = vec!["0C"; 20].join(":");
        for typed in [plain.clone(), format!("0x{plain}"), colons, vec!["0c"; 20].join(" ")] {
            let found = all(&typed).unwrap();
            assert!(matches!(&found[..], [Found::Packet(packet)] if packet.bytes == [12; 20]), "{typed}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        for missing in ["none.pcap", "deadbeef"] {
            let error = all(missing).unwrap_err();
            assert!(error.to_string().starts_with(missing), "{error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(all(empty.path().to_str().unwrap()).unwrap_err().to_string().contains("no capture in it"));
    }

    #[test]
    fn a_directory_is_read_file_by_file_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, byte) in [("b.hex", "0b"), ("a.hex", "0a"), ("c.txt", "0c")] {
            fs::write(folder.path().join(name), byte.repeat(20)).unwrap();
        }
        let first = |found: &Found| match found {
            Found::Packet(packet) => packet.bytes[0],
            other => panic!("{other:?}"),
        };
        let found = all(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(found.iter().map(first).collect::<Vec<_>>(), [10, 11]);
    }
}
