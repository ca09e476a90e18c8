//! Reads dictionary files line by line into a [`Dictionary`].
//!
//! Whoever writes a file may be careless or hostile, so everything has a limit: the depth of
//! inclusion, the number of files, their length, the number of definitions. Definitions that our
//! decoding has no use for (numbers above 255, nested or extended attributes) are read over and
//! counted, so that the files that FreeRADIUS ships can be loaded.

use std::collections::{BTreeMap, BTreeSet};

use super::{AttributeDefinition, Dictionary, DictionaryError, DictionaryFault, NO_VENDOR, ValueType};
use crate::wire::value::Quoted;

/// The longest file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// How deep a file may be included.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// How many files may be included, counting each time.
pub const FILES_MAX: usize = 512;
/// How many vendors, attributes and values there may be.
pub const DEFINITIONS_MAX: usize = 100_000;
/// The longest name.
pub const NAME_BYTES_MAX: usize = 128;

/// Reads the root file and all that it includes.
pub(super) fn read(
    root: &str,
    source: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Dictionary, DictionaryError> {
    let mut reader = Reader::default();
    let root = join("", root).map_err(|fault| error(root, 0, fault))?;
    reader.file(&root, &mut Vec::new(), source)?;
    reader.attach_values()?;
    Ok(reader.dictionary)
}

/// What is known while files are read.
#[derive(Default)]
struct Reader {
    dictionary: Dictionary,
    files: usize,
    definitions: usize,
    /// Vendors whose attributes are not of the simple format.
    foreign_vendors: BTreeSet<u32>,
    /// Names of attributes that were read over, so that their values can be too.
    skipped_names: BTreeSet<String>,
    /// Values whose attribute may be defined further down.
    values: Vec<PendingValue>,
}

struct PendingValue {
    file: String,
    line: usize,
    attribute: String,
    name: String,
    number: u64,
}

/// Which block the reader is in; blocks begin and end in the same file.
enum Block {
    None,
    Vendor { number: u32, name: String },
    Skipped { name: String },
}

impl Reader {
    fn file(
        &mut self,
        name: &str,
        open: &mut Vec<String>,
        source: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<(), DictionaryError> {
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            return Err(error(name, 0, DictionaryFault::TooManyFiles));
        }
        let text = source(name).map_err(|reason| error(name, 0, DictionaryFault::CannotRead(reason)))?;
        if text.len() > FILE_BYTES_MAX {
            return Err(error(name, 0, DictionaryFault::FileTooLong));
        }
        open.push(name.to_owned());
        let mut block = Block::None;
        let mut last_line = 0;
        for (line, content) in (1..).zip(text.lines()) {
            last_line = line;
            let at = |fault| error(name, line, fault);
            let mut words = words(content);
            let Some(keyword) = words.next() else {
                continue;
            };
            match keyword {
                "$INCLUDE" | "$INCLUDE-" => {
                    let included = words.next().ok_or(DictionaryFault::Missing("a file name"));
                    let included = included.and_then(|included| join(name, included)).map_err(at)?;
                    if open.contains(&included) {
                        return Err(at(DictionaryFault::Cycle(shown(&included))));
                    }
                    if open.len() >= INCLUDE_DEPTH_MAX {
                        return Err(at(DictionaryFault::TooDeep));
                    }
                    match self.file(&included, open, source) {
                        Err(missing) if keyword == "$INCLUDE-" && missing.is_absent(&included) => {}
                        other => other?,
                    }
                }
                _ => self.line(keyword, &mut words, &mut block, name, line).map_err(at)?,
            }
        }
        open.pop();
        match block {
            Block::None => Ok(()),
            Block::Vendor { name: block, .. } | Block::Skipped { name: block } => {
                let fault = DictionaryFault::NotEnded(shown(&block));
                Err(error(name, last_line, fault))
            }
        }
    }

    fn line<'t>(
        &mut self,
        keyword: &str,
        words: &mut impl Iterator<Item = &'t str>,
        block: &mut Block,
        file: &str,
        line: usize,
    ) -> Result<(), DictionaryFault> {
        match keyword {
            "ATTRIBUTE" => self.attribute(words, block),
            "VALUE" => self.value(words, file, line),
            "VENDOR" => self.vendor(words),
            "BEGIN-VENDOR" => self.begin_vendor(words, block),
            "BEGIN-TLV" => {
                let name = next_name(words, "an attribute name")?;
                begin(block, Block::Skipped { name })
            }
            "END-VENDOR" | "END-TLV" => {
                let name = next_name(words, "a name")?;
                end(block, &name)
            }
            _ => Err(DictionaryFault::UnknownKeyword(shown(keyword))),
        }
    }

    /// `VENDOR name number [format=t,l[,c]]`
    fn vendor<'t>(&mut self, words: &mut impl Iterator<Item = &'t str>) -> Result<(), DictionaryFault> {
        let name = next_name(words, "a vendor name")?;
        let number = next_number(words)?;
        let number = u32::try_from(number)
            .ok()
            .filter(|number| *number != NO_VENDOR)
            .ok_or_else(|| DictionaryFault::BadNumber(number.to_string()))?;
        let is_foreign =
            words.next().and_then(|option| option.strip_prefix("format=")).is_some_and(|format| format != "1,1");
        self.count()?;
        let key = name.to_ascii_lowercase();
        let known = self.dictionary.vendor_numbers.get(&key);
        if known.is_some_and(|known| *known != number) {
            return Err(DictionaryFault::Redefined(shown(&name)));
        }
        if is_foreign {
            self.foreign_vendors.insert(number);
        }
        self.dictionary.vendor_numbers.insert(key, number);
        self.dictionary.vendor_names.insert(number, name);
        Ok(())
    }

    /// `BEGIN-VENDOR name [format=...|parent=...]`; with an option the vendor's attributes are
    /// carried in extended ones.
    fn begin_vendor<'t>(
        &mut self,
        words: &mut impl Iterator<Item = &'t str>,
        block: &mut Block,
    ) -> Result<(), DictionaryFault> {
        let name = next_name(words, "a vendor name")?;
        let number =
            self.dictionary.vendor_number(&name).ok_or_else(|| DictionaryFault::UnknownVendor(shown(&name)))?;
        let is_simple = words.next().is_none() && !self.foreign_vendors.contains(&number);
        begin(block, if is_simple { Block::Vendor { number, name } } else { Block::Skipped { name } })
    }

    /// `ATTRIBUTE name number type [flags | vendor]`
    fn attribute<'t>(
        &mut self,
        words: &mut impl Iterator<Item = &'t str>,
        block: &Block,
    ) -> Result<(), DictionaryFault> {
        let name = next_name(words, "an attribute name")?;
        let number = words.next().ok_or(DictionaryFault::Missing("an attribute number"))?;
        let type_name = words.next().ok_or(DictionaryFault::Missing("an attribute type"))?;
        let options = words.next().unwrap_or_default();
        self.count()?;
        let vendor = match block {
            Block::Vendor { number, .. } => Some(*number),
            // The format of radiusclient names the vendor at the end of the line.
            Block::None => Some(self.dictionary.vendor_number(options).unwrap_or(NO_VENDOR)),
            Block::Skipped { .. } => None,
        };
        let kind = attribute_number(number)?;
        let value_type = value_type(type_name)?;
        let (Some(vendor), Some(kind), Some(value_type)) = (vendor, kind, value_type) else {
            self.dictionary.skipped = self.dictionary.skipped.saturating_add(1);
            self.skipped_names.insert(name.to_ascii_lowercase());
            return Ok(());
        };
        let definition = AttributeDefinition {
            is_concealed: options.split(',').any(|flag| flag == "secret" || flag.starts_with("encrypt=")),
            name,
            vendor,
            kind,
            value_type,
            value_names: BTreeMap::new(),
            value_numbers: BTreeMap::new(),
        };
        self.define(definition)
    }

    fn define(&mut self, definition: AttributeDefinition) -> Result<(), DictionaryFault> {
        let dictionary = &mut self.dictionary;
        let key = definition.name.to_ascii_lowercase();
        let number = (definition.vendor, definition.kind);
        if let Some(index) = dictionary.by_name.get(&key) {
            // The same line twice, as when a file is included by two others, changes nothing.
            let is_same = dictionary
                .attributes
                .get(*index)
                .is_some_and(|known| (known.vendor, known.kind) == number && known.value_type == definition.value_type);
            if !is_same {
                return Err(DictionaryFault::Redefined(shown(&definition.name)));
            }
            dictionary.by_number.insert(number, *index);
            return Ok(());
        }
        let index = dictionary.attributes.len();
        dictionary.by_name.insert(key, index);
        dictionary.by_number.insert(number, index);
        dictionary.attributes.push(definition);
        Ok(())
    }

    /// `VALUE attribute name number`
    fn value<'t>(
        &mut self,
        words: &mut impl Iterator<Item = &'t str>,
        file: &str,
        line: usize,
    ) -> Result<(), DictionaryFault> {
        let attribute = next_name(words, "an attribute name")?;
        let name = next_name(words, "a value name")?;
        let number = next_number(words)?;
        self.count()?;
        self.values.push(PendingValue { file: file.to_owned(), line, attribute, name, number });
        Ok(())
    }

    /// Gives the values to their attributes, once all attributes are known.
    fn attach_values(&mut self) -> Result<(), DictionaryError> {
        for value in std::mem::take(&mut self.values) {
            let key = value.attribute.to_ascii_lowercase();
            let index = self.dictionary.by_name.get(&key).copied();
            let definition = index.and_then(|index| self.dictionary.attributes.get_mut(index));
            let Some(definition) = definition else {
                if self.skipped_names.contains(&key) {
                    continue;
                }
                let fault = DictionaryFault::UnknownAttribute(shown(&value.attribute));
                return Err(error(&value.file, value.line, fault));
            };
            let key = value.name.to_ascii_lowercase();
            let known = definition.value_numbers.insert(key, value.number);
            if known.is_some_and(|known| known != value.number) {
                let fault = DictionaryFault::Redefined(shown(&value.name));
                return Err(error(&value.file, value.line, fault));
            }
            definition.value_names.insert(value.number, value.name);
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), DictionaryFault> {
        self.definitions = self.definitions.saturating_add(1);
        if self.definitions > DEFINITIONS_MAX {
            return Err(DictionaryFault::TooManyDefinitions);
        }
        Ok(())
    }
}

impl DictionaryError {
    /// Whether this file itself could not be read.
    fn is_absent(&self, file: &str) -> bool {
        self.file == file && matches!(self.fault, DictionaryFault::CannotRead(_))
    }
}

// -------------------------------------------------------------------------------- words

/// The words of a line, without the comment at its end.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_ascii_whitespace()
}

fn next_name<'t>(words: &mut impl Iterator<Item = &'t str>, what: &'static str) -> Result<String, DictionaryFault> {
    let name = words.next().ok_or(DictionaryFault::Missing(what))?;
    check_name(name)?;
    Ok(name.to_owned())
}

/// Names stand in messages, so only those that can be shown as they are.
fn check_name(name: &str) -> Result<(), DictionaryFault> {
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(DictionaryFault::BadName(shown(name)));
    }
    Ok(())
}

fn next_number<'t>(words: &mut impl Iterator<Item = &'t str>) -> Result<u64, DictionaryFault> {
    let word = words.next().ok_or(DictionaryFault::Missing("a number"))?;
    number(word).ok_or_else(|| DictionaryFault::BadNumber(shown(word)))
}

/// Decimal digits, or hexadecimal ones after `0x`; nothing else, no sign either.
fn number(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The number of an attribute; `None` for one that the simple format does not have.
fn attribute_number(word: &str) -> Result<Option<u8>, DictionaryFault> {
    let bad = || DictionaryFault::BadNumber(shown(word));
    if word.contains('.') {
        let is_path = word.split('.').all(|part| part.is_empty() || number(part).is_some());
        return if is_path { Ok(None) } else { Err(bad()) };
    }
    let number = number(word).ok_or_else(bad)?;
    Ok(u8::try_from(number).ok())
}

/// The type of that name; `None` for one whose values are not carried in the simple format.
fn value_type(word: &str) -> Result<Option<ValueType>, DictionaryFault> {
    // `octets[16]` also tells the length, which is not needed to name a value.
    let base = word.split('[').next().unwrap_or_default().to_ascii_lowercase();
    Ok(Some(match base.as_str() {
        "string" => ValueType::Text,
        "octets" | "abinary" | "ether" => ValueType::Octets,
        "integer" | "uint32" => ValueType::Integer,
        "integer64" | "uint64" => ValueType::Integer64,
        "signed" | "int32" => ValueType::Signed,
        "short" | "uint16" => ValueType::Short,
        "byte" | "uint8" | "bool" => ValueType::Byte,
        "date" => ValueType::Date,
        "ipaddr" | "ipv4addr" => ValueType::Ipv4,
        "ipv4prefix" => ValueType::Ipv4Prefix,
        "ipv6addr" => ValueType::Ipv6,
        "ipv6prefix" => ValueType::Ipv6Prefix,
        "combo-ip" => ValueType::ComboIp,
        "ifid" => ValueType::InterfaceId,
        "vsa" => ValueType::Vsa,
        "tlv" => ValueType::Tlv,
        "extended" | "long-extended" | "evs" | "struct" => return Ok(None),
        _ => return Err(DictionaryFault::UnknownType(shown(word))),
    }))
}

fn begin(block: &mut Block, next: Block) -> Result<(), DictionaryFault> {
    match block {
        Block::None => {
            *block = next;
            Ok(())
        }
        Block::Vendor { name, .. } | Block::Skipped { name } => Err(DictionaryFault::Nested(shown(name))),
    }
}

fn end(block: &mut Block, ended: &str) -> Result<(), DictionaryFault> {
    match block {
        Block::Vendor { name, .. } | Block::Skipped { name } if name.eq_ignore_ascii_case(ended) => {
            *block = Block::None;
            Ok(())
        }
        _ => Err(DictionaryFault::UnexpectedEnd(shown(ended))),
    }
}

/// The name of an included file, seen from the root's directory: beside the file that includes it
/// or below, never outside.
fn join(from: &str, name: &str) -> Result<String, DictionaryFault> {
    check_name(name)?;
    let mut parts: Vec<_> = match from.rsplit_once('/') {
        Some((directory, _)) => directory.split('/').collect(),
        None => Vec::new(),
    };
    for part in name.split('/') {
        match part {
            "." => {}
            "" | ".." => return Err(DictionaryFault::OutsideDirectory(shown(name))),
            part if part.contains(['\\', ':']) => {
                return Err(DictionaryFault::OutsideDirectory(shown(name)));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn error(file: &str, line: usize, fault: DictionaryFault) -> DictionaryError {
    DictionaryError { file: file.to_owned(), line, fault }
}

/// A word of a file, quoted, and cut where it is long.
fn shown(word: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 64;
    let bytes = word.as_bytes();
    match bytes.get(..SHOWN_BYTES_MAX) {
        Some(front) if bytes.len() > SHOWN_BYTES_MAX => format!("{}...", Quoted(front)),
        _ => Quoted(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the first of these files; the others can be included.
    fn read_files(files: &[(&str, &str)]) -> Result<Dictionary, String> {
        let root = files.first().expect("a root").0;
        read(root, &mut |name| {
            files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| "not found".to_owned())
        })
        .map_err(|error| error.to_string())
    }

    fn read_text(text: &str) -> Result<Dictionary, String> {
        read_files(&[("root", text)])
    }

    fn fault(text: &str) -> String {
        read_text(text).expect_err("this has a fault")
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        let dictionary = read_text("# a\n\n  \t\nATTRIBUTE X 1 String # b\r\n");
        assert_eq!(dictionary.map(|it| it.attributes().len()), Ok(1));
    }

    #[test]
    fn faults_name_file_and_line() {
        let files = [("root", "\n$INCLUDE sub/a\n"), ("sub/a", "\n\nWHAT\n")];
        assert_eq!(read_files(&files), Err(r#"sub/a:3: unknown keyword "WHAT""#.to_owned()));
    }

    #[test]
    fn each_bad_line_has_its_fault() {
        for (line, expected) in [
            ("ATTRIBUTE", "an attribute name is missing"),
            ("ATTRIBUTE X", "an attribute number is missing"),
            ("ATTRIBUTE X 1", "an attribute type is missing"),
            ("ATTRIBUTE X one string", "\"one\" is not a number"),
            ("ATTRIBUTE X 1.x string", "\"1.x\" is not a number"),
            ("ATTRIBUTE X -1 string", "\"-1\" is not a number"),
            ("ATTRIBUTE X +1 string", "\"+1\" is not a number"),
            ("ATTRIBUTE X 0x string", "\"0x\" is not a number"),
            ("ATTRIBUTE X 1 strink", "unknown type \"strink\""),
            ("ATTRIBUTE \u{7} 1 string", "\"\\x07\" is not a name"),
            ("VALUE X", "a value name is missing"),
            ("VALUE X Y", "a number is missing"),
            ("VALUE X Y Z", "\"Z\" is not a number"),
            ("VALUE X Y 1", "unknown attribute \"X\""),
            ("VENDOR V", "a number is missing"),
            ("VENDOR V 0", "0 is not a number"),
            ("VENDOR V 4294967296", "4294967296 is not a number"),
            ("BEGIN-VENDOR V", "unknown vendor \"V\""),
            ("END-VENDOR V", "\"V\" ends here but did not begin"),
            ("$INCLUDE", "a file name is missing"),
            ("$INCLUDE x", "not found"),
            ("$INCLUDE x\u{7f}", "\"x\\x7f\" is not a name"),
        ] {
            let fault = fault(line);
            assert!(fault.ends_with(expected), "{line}: {fault}");
        }
    }

    #[test]
    fn blocks_end_where_they_begin() {
        let vendor = "VENDOR V 7\nVENDOR W 8\nBEGIN-VENDOR V\n";
        assert_eq!(fault(vendor), "root:3: \"V\" does not end in this file");
        assert_eq!(fault(&format!("{vendor}BEGIN-VENDOR W")), "root:4: \"V\" begins inside another block");
        assert_eq!(fault(&format!("{vendor}END-VENDOR W")), "root:4: \"W\" ends here but did not begin");
    }

    #[test]
    fn includes_stay_inside_and_end() {
        for name in ["/etc/passwd", "../x", "a/../../x", "a//b", "C:\\x"] {
            assert!(fault(&format!("$INCLUDE {name}")).contains("own directory"), "{name}");
        }
        let cycle = [("a", "$INCLUDE b"), ("b", "$INCLUDE ./a")];
        assert_eq!(read_files(&cycle), Err("b:1: \"a\" includes itself".to_owned()));
        let deep = read("d0", &mut |name| {
            let depth: usize = name.trim_start_matches('d').parse().expect("ours");
            Ok(format!("$INCLUDE d{}", depth + 1))
        });
        assert_eq!(deep.map_err(|error| error.fault), Err(DictionaryFault::TooDeep));
    }

    #[test]
    fn a_wide_tree_of_includes_is_cut() {
        let mut reads = 0;
        let wide = read("0/0", &mut |name| {
            reads += 1;
            let depth = name.split('/').count();
            let width = if depth < INCLUDE_DEPTH_MAX { 9 } else { 0 };
            Ok((0..width).map(|it| format!("$INCLUDE {depth}{it}/x\n")).collect())
        });
        assert_eq!(wide.map_err(|error| error.fault), Err(DictionaryFault::TooManyFiles));
        assert_eq!(reads, FILES_MAX);
    }

    #[test]
    fn an_optional_include_may_be_absent_but_not_wrong() {
        assert!(read_text("$INCLUDE- x").is_ok());
        let files = [("root", "$INCLUDE- a"), ("a", "$INCLUDE x")];
        assert!(read_files(&files).is_err());
    }

    #[test]
    fn lengths_and_numbers_are_limited() {
        assert!(fault(&" ".repeat(FILE_BYTES_MAX + 1)).contains("longer than"));
        let name = "x".repeat(NAME_BYTES_MAX + 1);
        let shown = fault(&format!("ATTRIBUTE {name} 1 string"));
        assert!(shown.ends_with("\"... is not a name") && shown.len() < 120, "{shown}");
        let many = read("0", &mut |name| {
            let first: usize = name.parse().expect("ours");
            let mut text: String = (0..20_000).map(|it| format!("VALUE X v{} 1\n", first * 20_000 + it)).collect();
            text.push_str(&format!("$INCLUDE {}", first + 1));
            Ok(text)
        });
        assert_eq!(many.map_err(|error| error.fault), Err(DictionaryFault::TooManyDefinitions));
    }

    #[test]
    fn the_last_name_of_a_number_is_shown_and_keeps_its_own_values() {
        let dictionary = read_text(
            "ATTRIBUTE Error-Cause 101 integer\nVALUE Error-Cause Lost 1\n\
             ATTRIBUTE Sip-Method 101 integer\nVALUE Sip-Method Invite 1\n",
        )
        .expect("a number may have two names");
        let shown = dictionary.attribute(NO_VENDOR, 101).expect("defined");
        assert_eq!(shown.name, "Sip-Method");
        assert_eq!(shown.value_name(1), Some("Invite"));
        let other = dictionary.attribute_named("Error-Cause").expect("kept");
        assert_eq!(other.value_name(1), Some("Lost"));
    }

    #[test]
    fn a_name_means_one_thing() {
        let line = "ATTRIBUTE X 1 string\n";
        assert!(read_text(&line.repeat(2)).is_ok());
        assert!(fault(&format!("{line}ATTRIBUTE x 2 string")).contains("differently"));
        assert!(fault(&format!("{line}ATTRIBUTE X 1 octets")).contains("differently"));
        assert!(fault("VENDOR V 1\nVENDOR v 2").contains("differently"));
        let value = "ATTRIBUTE X 1 integer\nVALUE X A 1\n";
        assert!(fault(&format!("{value}VALUE X a 2")).contains("differently"));
    }

    #[test]
    fn values_may_come_before_their_attribute_and_share_a_number() {
        let dictionary = read_text("VALUE X Alive 3\nVALUE X Interim-Update 0x3\nATTRIBUTE X 40 integer\n")
            .expect("order does not matter");
        let definition = dictionary.attribute_named("x").expect("defined");
        assert_eq!(definition.value_name(3), Some("Interim-Update"));
        assert_eq!(definition.value_number("ALIVE"), Some(3));
    }

    #[test]
    fn vendors_are_named_by_block_or_at_the_end_of_the_line() {
        let dictionary = read_text(
            "VENDOR V 7\nBEGIN-VENDOR V\nATTRIBUTE A 1 string\nEND-VENDOR V\n\
             ATTRIBUTE B 2 string V\nATTRIBUTE C 3 string has_tag\n",
        )
        .expect("both forms are known");
        let vendor_of = |name| dictionary.attribute_named(name).map(|it| it.vendor);
        assert_eq!(vendor_of("A"), Some(7));
        assert_eq!(vendor_of("B"), Some(7));
        assert_eq!(vendor_of("C"), Some(NO_VENDOR));
    }

    #[test]
    fn what_the_simple_format_does_not_have_is_read_over() {
        let dictionary = read_text(
            "ATTRIBUTE Digest-Realm 1063 string\nVALUE Digest-Realm A 1\n\
             ATTRIBUTE Sub 241.1 integer\nATTRIBUTE Ext 241 extended\n\
             ATTRIBUTE T 200 tlv\nBEGIN-TLV T\nATTRIBUTE Inner 1 integer\nEND-TLV T\n\
             VENDOR Wide 429 format=4,0\nBEGIN-VENDOR Wide\nATTRIBUTE W 1 integer\n\
             END-VENDOR Wide\n",
        )
        .expect("none of this is wrong");
        assert_eq!(dictionary.skipped(), 5);
        assert_eq!(dictionary.attributes().len(), 1);
    }

    #[test]
    fn secrets_are_marked() {
        let dictionary = read_text(
            "ATTRIBUTE A 1 string encrypt=1\nATTRIBUTE B 2 octets has_tag,secret\n\
             ATTRIBUTE C 3 octets\n",
        )
        .expect("flags are known or ignored");
        let concealed: Vec<_> = dictionary.attributes().iter().map(|definition| definition.is_concealed).collect();
        assert_eq!(concealed, [true, true, false]);
    }
}
