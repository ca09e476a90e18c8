//! Who calls, and what proves it: the account that a request is about, and its credentials.
//!
//! An account is found by User-Name (the whole of it, else what is before its realm), else by the calling
//! number, else by the caller's own address.
//! Any one of the proofs that the operator gave the account is enough: its password (PAP, CHAP or Digest),
//! the caller's address, the calling number; an account with none of them is a code that proves
//! itself, and so does any name from a NAS that the operator trusts to have proven its callers. But who
//! sends a password for an account that has one is held to it, whatever else he has: else a number that
//! anyone can send would be worth more than it. Who asks for an account that does not exist costs the
//! same work as who has a wrong password, so that the time of an answer tells nobody which accounts there are.

use std::net::IpAddr;
use std::sync::Arc;

use crate::dialect::PasswordProof;
use crate::domain::book::Book;
use crate::domain::command::Proof;
use crate::domain::nas::Nas;
use crate::domain::number::normalise;
use crate::domain::party::Account;
use crate::wire::authenticator::Secret;
use crate::wire::credential::{chap_matches, pap_matches};
use crate::wire::digest::DigestAnswer;
use crate::wire::value;

/// What a request tells of the one who calls.
#[derive(Clone, Copy, Debug)]
pub struct CallerTold<'a> {
    /// User-Name.
    pub user_name: Option<&'a [u8]>,
    /// Calling-Station-Id.
    pub caller: Option<&'a str>,
    /// The caller's own address, as far as the NAS tells it.
    pub address: Option<IpAddr>,
    /// The request offers a name and no proof of any kind.
    pub is_name_alone: bool,
}

/// How the header of a request hides its password.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// The secret of the NAS.
    pub secret: &'a Secret,
    /// The Request Authenticator.
    pub authenticator: &'a [u8; 16],
}

/// The account that a request is about.
pub fn find_account<'b>(book: &'b Book, nas: &Nas, told: CallerTold<'_>) -> Option<&'b Arc<Account>> {
    by_user_name(book, nas, told.user_name)
        .or_else(|| {
            let caller = told.caller?;
            book.account_by_ani(caller).or_else(|| book.account_by_ani(&normalised(nas, caller)?))
        })
        .or_else(|| book.account_by_address(told.address?.to_canonical()))
}

/// What proved the account that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Nothing did.
    Wrong,
    /// The answer to a challenge, and nothing else: its nonce must be worth something.
    ByDigest,
    /// Anything else.
    Otherwise,
}

impl Proven {
    /// As the engine wants to know it.
    pub const fn proof(self) -> Proof {
        match self {
            Proven::Wrong => Proof::Wrong,
            Proven::ByDigest | Proven::Otherwise => Proof::Right,
        }
    }
}

/// What the credentials of a request prove for the account that was found for it.
pub fn prove(
    account: Option<&Account>,
    nas: &Nas,
    told: CallerTold<'_>,
    password: &PasswordProof<'_>,
    hidden: Hidden<'_>,
) -> Proven {
    let stored = account.and_then(|account| account.password.as_ref());
    let compared = stored.map_or(NOBODYS_PASSWORD, |password| password.expose());
    let matches = match password {
        PasswordProof::Pap(value) => pap_matches(value, hidden.secret, hidden.authenticator, compared),
        PasswordProof::Chap { response, challenge } => chap_matches(response, challenge, compared),
        PasswordProof::Digest { answer, .. } => answer.matches(compared),
        PasswordProof::Challenge(_) | PasswordProof::Unreadable | PasswordProof::None => false,
    };
    let Some(account) = account else { return Proven::Wrong };
    let address_trusted = told.address.is_some_and(|address| account.trusts(address.to_canonical()));
    let number_trusted = told.caller.is_some_and(|caller| has_number(account, nas, caller));
    let name_trusted =
        nas.trusts_calls && told.is_name_alone && told.user_name.is_some_and(|name| names_for_sure(account, nas, name));
    // Without a password of the account's there is nothing to hold to: gateways that know the caller by
    // his address or number fill in a word that is the same for all.
    let is_held = stored.is_some() && !matches!(password, PasswordProof::Challenge(_) | PasswordProof::None);
    if !is_held && (address_trusted || number_trusted || name_trusted || account.is_code()) {
        return Proven::Otherwise;
    }
    match password {
        _ if !matches || stored.is_none() => Proven::Wrong,
        PasswordProof::Digest { answer, .. } if !is_of(answer, account, nas) => Proven::Wrong,
        PasswordProof::Digest { .. } => Proven::ByDigest,
        _ => Proven::Otherwise,
    }
}

/// Whether the one who answered a challenge is the one that the account is of. Two may have the same
/// password; the name is part of what was answered, and User-Name is not.
fn is_of(answer: &DigestAnswer<'_>, account: &Account, nas: &Nas) -> bool {
    names(account, nas, answer.username) || *account.id.as_bytes() == *[answer.username, b"@", answer.realm].concat()
}

/// Whether a name means this account: the whole of it, or what is before the realm.
fn names(account: &Account, nas: &Nas, name: &[u8]) -> bool {
    let Some(name) = value::text(name) else { return false };
    *account.id == *name || user_of(nas, name).is_some_and(|user| *account.id == *user)
}

/// As above, where nothing but the name is proof: the realm must then be one that the operator knows. What
/// a proxy of many domains has proven is `alice` of one of them, and not of every one.
fn names_for_sure(account: &Account, nas: &Nas, name: &[u8]) -> bool {
    *account.id.as_bytes() == *name || (!nas.realms.is_empty() && names(account, nas, name))
}

/// What is before the realm of `alice@example.net` or `sip:alice@example.net`, where it is one of those that
/// are known at the NAS; any, where the operator has named none.
fn user_of<'n>(nas: &Nas, name: &'n str) -> Option<&'n str> {
    let (user, realm) = name.split_once('@')?;
    let realm = realm.split([':', ';', '?', '>']).next().unwrap_or(realm);
    let is_known = nas.realms.is_empty() || nas.realms.iter().any(|known| known.eq_ignore_ascii_case(realm));
    is_known.then(|| user.strip_prefix("sip:").unwrap_or(user))
}

/// Compared with where there is no password: the work is the same, the result is not looked at.
const NOBODYS_PASSWORD: &[u8] = b"nobody has this password";

/// SIP proxies add the realm to the name (`alice@example.net`); the whole name is tried first, since
/// an account may be called so.
fn by_user_name<'b>(book: &'b Book, nas: &Nas, user_name: Option<&[u8]>) -> Option<&'b Arc<Account>> {
    let name = value::text(user_name?)?;
    book.account_by_id(name).or_else(|| book.account_by_id(user_of(nas, name)?))
}

fn has_number(account: &Account, nas: &Nas, caller: &str) -> bool {
    if account.ani.is_empty() {
        return false;
    }
    let is_listed = |number: &str| account.ani.iter().any(|ani| **ani == *number);
    is_listed(caller) || normalised(nas, caller).is_some_and(|number| is_listed(&number))
}

/// By the rules of the NAS alone: whose other rules apply is not known before the account is.
fn normalised(nas: &Nas, caller: &str) -> Option<Box<str>> {
    normalise(caller, nas.number_rules.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::book::BookChange;
    use crate::domain::id::{AccountKey, NasKey, PartyKey, TariffKey};
    use crate::domain::money::Money;
    use crate::domain::nas::{DialectName, DigestNonces};
    use crate::domain::number::NumberRule;
    use crate::domain::party::{NoCredit, Party, PartyKind};
    use crate::domain::secret::{Secret as Stored, SecretSource};
    use crate::domain::tariff::Tariff;
    use crate::wire::authenticator::hide_user_password;
    use crate::wire::packet::{Code, Packet};
    use crate::wire::request::RequestBuilder;

    const AUTHENTICATOR: [u8; 16] = [9; 16];

    fn account(key: u32, id: &str) -> Account {
        Account {
            key: AccountKey(key),
            id: id.into(),
            customer: PartyKey(2),
            password: None,
            trusted_addresses: Vec::new(),
            ani: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            blocked: false,
            number_rules: Vec::new(),
        }
    }

    fn alice() -> Account {
        Account { password: Some(Stored::new("secret1", SecretSource::Inline)), ..account(3, "alice") }
    }

    fn book() -> Book {
        let mut book = Book::default();
        let currency = "EUR".parse().unwrap();
        let acme = Party {
            key: PartyKey(2),
            id: "acme".into(),
            kind: PartyKind::Customer,
            name: "".into(),
            parent: None,
            tariff: TariffKey(1),
            currency,
            credit_limit: Money::ZERO,
            calls_max: None,
            attempts_per_second_max: None,
            spend_per_day_max: None,
            blocked: false,
            no_credit: NoCredit::Reject,
            number_rules: Vec::new(),
        };
        for change in [
            BookChange::PutTariff(Tariff { key: TariffKey(1), id: "retail".into(), currency, version: 0 }),
            BookChange::PutParty(acme),
            BookChange::PutAccount(alice()),
            BookChange::PutAccount(Account { ani: vec!["4930123".into()], ..account(4, "desk") }),
            BookChange::PutAccount(Account {
                trusted_addresses: vec!["198.51.100.0/24".parse().unwrap()],
                ..account(5, "pbx")
            }),
            BookChange::PutAccount(account(6, "90210")),
        ] {
            book.apply(&change).unwrap();
        }
        book
    }

    fn nas() -> Nas {
        Nas {
            key: NasKey(1),
            id: "gw1".into(),
            address: "192.0.2.10/32".parse().unwrap(),
            secret: Stored::new("s", SecretSource::Inline),
            dialect: DialectName::Rfc,
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
            number_rules: vec![NumberRule::new("^00", "").unwrap()],
            disconnect: None,
        }
    }

    fn told<'a>(name: Option<&'a str>, caller: Option<&'a str>, address: Option<&str>) -> CallerTold<'a> {
        let address = address.map(|address| address.parse().unwrap());
        CallerTold { user_name: name.map(str::as_bytes), caller, address, is_name_alone: false }
    }

    fn found(name: Option<&str>, caller: Option<&str>, address: Option<&str>) -> Option<String> {
        find_account(&book(), &nas(), told(name, caller, address)).map(|account| account.id.to_string())
    }

    fn proof(account: Option<&Account>, told: CallerTold<'_>, password: PasswordProof<'_>) -> Proof {
        proof_at(&nas(), account, told, password)
    }

    fn proof_at(nas: &Nas, account: Option<&Account>, told: CallerTold<'_>, password: PasswordProof<'_>) -> Proof {
        let secret = Secret::from("s");
        let hidden = Hidden { secret: &secret, authenticator: &AUTHENTICATOR };
        prove(account, nas, told, &password, hidden).proof()
    }

    fn pap(password: &str) -> Vec<u8> {
        hide_user_password(password.as_bytes(), &Secret::from("s"), &AUTHENTICATOR).unwrap()
    }

    #[test]
    fn an_account_is_found_by_name_then_number_then_address() {
        assert_eq!(found(Some("alice"), Some("4930123"), Some("198.51.100.7")).as_deref(), Some("alice"));
        assert_eq!(found(Some("mallory"), Some("4930123"), Some("198.51.100.7")).as_deref(), Some("desk"));
        assert_eq!(found(None, Some("004930123"), None).as_deref(), Some("desk"));
        assert_eq!(found(Some("mallory"), Some("1"), Some("::ffff:198.51.100.7")).as_deref(), Some("pbx"));
        assert_eq!(found(Some("mallory"), Some("1"), Some("203.0.113.1")), None);
        assert_eq!(found(None, None, None), None);
    }

    #[test]
    fn a_realm_behind_the_name_does_not_matter() {
        assert_eq!(found(Some("alice@example.net"), None, None).as_deref(), Some("alice"));
        assert_eq!(found(Some("sip:alice@example.net"), None, None).as_deref(), Some("alice"));
        assert_eq!(found(Some("@alice"), None, None), None);
    }

    #[test]
    fn of_a_gateway_with_realms_only_those_are_left_out_of_a_name() {
        let served = Nas { realms: vec!["A.example".into()], trusts_calls: true, ..nas() };
        let found = |nas: &Nas, name| find_account(&book(), nas, told(Some(name), None, None)).is_some();
        let believed = |nas: &Nas, name| {
            let told = CallerTold { is_name_alone: true, ..told(Some(name), None, None) };
            proof_at(nas, Some(&alice()), told, PasswordProof::None) == Proof::Right
        };
        for name in ["alice", "alice@a.example", "sip:alice@a.example:5060;user=phone"] {
            assert!(found(&served, name) && believed(&served, name), "{name}");
        }
        for name in ["alice@b.example", "alice@", "alice@a.example.b.example"] {
            assert!(!found(&served, name) && !believed(&served, name), "{name}");
        }
        // Without any a password proves the name in each realm, and the gateway's word in none.
        let any = Nas { realms: Vec::new(), ..served };
        assert!(found(&any, "alice@b.example") && !believed(&any, "alice@b.example"));
        assert!(believed(&any, "alice"));
        let with_realm = Account { id: "alice@b.example".into(), ..alice() };
        let told = CallerTold { is_name_alone: true, ..told(Some("alice@b.example"), None, None) };
        assert_eq!(proof_at(&any, Some(&with_realm), told, PasswordProof::None), Proof::Right);
    }

    #[test]
    fn pap_proves_with_the_right_password_alone() {
        let nobody = told(None, None, None);
        assert_eq!(proof(Some(&alice()), nobody, PasswordProof::Pap(&pap("secret1"))), Proof::Right);
        assert_eq!(proof(Some(&alice()), nobody, PasswordProof::Pap(&pap("secret2"))), Proof::Wrong);
        assert_eq!(proof(Some(&alice()), nobody, PasswordProof::None), Proof::Wrong);
    }

    #[test]
    fn chap_proves_with_and_without_a_challenge_of_its_own() {
        let challenges: [(Option<&[u8]>, &[u8]); 2] = [(Some(b"challenge"), b"challenge"), (None, &AUTHENTICATOR)];
        for (sent, challenge) in challenges {
            let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
            request.chap_password(7, sent, b"secret1");
            let bytes = request.finish(&Secret::from("s"), AUTHENTICATOR).unwrap();
            let packet = Packet::decode(&bytes).unwrap();
            let response = packet.first(crate::wire::kind::CHAP_PASSWORD).unwrap();
            let right = PasswordProof::Chap { response, challenge };
            assert_eq!(proof(Some(&alice()), told(None, None, None), right), Proof::Right);
            let wrong = PasswordProof::Chap { response, challenge: b"another" };
            assert_eq!(proof(Some(&alice()), told(None, None, None), wrong), Proof::Wrong);
        }
    }

    #[test]
    fn nobodys_password_proves_nobody() {
        let text = std::str::from_utf8(NOBODYS_PASSWORD).unwrap();
        let hidden = pap(text);
        assert_eq!(proof(None, told(None, None, None), PasswordProof::Pap(&hidden)), Proof::Wrong);
        let desk = Account { ani: vec!["4930123".into()], ..account(4, "desk") };
        assert_eq!(proof(Some(&desk), told(None, None, None), PasswordProof::Pap(&hidden)), Proof::Wrong);
    }

    #[test]
    fn a_trusted_number_or_address_is_enough() {
        let desk = Account { ani: vec!["4930123".into()], ..alice() };
        assert_eq!(proof(Some(&desk), told(None, Some("+4930123"), None), PasswordProof::None), Proof::Right);
        assert_eq!(proof(Some(&desk), told(None, Some("4930124"), None), PasswordProof::None), Proof::Wrong);
        let pbx = Account { trusted_addresses: vec!["198.51.100.0/24".parse().unwrap()], ..alice() };
        assert_eq!(proof(Some(&pbx), told(None, None, Some("198.51.100.7")), PasswordProof::None), Proof::Right);
        assert_eq!(proof(Some(&pbx), told(None, None, Some("203.0.113.7")), PasswordProof::None), Proof::Wrong);
    }

    #[test]
    fn a_wrong_password_is_wrong_whatever_the_number_or_address() {
        let both = Account {
            trusted_addresses: vec!["198.51.100.0/24".parse().unwrap()],
            ani: vec!["4930123".into()],
            ..alice()
        };
        let known = told(Some("alice"), Some("4930123"), Some("198.51.100.7"));
        let (right, wrong) = (pap("secret1"), pap("secret2"));
        let chap = PasswordProof::Chap { response: &[7; 17], challenge: b"c" };
        for sent in [PasswordProof::Pap(&wrong), chap, digest("alice", "g", ALICE), PasswordProof::Unreadable] {
            assert_eq!(proof(Some(&both), known, sent), Proof::Wrong, "{sent:?}");
        }
        assert_eq!(proof(Some(&both), known, PasswordProof::Pap(&right)), Proof::Right);
        assert_eq!(proof(Some(&both), known, PasswordProof::None), Proof::Right);
        // The word that Sippy sends for whom it knows by address.
        let word = pap("cisco");
        let without = Account { password: None, ..both };
        assert_eq!(proof(Some(&without), known, PasswordProof::Pap(&word)), Proof::Right);
        assert_eq!(proof(Some(&without), told(Some("alice"), None, None), PasswordProof::Pap(&word)), Proof::Wrong);
    }

    #[test]
    fn a_code_proves_itself() {
        assert_eq!(proof(Some(&account(6, "90210")), told(None, None, None), PasswordProof::None), Proof::Right);
    }

    /// Made with another program from user, realm and password, for nonce `n`, INVITE and `sip:1@h`.
    fn digest(username: &'static str, realm: &'static str, response: &'static str) -> PasswordProof<'static> {
        let answer = DigestAnswer {
            response: response.as_bytes(),
            username: username.as_bytes(),
            realm: realm.as_bytes(),
            nonce: b"n",
            method: b"INVITE",
            uri: b"sip:1@h",
            ..DigestAnswer::default()
        };
        PasswordProof::Digest { answer, mutual: false }
    }

    const ALICE: &str = "2f4f6176799012b225ced5294ac766d4";
    const ALICE_AT_H: &str = "868269edbdafaaaab62148857b65a03c";
    const BOB: &str = "81a6c1d0f3e54645e38b98559f77ae37";

    #[test]
    fn digest_proves_the_account_that_it_names() {
        let alice = alice();
        let named = |name| told(Some(name), None, None);
        assert_eq!(proof(Some(&alice), named("alice"), digest("alice", "h", ALICE)), Proof::Right);
        assert_eq!(proof(Some(&alice), named("alice@h"), digest("alice", "h", ALICE)), Proof::Right);
        assert_eq!(proof(Some(&alice), named("alice"), digest("alice@h", "h", ALICE_AT_H)), Proof::Right);
        assert_eq!(proof(Some(&alice), named("alice"), digest("alice", "g", ALICE)), Proof::Wrong);
        // Bob has the same password, and says that he is Alice.
        assert_eq!(proof(Some(&alice), named("alice"), digest("bob", "h", BOB)), Proof::Wrong);
        let with_realm = Account { id: "alice@h".into(), ..alice.clone() };
        assert_eq!(proof(Some(&with_realm), named("alice@h"), digest("alice", "h", ALICE)), Proof::Right);
        let of_another_realm = Account { id: "alice@g".into(), ..alice };
        assert_eq!(proof(Some(&of_another_realm), named("alice@g"), digest("alice", "h", ALICE)), Proof::Wrong);
    }

    #[test]
    fn a_name_alone_proves_where_the_gateway_is_trusted_for_it() {
        let trusting = Nas { trusts_calls: true, ..nas() };
        let offered = told(Some("alice"), None, None);
        let named = CallerTold { is_name_alone: true, ..offered };
        let nameless = CallerTold { user_name: None, ..named };
        let at = |nas: &Nas, told, password| proof_at(nas, Some(&alice()), told, password);
        assert_eq!(at(&trusting, named, PasswordProof::None), Proof::Right);
        assert_eq!(at(&nas(), named, PasswordProof::None), Proof::Wrong);
        assert_eq!(at(&trusting, nameless, PasswordProof::None), Proof::Wrong, "no name");
        assert_eq!(at(&trusting, offered, PasswordProof::None), Proof::Wrong, "a proof is missing");
        // Who sends a password, or anything in its place, is held to it.
        let wrong = pap("secret2");
        assert_eq!(at(&trusting, offered, PasswordProof::Pap(&wrong)), Proof::Wrong);
        assert_eq!(at(&trusting, offered, digest("alice", "g", ALICE)), Proof::Wrong);
        assert_eq!(at(&trusting, offered, PasswordProof::Unreadable), Proof::Wrong);
        assert_eq!(proof_at(&trusting, None, named, PasswordProof::None), Proof::Wrong, "no account");
    }
}
