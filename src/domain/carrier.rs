//! Who terminates calls: carriers, and the trunks that lead to them. They give a call's cost and
//! margin; they limit nothing but the number of calls at once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::id::{CarrierKey, ConnectionKey, TariffKey};

/// One that terminates calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// Its number.
    pub key: CarrierKey,
    /// What people call it.
    pub id: Box<str>,
    /// What it takes for a call.
    pub tariff: TariffKey,
    /// Most calls at once.
    pub calls_max: Option<u32>,
}

/// An agreed trunk to a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number.
    pub key: ConnectionKey,
    /// What people call it.
    pub id: Box<str>,
    /// The carrier at its other end.
    pub carrier: CarrierKey,
    /// The far addresses by which a leg is known to go through it (h323-remote-address).
    pub addresses: Vec<IpAddr>,
}
