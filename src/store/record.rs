//! How facts and snapshots are written: a format byte, then postcard; a checksum beside.
//!
//! Postcard has no names in it, so a format stands for the exact shape of the domain's types. When a
//! shape changes after a release, the old types stay here under their format and are turned into the
//! new ones; the newest format is the only one written.

use serde::{Deserialize, Serialize};

use super::error::RecordFault;
use crate::domain::book::{Book, BookChange};
use crate::domain::decision::Fact;
use crate::domain::world::{World, WorldImage};

/// The format that is written.
const FORMAT: u8 = 4;

/// Writes a batch of facts into a buffer, after what is in it, and gives the checksum of it.
///
/// The sequence is part of the checksum, so that a record in another one's place is noticed.
pub fn write_facts(sequence: u64, facts: &[Fact], buffer: &mut Vec<u8>) -> Result<u32, RecordFault> {
    let start = buffer.len();
    buffer.push(FORMAT);
    postcard::to_io(facts, &mut *buffer).map_err(|_| RecordFault::Meaning)?;
    Ok(checksum(sequence, buffer.get(start..).unwrap_or_default()))
}

/// Reads a batch of facts.
///
/// # Errors
/// The record is damaged, or of a format that is not known.
pub fn read_facts(sequence: u64, stored_checksum: u32, body: &[u8]) -> Result<Vec<Fact>, RecordFault> {
    read(sequence, stored_checksum, body)
}

/// All that a start needs: World and what operators wrote, as of one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The highest key that the book ever used.
    pub last_key: u32,
    /// The changes that make the book.
    pub book: Vec<BookChange>,
    /// World.
    pub world: WorldImage,
}

/// A snapshot as it is written, with its checksum.
#[derive(Debug)]
pub struct WrittenSnapshot {
    /// The record that it stands at.
    pub sequence: u64,
    /// Of sequence and body.
    pub checksum: u32,
    /// What is to be kept.
    pub body: Vec<u8>,
}

/// Writes what [`Snapshot`] reads, without a copy of the world.
pub fn write_snapshot(sequence: u64, book: &Book, world: &World) -> Result<WrittenSnapshot, RecordFault> {
    // In the order of the fields of `Snapshot`: postcard writes a tuple as it writes a structure.
    let snapshot = (book.last_key(), book.as_changes(), world.image_to_write());
    let body = postcard::to_io(&snapshot, vec![FORMAT]).map_err(|_| RecordFault::Meaning)?;
    Ok(WrittenSnapshot { sequence, checksum: checksum(sequence, &body), body })
}

/// Reads a snapshot.
///
/// # Errors
/// It is damaged, or of a format that is not known.
pub fn read_snapshot(sequence: u64, stored_checksum: u32, body: &[u8]) -> Result<Snapshot, RecordFault> {
    read(sequence, stored_checksum, body)
}

/// Writes one value of the tables that only this program reads.
pub fn write_value<T: Serialize>(value: &T) -> Result<Vec<u8>, RecordFault> {
    postcard::to_io(value, vec![FORMAT]).map_err(|_| RecordFault::Meaning)
}

/// Adds a value to others of its kind, for [`list_of`].
pub fn write_item<T: Serialize>(value: &T, items: &mut Vec<u8>) -> Result<(), RecordFault> {
    postcard::to_io(value, items).map(|_| ()).map_err(|_| RecordFault::Meaning)
}

/// So many values that were written one by one, as [`write_value`] writes a list of them.
pub fn list_of(count: u32, items: &[u8]) -> Result<Vec<u8>, RecordFault> {
    // A list is its length and then its values.
    let mut list = postcard::to_io(&count, vec![FORMAT]).map_err(|_| RecordFault::Meaning)?;
    list.extend_from_slice(items);
    Ok(list)
}

/// Writes a value of the journal's file beside the records, and gives the checksum of it.
pub fn write_checked<T: Serialize>(sequence: u64, value: &T) -> Result<(u32, Vec<u8>), RecordFault> {
    let body = write_value(value)?;
    Ok((checksum(sequence, &body), body))
}

/// Reads what [`write_checked`] wrote.
///
/// # Errors
/// It is damaged, or of a format that is not known.
pub fn read_checked<T: for<'a> Deserialize<'a>>(
    sequence: u64,
    stored_checksum: u32,
    body: &[u8],
) -> Result<T, RecordFault> {
    read(sequence, stored_checksum, body)
}

/// Reads one value of the tables.
///
/// # Errors
/// It is of a format that is not known, or has no meaning.
pub fn read_value<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, RecordFault> {
    match body.split_first() {
        Some((&FORMAT, rest)) => whole(rest),
        Some((&format, _)) => Err(RecordFault::Version(format)),
        None => Err(RecordFault::Meaning),
    }
}

fn read<T: for<'a> Deserialize<'a>>(sequence: u64, stored_checksum: u32, body: &[u8]) -> Result<T, RecordFault> {
    // A format of the future may have another checksum, so it is looked at first.
    match body.first() {
        Some(&FORMAT) | None => {}
        Some(&format) if checksum(sequence, body) == stored_checksum => return Err(RecordFault::Version(format)),
        Some(_) => return Err(RecordFault::Checksum),
    }
    if checksum(sequence, body) != stored_checksum {
        return Err(RecordFault::Checksum);
    }
    whole(body.get(1..).unwrap_or_default())
}

fn whole<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, RecordFault> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(RecordFault::Meaning),
    }
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::decision::Event;
    use crate::domain::id::{CallId, NasKey};
    use crate::domain::policy::Policy;
    use crate::domain::time::Timestamp;
    use crate::domain::world::World;

    fn facts() -> Vec<Fact> {
        let at = Timestamp::from_seconds(5);
        vec![
            Fact { at, event: Event::Told { call: CallId(7), seconds: 60 } },
            Fact { at, event: Event::Revived { call: CallId(8) } },
        ]
    }

    fn written(sequence: u64) -> (u32, Vec<u8>) {
        let mut body = Vec::new();
        let checksum = write_facts(sequence, &facts(), &mut body).unwrap();
        (checksum, body)
    }

    #[test]
    fn facts_are_read_back() {
        let (checksum, body) = written(3);
        assert_eq!(read_facts(3, checksum, &body), Ok(facts()));
    }

    #[test]
    fn a_snapshot_is_read_as_the_image_that_it_was() {
        let mut world = World::new(Policy::default());
        let at = Timestamp::from_seconds(5);
        world.apply(at, &Event::Booted { nas: NasKey(4), sender: (*b"box").into(), at, word: Some(7) });
        let written = write_snapshot(3, &Book::default(), &world).unwrap();
        let read = read_snapshot(3, written.checksum, &written.body);
        assert_eq!(read, Ok(Snapshot { last_key: 0, book: Vec::new(), world: world.image() }));
    }

    #[test]
    fn values_written_one_by_one_are_a_list() {
        for count in [0, 1, 2, 200] {
            let lines: Vec<Fact> = facts().into_iter().cycle().take(count).collect();
            let mut items = Vec::new();
            lines.iter().for_each(|line| write_item(line, &mut items).unwrap());
            let list = list_of(u32::try_from(count).unwrap(), &items).unwrap();
            assert_eq!(list, write_value(&lines).unwrap());
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let (checksum, body) = written(3);
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_facts(3, checksum, &damaged), Err(RecordFault::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn a_record_in_another_ones_place_is_noticed() {
        let (checksum, body) = written(3);
        assert_eq!(read_facts(4, checksum, &body), Err(RecordFault::Checksum));
    }

    #[test]
    fn a_torn_record_is_noticed() {
        let (checksum, body) = written(3);
        for length in 0..body.len() {
            assert!(read_facts(3, checksum, &body[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_format_of_the_future_is_named() {
        let body = vec![9, 1, 2, 3];
        assert_eq!(read_facts(1, super::checksum(1, &body), &body), Err(RecordFault::Version(9)));
    }

    #[test]
    fn what_fits_its_checksum_but_says_more_is_not_understood() {
        let (_, mut body) = written(3);
        body.push(0);
        assert_eq!(read_facts(3, super::checksum(3, &body), &body), Err(RecordFault::Meaning));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut body = vec![0; random.usize(1..80)];
            random.fill(&mut body);
            body[0] = FORMAT;
            let _: Result<Vec<Fact>, _> = read_facts(1, super::checksum(1, &body), &body);
        }
    }
}
