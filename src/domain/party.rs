//! Who owes money, and who calls: resellers and customers with a balance, accounts under customers.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::id::{AccountKey, PartyKey, TariffKey};
use super::money::{Currency, Money};
use super::number::NumberRule;
use super::secret::Secret;

/// A customer, or a reseller: a customer that has customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Its number.
    pub key: PartyKey,
    /// What people call it; customers and resellers share one name space.
    pub id: Box<str>,
    /// Customer or reseller.
    pub kind: PartyKind,
    /// Its name on paper.
    pub name: Box<str>,
    /// The reseller that it belongs to; `None` for the operator's own.
    pub parent: Option<PartyKey>,
    /// What it pays.
    pub tariff: TariffKey,
    /// The currency of its balance; that of its tariff, for good.
    pub currency: Currency,
    /// How far below zero its balance may go; not negative.
    pub credit_limit: Money,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// Most that calls begun on one UTC day may cost.
    pub spend_per_day_max: Option<Money>,
    /// No new calls.
    pub blocked: bool,
    /// What a call meets when there is no credit.
    pub no_credit: NoCredit,
    /// Turn dialled numbers into E.164.
    pub number_rules: Vec<NumberRule>,
}

/// Customer or reseller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartyKind {
    /// Has accounts.
    Customer,
    /// Has customers and resellers.
    Reseller,
}

/// What a call meets when there is no credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoCredit {
    /// It is refused.
    #[default]
    Reject,
    /// It is refused and marked, so that a proxy can send it to an announcement.
    Hotline,
}

/// A calling identity under a customer: a SIP login, a number, a PIN or an account code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number.
    pub key: AccountKey,
    /// The User-Name.
    pub id: Box<str>,
    /// Who pays.
    pub customer: PartyKey,
    /// Proof by password.
    pub password: Option<Secret>,
    /// Proof by the caller's own address.
    pub trusted_addresses: Vec<IpNet>,
    /// Proof by Calling-Station-Id: the numbers, as the NAS sends them or normalised.
    pub ani: Vec<Box<str>>,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// No new calls.
    pub blocked: bool,
    /// Turn dialled numbers into E.164; looked at before the customer's and the NAS's.
    pub number_rules: Vec<NumberRule>,
}

impl Account {
    /// Whether the id itself is the proof: nothing else was given that could be one.
    pub fn is_code(&self) -> bool {
        self.password.is_none() && self.trusted_addresses.is_empty() && self.ani.is_empty()
    }

    /// Whether an address of a caller proves this account.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_addresses.iter().any(|network| network.contains(&address))
    }
}
