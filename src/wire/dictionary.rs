//! Names for numbers: which attribute is called what, of what type, and what its values mean.
//!
//! Dictionaries are data, in the format of FreeRADIUS (VENDOR, BEGIN-VENDOR, ATTRIBUTE, VALUE,
//! $INCLUDE), so that an operator can bring the file of a make of NAS along. Those of the RFCs,
//! Cisco and Quintum are compiled in ([`Dictionary::builtin`]). A dictionary only names: decoding
//! never needs one, and a wrong one can show a packet wrongly but not change what it means.
//!
//! The same number may mean different things to different NASes (101 is Error-Cause to an RFC and
//! Sip-Method to a SIP proxy), so a dictionary belongs to a kind of NAS: files that come later may
//! give a number another name. Values belong to the name, not to the number.

mod reader;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use thiserror::Error;

use super::attribute::{Attribute, VendorAttribute};
use super::value::{self, Hex, Quoted};

pub use reader::{DEFINITIONS_MAX, FILE_BYTES_MAX, FILES_MAX, INCLUDE_DEPTH_MAX, NAME_BYTES_MAX};

/// The vendor number of attributes that belong to no vendor.
pub const NO_VENDOR: u32 = 0;

/// The files that are compiled in, by name; the first is the root.
const BUILTIN: [(&str, &str); 15] = [
    ("dictionary", include_str!("../../dictionaries/dictionary")),
    ("rfc2865", include_str!("../../dictionaries/rfc2865")),
    ("rfc2866", include_str!("../../dictionaries/rfc2866")),
    ("rfc2869", include_str!("../../dictionaries/rfc2869")),
    ("rfc3162", include_str!("../../dictionaries/rfc3162")),
    ("rfc5176", include_str!("../../dictionaries/rfc5176")),
    ("rfc5090", include_str!("../../dictionaries/rfc5090")),
    ("cisco", include_str!("../../dictionaries/cisco")),
    ("quintum", include_str!("../../dictionaries/quintum")),
    ("freeswitch", include_str!("../../dictionaries/freeswitch")),
    ("digium", include_str!("../../dictionaries/digium")),
    ("sterman", include_str!("../../dictionaries/sterman")),
    ("kamailio", include_str!("../../dictionaries/kamailio")),
    ("opensips", include_str!("../../dictionaries/opensips")),
    ("sippy", include_str!("../../dictionaries/sippy")),
];

/// Vendors, attributes and values by name and by number. Names are found in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary {
    vendor_names: BTreeMap<u32, String>,
    vendor_numbers: BTreeMap<String, u32>,
    attributes: Vec<AttributeDefinition>,
    by_name: BTreeMap<String, usize>,
    by_number: BTreeMap<(u32, u8), usize>,
    skipped: usize,
}

impl Dictionary {
    /// The dictionary that is compiled in: the RFCs, Cisco, Quintum, FreeSWITCH and Digium.
    pub fn builtin() -> &'static Dictionary {
        static BUILTIN_DICTIONARY: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::compiled_in("dictionary"));
        &BUILTIN_DICTIONARY
    }

    /// The dictionary that one of the compiled-in files is the root of: a make's own file gives
    /// numbers the names that this make means. A root that is not there names nothing.
    pub fn compiled_in(root: &str) -> Dictionary {
        let mut source = |name: &str| {
            let found = BUILTIN.iter().find(|(file, _)| *file == name);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "it is not compiled in".to_owned())
        };
        // The compiled-in files never change at run time, and a test reads them.
        Dictionary::from_source(root, &mut source).unwrap_or_default()
    }

    /// Reads a root file in a directory, and what it includes from there.
    ///
    /// # Errors
    ///
    /// The first fault, with its file and line; nothing is kept then.
    pub fn load(directory: &Path, root: &str) -> Result<Dictionary, DictionaryError> {
        Dictionary::from_source(root, &mut |name| {
            let mut bytes = Vec::new();
            // One byte more than is allowed, so that the reader sees that it is too much.
            File::open(directory.join(name))
                .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
                .map_err(|error| error.to_string())?;
            // Names are ASCII; what is not UTF-8 can only stand in comments.
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    /// Reads a root file and what it includes from wherever `source` finds a file of that name;
    /// where it finds none, it says why.
    ///
    /// # Errors
    ///
    /// The first fault, with its file and line.
    pub fn from_source(
        root: &str,
        source: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Dictionary, DictionaryError> {
        reader::read(root, source)
    }

    /// The attribute of this number ([`NO_VENDOR`] for the standard ones).
    pub fn attribute(&self, vendor: u32, kind: u8) -> Option<&AttributeDefinition> {
        self.attributes.get(*self.by_number.get(&(vendor, kind))?)
    }

    /// The attribute of this name.
    pub fn attribute_named(&self, name: &str) -> Option<&AttributeDefinition> {
        self.attributes.get(*self.by_name.get(&name.to_ascii_lowercase())?)
    }

    /// The name of a vendor.
    pub fn vendor_name(&self, vendor: u32) -> Option<&str> {
        self.vendor_names.get(&vendor).map(String::as_str)
    }

    /// The number of a vendor.
    pub fn vendor_number(&self, name: &str) -> Option<u32> {
        self.vendor_numbers.get(&name.to_ascii_lowercase()).copied()
    }

    /// All attributes, in the order of the files.
    pub fn attributes(&self) -> &[AttributeDefinition] {
        &self.attributes
    }

    /// How many definitions were read over because the wire's simple format does not have them:
    /// numbers above 255, nested and extended attributes, vendors with another format.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// An attribute as text: `Name = value`, several of them with commas for a Vendor-Specific
    /// that holds several. Passwords are not shown; bytes from outside are quoted safely.
    pub fn describe(&self, attribute: &Attribute<'_>) -> String {
        let vendor_specific = attribute.vendor_specific().filter(|specific| specific.is_well_formed());
        match vendor_specific {
            Some(specific) => {
                let parts: Vec<_> = specific.attributes().map(|part| self.describe_vendor(&part)).collect();
                parts.join(", ")
            }
            None => match self.attribute(NO_VENDOR, attribute.kind) {
                Some(definition) => definition.describe(attribute.value),
                None => format!("Attr-{} = 0x{}", attribute.kind, Hex(attribute.value)),
            },
        }
    }

    /// A vendor attribute as text: `Name = value`.
    pub fn describe_vendor(&self, attribute: &VendorAttribute<'_>) -> String {
        match self.attribute(attribute.vendor, attribute.kind) {
            Some(definition) => definition.describe(attribute.value),
            None => format!("Attr-26.{}.{} = 0x{}", attribute.vendor, attribute.kind, Hex(attribute.value)),
        }
    }
}

/// One attribute: its name, number and type, and the names of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeDefinition {
    /// Its name, as written in the dictionary.
    pub name: String,
    /// Whose it is; [`NO_VENDOR`] for the standard ones.
    pub vendor: u32,
    /// Its number.
    pub kind: u8,
    /// How its value is read.
    pub value_type: ValueType,
    /// Whether its value is a secret and not to be shown.
    pub is_concealed: bool,
    value_names: BTreeMap<u64, String>,
    value_numbers: BTreeMap<String, u64>,
}

impl AttributeDefinition {
    /// The name of a value.
    pub fn value_name(&self, number: u64) -> Option<&str> {
        self.value_names.get(&number).map(String::as_str)
    }

    /// The number of a named value, the name in any case.
    pub fn value_number(&self, name: &str) -> Option<u64> {
        self.value_numbers.get(&name.to_ascii_lowercase()).copied()
    }

    fn describe(&self, bytes: &[u8]) -> String {
        let mut text = format!("{} = ", self.name);
        // Writing to a String cannot fail.
        let _ = if self.is_concealed {
            write!(text, "<{} bytes concealed>", bytes.len())
        } else {
            match self.readable(bytes) {
                Some(readable) => write!(text, "{readable}"),
                None => write!(text, "0x{}", Hex(bytes)),
            }
        };
        text
    }

    /// The value in the manner of its type; `None` where it does not fit the type.
    pub fn readable(&self, bytes: &[u8]) -> Option<String> {
        let number = |number: u64| match self.value_name(number) {
            Some(name) => name.to_owned(),
            None => number.to_string(),
        };
        match self.value_type {
            ValueType::Text => Some(Quoted(bytes).to_string()),
            ValueType::Integer => value::integer(bytes).map(u64::from).map(number),
            ValueType::Date => value::time(bytes).map(|seconds| seconds.to_string()),
            ValueType::Integer64 => value::integer64(bytes).map(number),
            ValueType::Short => <[u8; 2]>::try_from(bytes).ok().map(|it| number(u64::from(u16::from_be_bytes(it)))),
            ValueType::Byte => <[u8; 1]>::try_from(bytes).ok().map(|[it]| number(u64::from(it))),
            ValueType::Signed => <[u8; 4]>::try_from(bytes).ok().map(|it| i32::from_be_bytes(it).to_string()),
            ValueType::Ipv4 => value::ipv4(bytes).map(|it| it.to_string()),
            ValueType::Ipv6 => value::ipv6(bytes).map(|it| it.to_string()),
            ValueType::ComboIp => {
                value::ipv4(bytes).map(|it| it.to_string()).or_else(|| value::ipv6(bytes).map(|it| it.to_string()))
            }
            ValueType::Ipv6Prefix => value::ipv6_prefix(bytes).map(|(address, bits)| format!("{address}/{bits}")),
            ValueType::InterfaceId => <[u8; 8]>::try_from(bytes).ok().map(|it| {
                let groups: Vec<_> =
                    it.as_chunks::<2>().0.iter().map(|group| format!("{:x}", u16::from_be_bytes(*group))).collect();
                groups.join(":")
            }),
            ValueType::Octets | ValueType::Ipv4Prefix | ValueType::Vsa | ValueType::Tlv => None,
        }
    }
}

/// How the bytes of a value are read (FreeRADIUS's names in brackets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// UTF-8 text, 0 to 253 bytes (`string`).
    Text,
    /// Bytes without further meaning here (`octets`, `abinary`, `ether`).
    Octets,
    /// 32 bits (`integer`).
    Integer,
    /// 64 bits (`integer64`).
    Integer64,
    /// 32 bits with a sign (`signed`).
    Signed,
    /// 16 bits (`short`).
    Short,
    /// 8 bits (`byte`).
    Byte,
    /// Seconds since 1970, 32 bits (`date`).
    Date,
    /// Four bytes (`ipaddr`).
    Ipv4,
    /// RFC 8044, 3.11 (`ipv4prefix`); shown raw.
    Ipv4Prefix,
    /// Sixteen bytes (`ipv6addr`).
    Ipv6,
    /// RFC 3162, 2.3 (`ipv6prefix`).
    Ipv6Prefix,
    /// Either address (`combo-ip`).
    ComboIp,
    /// Eight bytes (`ifid`).
    InterfaceId,
    /// A Vendor-Specific (`vsa`).
    Vsa,
    /// Attributes nested in a way that is not read here (`tlv`); shown raw.
    Tlv,
}

/// Why a dictionary cannot be used: where, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}: {fault}")]
pub struct DictionaryError {
    /// The file, as it was named where it is included.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub fault: DictionaryFault,
}

/// What is wrong in a dictionary. Words of the file are quoted and cut, safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DictionaryFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    CannotRead(String),
    /// The file is longer than [`FILE_BYTES_MAX`].
    #[error("is longer than {FILE_BYTES_MAX} bytes")]
    FileTooLong,
    /// Inclusion goes deeper than [`INCLUDE_DEPTH_MAX`].
    #[error("includes go deeper than {INCLUDE_DEPTH_MAX} files")]
    TooDeep,
    /// More than [`FILES_MAX`] files are included.
    #[error("more than {FILES_MAX} files are included")]
    TooManyFiles,
    /// There are more than [`DEFINITIONS_MAX`] definitions.
    #[error("there are more than {DEFINITIONS_MAX} definitions")]
    TooManyDefinitions,
    /// The file includes itself, directly or through others.
    #[error("{0} includes itself")]
    Cycle(String),
    /// The included name is absolute or leaves the directory.
    #[error("{0} is not a name below the dictionary's own directory")]
    OutsideDirectory(String),
    /// The first word of the line is none that a dictionary knows.
    #[error("unknown keyword {0}")]
    UnknownKeyword(String),
    /// The line ends too early.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A name is longer than [`NAME_BYTES_MAX`] or has other characters than visible ASCII.
    #[error("{0} is not a name")]
    BadName(String),
    /// A number is not one.
    #[error("{0} is not a number")]
    BadNumber(String),
    /// The type of an attribute is unknown.
    #[error("unknown type {0}")]
    UnknownType(String),
    /// The vendor is not defined.
    #[error("unknown vendor {0}")]
    UnknownVendor(String),
    /// The attribute that a value belongs to is not defined.
    #[error("unknown attribute {0}")]
    UnknownAttribute(String),
    /// The name is defined already, as something else.
    #[error("{0} is defined already and differently")]
    Redefined(String),
    /// A block ends that did not begin.
    #[error("{0} ends here but did not begin")]
    UnexpectedEnd(String),
    /// A block begins inside another one.
    #[error("{0} begins inside another block")]
    Nested(String),
    /// A block is still open at the end of the file.
    #[error("{0} does not end in this file")]
    NotEnded(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kind;

    fn describe(kind: u8, value: &[u8]) -> String {
        Dictionary::builtin().describe(&Attribute { kind, value })
    }

    #[test]
    fn the_compiled_in_files_are_those_of_the_directory() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries");
        let mut found: Vec<_> = std::fs::read_dir(&directory)
            .expect("the directory is part of the project")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        let mut compiled: Vec<_> = BUILTIN.iter().map(|(name, _)| *name).collect();
        found.sort();
        compiled.sort_unstable();
        assert_eq!(found, compiled);
        let loaded = Dictionary::load(&directory, "dictionary").expect("it is sound");
        assert_eq!(&loaded, Dictionary::builtin());
        assert_eq!(loaded.skipped(), 0);
    }

    #[test]
    fn every_compiled_in_file_can_be_a_root() {
        for (root, _) in BUILTIN {
            let loaded = Dictionary::from_source(root, &mut |name| {
                let found = BUILTIN.iter().find(|(file, _)| *file == name);
                found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| name.to_owned())
            });
            // A file of values alone needs the one that it adds to.
            assert!(loaded.is_ok() || root.starts_with("rfc"), "{root}: {loaded:?}");
            assert_eq!(Dictionary::compiled_in(root), loaded.unwrap_or_default());
        }
        assert_eq!(Dictionary::compiled_in("nobody"), Dictionary::default());
    }

    #[test]
    fn a_number_has_the_name_that_its_make_means() {
        let name = |root, number| {
            let dictionary = Dictionary::compiled_in(root);
            dictionary.attribute(NO_VENDOR, number).map(|definition| definition.name.clone()).unwrap_or_default()
        };
        assert_eq!(name("dictionary", 101), "Error-Cause");
        assert_eq!(name("kamailio", 101), "Sip-Method");
        assert_eq!(name("opensips", 101), "Error-Cause");
        assert_eq!([name("kamailio", 206), name("opensips", 206)], ["Digest-Response", "Sip-From-Tag"]);
        assert_eq!([name("sippy", 103), name("dictionary", 103)], ["", "Digest-Response"]);
    }

    #[test]
    fn names_and_numbers_find_each_other() {
        let dictionary = Dictionary::builtin();
        for definition in dictionary.attributes() {
            let by_name = dictionary.attribute_named(&definition.name);
            let by_number = dictionary.attribute(definition.vendor, definition.kind);
            assert_eq!(by_name, Some(definition));
            assert_eq!(by_number, Some(definition));
        }
        let conf_id = dictionary.attribute_named("H323-CONF-ID").expect("in any case");
        assert_eq!((conf_id.vendor, conf_id.kind), (9, 24));
        assert_eq!(dictionary.vendor_number("quintum"), Some(6618));
        assert_eq!(dictionary.vendor_name(9), Some("Cisco"));
    }

    #[test]
    fn the_names_are_those_of_the_vocabulary() {
        let dictionary = Dictionary::builtin();
        for (name, number) in [
            ("User-Name", kind::USER_NAME),
            ("Acct-Session-Id", kind::ACCT_SESSION_ID),
            ("Event-Timestamp", kind::EVENT_TIMESTAMP),
            ("NAS-IPv6-Address", kind::NAS_IPV6_ADDRESS),
            ("Error-Cause", kind::ERROR_CAUSE),
        ] {
            let definition = dictionary.attribute(NO_VENDOR, number);
            assert_eq!(definition.map(|definition| definition.name.as_str()), Some(name));
        }
    }

    #[test]
    fn values_are_shown_in_the_manner_of_their_type() {
        assert_eq!(describe(1, b"alice\n"), r#"User-Name = "alice\x0a""#);
        assert_eq!(describe(4, &[192, 0, 2, 1]), "NAS-IP-Address = 192.0.2.1");
        assert_eq!(describe(27, &[0, 0, 14, 16]), "Session-Timeout = 3600");
        assert_eq!(describe(40, &[0, 0, 0, 2]), "Acct-Status-Type = Stop");
        assert_eq!(describe(40, &[0, 0, 0, 99]), "Acct-Status-Type = 99");
        assert_eq!(describe(24, &[1, 2]), "State = 0x0102");
        assert_eq!(describe(96, &[0, 1, 0, 2, 0, 3, 0xff, 4]), "Framed-Interface-Id = 1:2:3:ff04");
        assert_eq!(describe(97, &[0, 0]), "Framed-IPv6-Prefix = ::/0");
    }

    #[test]
    fn what_does_not_fit_its_type_is_shown_raw() {
        assert_eq!(describe(27, &[1, 2]), "Session-Timeout = 0x0102");
        assert_eq!(describe(4, &[1, 2]), "NAS-IP-Address = 0x0102");
        assert_eq!(describe(250, &[1, 2]), "Attr-250 = 0x0102");
    }

    #[test]
    fn vendor_attributes_are_shown_by_their_own_names() {
        let body = [0, 0, 0, 9, 1, 5, b'a', b'=', b'b', 200, 3, 7];
        assert_eq!(describe(26, &body), r#"Cisco-AVPair = "a=b", Attr-26.9.200 = 0x07"#);
        assert_eq!(describe(26, &[0, 0, 0, 9, 1, 9]), "Vendor-Specific = 0x000000090109");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(describe(2, &[0x61; 16]), "User-Password = <16 bytes concealed>");
        assert_eq!(describe(3, &[0x61; 17]), "CHAP-Password = <17 bytes concealed>");
    }
}
