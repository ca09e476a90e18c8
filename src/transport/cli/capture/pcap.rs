//! Captures of a network: pcap and pcapng, block by block.

use std::io::BufRead;

use pcap_parser::pcapng::Block;
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

use super::link::{self, Frame};
use super::{Captured, Found, Take};
use crate::domain::time::Timestamp;
use crate::transport::cli::error::CliError;

/// What is held of a file to begin with, and at most: no sound block is longer.
const BUFFER_BYTES: usize = 1 << 18;
const BUFFER_BYTES_MAX: usize = 16 << 20;
/// Most interfaces of a pcapng file.
const INTERFACES_MAX: usize = 4_096;

/// The four bytes that files begin with: pcapng; pcap with microseconds or nanoseconds, in either order
/// of bytes; pcap as some Linux systems changed it.
const BEGINNINGS: [[u8; 4]; 7] = [
    [0x0a, 0x0d, 0x0d, 0x0a],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xcd, 0x34],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// Whether a file that begins so is a capture of a network.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|beginning| BEGINNINGS.contains(beginning))
}

/// An interface, or the whole of a pcap file.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds to be added.
    offset: i64,
}

/// What is known while a file is read.
struct Reading<'a> {
    name: &'a str,
    is_wanted: &'a dyn Fn(u16) -> bool,
    interfaces: Vec<Interface>,
    frames: u64,
    fragments: u64,
    /// Kinds of frames that are not read, each once.
    foreign: Vec<i32>,
}

/// Reads a file to its end, or to where it is broken.
pub(super) fn read(
    reader: impl BufRead + Send,
    name: &str,
    is_wanted: &dyn Fn(u16) -> bool,
    take: Take<'_>,
) -> Result<(), CliError> {
    let mut blocks = match create_reader(BUFFER_BYTES, reader) {
        Ok(blocks) => blocks,
        Err(error) => return take(Found::Fault(format!("{name}: its header cannot be read: {}", told(&error)))),
    };
    let mut reading = Reading { name, is_wanted, interfaces: Vec::new(), frames: 0, fragments: 0, foreign: Vec::new() };
    let mut capacity = BUFFER_BYTES;
    let broken = loop {
        let is_at_end = blocks.reader_exhausted();
        match blocks.next() {
            Ok((length, block)) => {
                if let Some(found) = reading.block(&block) {
                    take(found)?;
                }
                blocks.consume(length);
            }
            Err(PcapError::Eof) => break None,
            Err(PcapError::Incomplete(_)) if is_at_end => break Some("it ends in the middle".to_owned()),
            Err(PcapError::Incomplete(_)) => {
                if let Err(error) = blocks.refill() {
                    break Some(told(&error));
                }
            }
            Err(PcapError::BufferTooSmall) if capacity < BUFFER_BYTES_MAX => {
                capacity = capacity.saturating_mul(4).min(BUFFER_BYTES_MAX);
                if !blocks.grow(capacity) {
                    break Some("a block is too long".to_owned());
                }
                if let Err(error) = blocks.refill() {
                    break Some(told(&error));
                }
            }
            Err(error) => break Some(told(&error)),
        }
    };
    if let Some(broken) = broken {
        let offset = blocks.consumed();
        let frames = reading.frames;
        take(Found::Fault(format!("{name}: byte {offset}, behind frame {frames}: {broken}; the rest is not read")))?;
    }
    reading.end(take)
}

fn told<I: Sized>(error: &PcapError<I>) -> String {
    match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => "it ends in the middle".to_owned(),
        PcapError::BufferTooSmall => format!("a block is longer than {BUFFER_BYTES_MAX} bytes"),
        PcapError::ReadError => "it cannot be read".to_owned(),
        PcapError::HeaderNotRecognized => "neither pcap nor pcapng".to_owned(),
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "a block is broken".to_owned(),
    }
}

impl Reading<'_> {
    fn block(&mut self, block: &PcapBlockOwned<'_>) -> Option<Found> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces = vec![Interface { link: header.network, resolution, offset: 0 }];
                None
            }
            PcapBlockOwned::Legacy(frame) => {
                let interface = self.interfaces.first().copied();
                let at = interface.and_then(|it| {
                    instant(&it, u128::from(frame.ts_sec) * u128::from(it.resolution) + u128::from(frame.ts_usec))
                });
                self.frame(interface, at, frame.data)
            }
            // Interfaces are numbered anew in each section.
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    let resolution = resolution(interface.if_tsresol);
                    let offset = interface.if_tsoffset;
                    self.interfaces.push(Interface { link: interface.linktype, resolution, offset });
                }
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(frame)) => {
                let interface = usize::try_from(frame.if_id).ok().and_then(|id| self.interfaces.get(id)).copied();
                let units = u128::from(frame.ts_high) << 32 | u128::from(frame.ts_low);
                let at = interface.and_then(|it| instant(&it, units));
                self.frame(interface, at, without_padding(frame.data, frame.caplen))
            }
            PcapBlockOwned::NG(Block::SimplePacket(frame)) => {
                let interface = self.interfaces.first().copied();
                self.frame(interface, None, without_padding(frame.data, frame.origlen))
            }
            PcapBlockOwned::NG(_) => None,
        }
    }

    fn frame(&mut self, interface: Option<Interface>, at: Option<Timestamp>, bytes: &[u8]) -> Option<Found> {
        self.frames = self.frames.saturating_add(1);
        let link = interface?.link;
        if !link::is_read(link) {
            if !self.foreign.contains(&link.0) && self.foreign.len() < INTERFACES_MAX {
                self.foreign.push(link.0);
            }
            return None;
        }
        match link::frame(link, bytes) {
            Frame::Udp(from, to, payload) if (self.is_wanted)(from.port()) || (self.is_wanted)(to.port()) => {
                let place = format!("{} frame {}", self.name, self.frames);
                let (from, to) = (Some(from), Some(to));
                Some(Found::Packet(Captured { place, at, from, to, told: None, secret: None, bytes: payload.to_vec() }))
            }
            Frame::Fragment => {
                self.fragments = self.fragments.saturating_add(1);
                None
            }
            Frame::Udp(..) | Frame::Other => None,
        }
    }

    /// What was passed over and may be missed.
    fn end(self, take: Take<'_>) -> Result<(), CliError> {
        let name = self.name;
        for link in &self.foreign {
            take(Found::Fault(format!(
                "{name}: frames of link type {link} are not read: Ethernet, Linux cooked, loopback and raw IP are"
            )))?;
        }
        if self.fragments > 0 {
            let note =
                format!("{name}: {} fragments of UDP are passed over: they are not put together", self.fragments);
            take(Found::Note(note))?;
        }
        Ok(())
    }
}

/// Units of time in a second: a power of ten, or of two where the first bit says so; microseconds where
/// it cannot be meant.
fn resolution(code: u8) -> u64 {
    let power = u32::from(code & 0x7f);
    let resolution = if code & 0x80 == 0 { 10_u64.checked_pow(power) } else { 1_u64.checked_shl(power) };
    resolution.unwrap_or(1_000_000)
}

fn instant(interface: &Interface, units: u128) -> Option<Timestamp> {
    let millis = units.checked_mul(1000)?.checked_div(u128::from(interface.resolution))?;
    let millis = i64::try_from(millis).ok()?;
    Some(Timestamp::from_millis(millis.checked_add(interface.offset.checked_mul(1000)?)?))
}

fn without_padding(bytes: &[u8], length: u32) -> &[u8] {
    usize::try_from(length).ok().and_then(|length| bytes.get(..length)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(5000, port).write(&mut bytes, payload).unwrap();
        bytes
    }

    /// A file as capturing programs write it: header, and for each frame seconds, fraction, both lengths.
    fn pcap(magic: u32, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for number in [magic, 0x0004_0002, 0, 0, 65_535, link] {
            file.extend(number.to_le_bytes());
        }
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap();
            for number in [1_790_000_000, 500_000, length, length] {
                file.extend(number.to_le_bytes());
            }
            file.extend(frame);
        }
        file
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 12).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), body, &length.to_le_bytes()].concat()
    }

    /// A pcapng file with an interface of milliseconds.
    fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
        let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        let mut file = block(0x0a0d_0d0a, &section);
        file.extend(block(1, &[101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0]));
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap();
            let millis = 1_790_000_000_500_u64;
            let mut body = 0_u32.to_le_bytes().to_vec();
            body.extend(u32::try_from(millis >> 32).unwrap().to_le_bytes());
            body.extend((millis as u32).to_le_bytes());
            body.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
            body.extend(frame);
            body.resize(body.len().next_multiple_of(4), 0);
            file.extend(block(6, &body));
        }
        file
    }

    fn all(file: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        read(file, "x", &|port| port == 1812, &mut |it| {
            found.push(it);
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn frames_of_either_form_are_found_with_their_times() {
        let frames = [frame(53, b"other"), frame(1812, b"radius")];
        for file in [pcap(0xa1b2_c3d4, 101, &frames), pcapng(&frames)] {
            assert!(begins(&file));
            let found = all(&file);
            let [Found::Packet(packet)] = &found[..] else { panic!("{found:?}") };
            assert_eq!((packet.place.as_str(), &packet.bytes[..]), ("x frame 2", &b"radius"[..]));
            assert_eq!(packet.at, Some(Timestamp::from_millis(1_790_000_000_500)));
        }
        let [Found::Packet(nanos)] = &all(&pcap(0xa1b2_3c4d, 101, &frames))[..] else { panic!() };
        assert_eq!(nanos.at, Some(Timestamp::from_millis(1_790_000_000_000)));
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_what_is_whole_and_one_fault() {
        let frames = [frame(1812, b"first"), frame(1812, b"second")];
        for file in [pcap(0xa1b2_c3d4, 101, &frames), pcapng(&frames)] {
            for length in 4..file.len() {
                let found = all(&file[..length]);
                let faults = found.iter().filter(|it| matches!(it, Found::Fault(_))).count();
                assert!(faults <= 1 && found.len() - faults <= 1, "{length}: {found:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_changed_anywhere_do_no_harm() {
        let frames = [frame(1812, b"first"), frame(1812, b"second")];
        for file in [pcap(0xa1b2_c3d4, 101, &frames), pcapng(&frames)] {
            for place in 4..file.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut changed = file.clone();
                    changed[place] = value;
                    assert!(all(&changed).len() <= 4);
                }
            }
        }
    }

    #[test]
    fn what_is_passed_over_is_told() {
        let mut fragment = frame(1812, b"radius");
        fragment[6] = 0x20;
        assert!(
            matches!(&all(&pcap(0xa1b2_c3d4, 101, &[fragment]))[..], [Found::Note(note)] if note.contains("1 frag"))
        );
        let foreign = all(&pcap(0xa1b2_c3d4, 105, &[frame(1812, b"radius")]));
        assert!(matches!(&foreign[..], [Found::Fault(fault)] if fault.contains("link type 105")), "{foreign:?}");
    }

    #[test]
    fn a_resolution_is_a_power_of_ten_or_of_two() {
        assert_eq!([resolution(6), resolution(9), resolution(0x8a)], [1_000_000, 1_000_000_000, 1024]);
        assert_eq!([resolution(20), resolution(0xff)], [1_000_000; 2]);
    }
}
