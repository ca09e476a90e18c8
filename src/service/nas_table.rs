//! Who may speak to us: each NAS by its source address, with all that answering it takes.
//!
//! Built from the book and thrown away with it, so that a packet costs a look-up and nothing is
//! prepared twice. Addresses and networks may overlap: the narrowest one counts.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::dialect::oddity::Oddities;
use crate::dialect::{ClassMark, Dialect, dialect_for};
use crate::domain::book::Book;
use crate::domain::nas::Nas;
use crate::metrics::{Metrics, NasCounters};
use crate::wire::authenticator::{MessageAuthenticatorRule, Secret};

/// A NAS with what is prepared for its packets.
pub struct NasEntry {
    /// What the operator wrote.
    pub nas: Arc<Nas>,
    /// Its secret.
    pub secret: Secret,
    /// What is asked of its Access-Requests.
    pub rule: MessageAuthenticatorRule,
    /// How it means its attributes.
    pub dialect: &'static dyn Dialect,
    /// How our own Class is written and known again.
    pub mark: ClassMark,
    /// What it sent and was sent.
    pub counters: Arc<NasCounters>,
}

impl NasEntry {
    /// Counts what a packet showed to be wrong.
    pub fn count(&self, oddities: Oddities) {
        oddities.iter().for_each(|oddity| self.counters.oddities.increment(oddity));
    }
}

impl fmt::Debug for NasEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NasEntry").field("nas", &self.nas.id).finish_non_exhaustive()
    }
}

/// All NASes by source address.
#[derive(Debug)]
pub struct NasTable {
    book: Arc<Book>,
    by_network: HashMap<IpNet, Arc<NasEntry>>,
    /// Prefix lengths that occur, longest first, so that a look-up tries no others.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

impl NasTable {
    /// The NASes of a book; `instance` is the random number of the database, for our Class.
    pub fn new(book: Arc<Book>, metrics: &Metrics, instance: u32) -> NasTable {
        let mark = ClassMark::new(instance);
        let by_network: HashMap<IpNet, Arc<NasEntry>> =
            book.nases().map(|nas| (canonical_network(nas.address), Arc::new(entry(nas, metrics, mark)))).collect();
        metrics.retain_nases(|id| book.nas_by_id(id).is_some());
        let lengths = |is_v4: bool| {
            let networks = by_network.keys().filter(|network| matches!(network, IpNet::V4(_)) == is_v4);
            let mut lengths: Vec<u8> = networks.map(IpNet::prefix_len).collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
            lengths
        };
        NasTable { lengths_v4: lengths(true), lengths_v6: lengths(false), by_network, book }
    }

    /// The book that it was built from.
    pub fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// The NAS that has a source address. An IPv4 address that came through an IPv6 socket is looked
    /// up as what it is.
    pub fn find(&self, source: IpAddr) -> Option<&Arc<NasEntry>> {
        let source = source.to_canonical();
        let lengths = if source.is_ipv4() { &self.lengths_v4 } else { &self.lengths_v6 };
        lengths.iter().find_map(|length| {
            let network = IpNet::new(source, *length).ok()?.trunc();
            self.by_network.get(&network)
        })
    }
}

/// A network without host bits, and of IPv4 where it was written as mapped into IPv6.
fn canonical_network(network: IpNet) -> IpNet {
    let network = network.trunc();
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(mapped) = IpNet::new(IpAddr::V4(v4), length)
    {
        return mapped.trunc();
    }
    network
}

fn entry(nas: &Arc<Nas>, metrics: &Metrics, mark: ClassMark) -> NasEntry {
    let rule = if nas.require_message_authenticator {
        MessageAuthenticatorRule::Required
    } else {
        MessageAuthenticatorRule::IfPresent
    };
    NasEntry {
        secret: Secret::from(nas.secret.expose()),
        rule,
        dialect: dialect_for(nas.dialect),
        mark,
        counters: metrics.nas(&nas.id),
        nas: nas.clone(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::book::BookChange;
    use crate::domain::id::NasKey;
    use crate::domain::nas::{DialectName, DigestNonces};
    use crate::domain::secret::SecretSource;

    /// A NAS of this make.
    pub fn nas(dialect: DialectName) -> Nas {
        Nas {
            key: NasKey(1),
            id: "gw1".into(),
            address: "192.0.2.10/32".parse().unwrap(),
            secret: crate::domain::secret::Secret::new("s", SecretSource::Inline),
            dialect,
            guard: None,
            grant_seconds_max: 3600,
            stop_only: false,
            interims: None,
            missing_stop: None,
            session_timeout_from: None,
            require_message_authenticator: true,
            trusts_calls: false,
            habits: Default::default(),
            digest_nonces: DigestNonces::Gateway,
            return_codes: Vec::new(),
            realms: Vec::new(),
            routes: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            number_rules: Vec::new(),
            disconnect: None,
        }
    }

    fn table(networks: &[&str]) -> NasTable {
        let mut book = Book::default();
        for (number, network) in (1_u32..).zip(networks) {
            let nas = Nas {
                key: NasKey(number),
                id: format!("gw{number}").into(),
                address: network.parse().unwrap(),
                ..nas(DialectName::Rfc)
            };
            book.apply(&BookChange::PutNas(nas)).unwrap();
        }
        NasTable::new(Arc::new(book), &Metrics::new(), 1)
    }

    fn found(table: &NasTable, source: &str) -> Option<String> {
        table.find(source.parse().unwrap()).map(|entry| entry.nas.id.to_string())
    }

    #[test]
    fn the_narrowest_network_counts() {
        let table = table(&["192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0"]);
        assert_eq!(found(&table, "192.0.2.7").as_deref(), Some("gw2"));
        assert_eq!(found(&table, "192.0.2.8").as_deref(), Some("gw1"));
        assert_eq!(found(&table, "198.51.100.1").as_deref(), Some("gw3"));
        assert_eq!(found(&table, "2001:db8::1"), None, "any IPv4 address is no IPv6 address");
    }

    #[test]
    fn an_ipv4_source_of_an_ipv6_socket_is_itself() {
        let table = table(&["192.0.2.7/32", "2001:db8::/64"]);
        assert_eq!(found(&table, "::ffff:192.0.2.7").as_deref(), Some("gw1"));
        assert_eq!(found(&table, "2001:db8::9").as_deref(), Some("gw2"));
        assert_eq!(found(&table, "2001:db8:0:1::9"), None);
    }

    #[test]
    fn host_bits_and_mapped_addresses_in_the_setting_do_not_matter() {
        let table = table(&["192.0.2.77/24", "::ffff:198.51.100.1/128"]);
        assert_eq!(found(&table, "192.0.2.1").as_deref(), Some("gw1"));
        assert_eq!(found(&table, "198.51.100.1").as_deref(), Some("gw2"));
    }
}
