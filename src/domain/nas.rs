//! A NAS: what it is, what it can do, and so how a call through it is guarded.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::decision::RejectReason;
use super::habits::{Boxes, Habits, PayingLeg};
use super::id::NasKey;
use super::number::NumberRule;
use super::secret::Secret;

/// A device that sends RADIUS: a proxy or gateway (RFC 2865 1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nas {
    /// Its number.
    pub key: NasKey,
    /// What people call it.
    pub id: Box<str>,
    /// The source addresses that are this NAS.
    pub address: IpNet,
    /// The shared secret.
    pub secret: Secret,
    /// How it means its attributes.
    pub dialect: DialectName,
    /// What of that is otherwise with this one.
    pub habits: Habits,
    /// How its calls are guarded, where the operator has said.
    pub guard: Option<Guard>,
    /// Most seconds that guard `full` reserves.
    pub grant_seconds_max: u32,
    /// Sends nothing but Stops.
    pub stop_only: bool,
    /// Whether it sends periodic interims, where the operator has said.
    pub interims: Option<Interims>,
    /// What a call is charged whose Stop never comes, where the operator has said.
    pub missing_stop: Option<MissingStop>,
    /// What a new Session-Timeout counts from, where the operator has said.
    pub session_timeout_from: Option<SessionTimeoutFrom>,
    /// An Access-Request without Message-Authenticator is dropped.
    pub require_message_authenticator: bool,
    /// Its User-Name is believed where a request carries no password of any kind: it has proven the
    /// caller itself.
    pub trusts_calls: bool,
    /// Who makes the nonces that callers answer with Digest.
    pub digest_nonces: DigestNonces,
    /// What stands in its place of the dialect's h323-return-code, in the order of reasons; never 0.
    pub return_codes: Vec<(RejectReason, u8)>,
    /// The realms whose names are those of accounts without one. Empty: any, and none where its word alone is
    /// believed.
    pub realms: Vec<Box<str>>,
    /// Where the dialect tells the proxy to send calls.
    pub routes: Vec<Box<str>>,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// Turn dialled numbers into E.164; looked at after the account's and the customer's.
    pub number_rules: Vec<NumberRule>,
    /// Where it takes Disconnect-Requests and CoA-Requests.
    pub disconnect: Option<DisconnectAddress>,
}

/// Where a NAS takes Disconnect-Requests (RFC 5176).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectAddress {
    /// Address and port.
    pub address: SocketAddr,
    /// Its secret; `None`: the NAS's own.
    pub secret: Option<Secret>,
    /// It answers with an authenticator of zeroes, and is believed all the same: against RFC 5176 2.3,
    /// and safe only where nobody else can reach the way between.
    pub accepts_zero_authenticator: bool,
}

/// How a call is kept from outrunning its reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Guard {
    /// One chunk is reserved ahead; the NAS is told all that credit allows and obeys a disconnect.
    Chunk,
    /// One chunk is reserved ahead; the NAS is told just that and is prolonged.
    Extend,
    /// All that the NAS is told is reserved at once.
    Full,
}

/// Whether a NAS sends Interim-Updates at regular times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interims {
    /// Seen from the call itself.
    Auto,
    /// Always.
    Periodic,
    /// Never.
    None,
}

/// What a call is charged whose Stop never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MissingStop {
    /// Up to the latest evidence that it was up.
    LastSeen,
    /// The grant that was told, never more than is reserved.
    Grant,
}

/// What a NAS counts a new Session-Timeout from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionTimeoutFrom {
    /// The moment it is told.
    Now,
    /// The start of the call.
    Start,
}

/// Who makes the nonces of Digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DigestNonces {
    /// The NAS: how old they are and how often they are used is its own to watch.
    #[default]
    Gateway,
    /// We, when the NAS asks for one (RFC 5090, 2.2.1): an answer to any other proves nothing.
    Server,
}

/// What the rules of a call need to know of its NAS; kept with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NasAbilities {
    /// How the call is guarded.
    pub guard: Guard,
    /// Most seconds that guard `full` reserves.
    pub grant_seconds_max: u32,
    /// Sends nothing but Stops.
    pub stop_only: bool,
    /// Periodic interims.
    pub interims: Interims,
    /// A call without Stop.
    pub missing_stop: MissingStop,
    /// A new Session-Timeout.
    pub session_timeout_from: SessionTimeoutFrom,
    /// Takes Disconnect-Requests and CoA-Requests.
    pub has_disconnect_address: bool,
    /// Which leg the customer pays.
    pub paying_leg: PayingLeg,
}

impl Nas {
    /// What the NAS can do, with the defaults of its dialect where the operator has said nothing.
    pub fn abilities(&self) -> NasAbilities {
        let interims = self.interims.unwrap_or(self.dialect.interims());
        let guard = match (self.stop_only, self.guard, &self.disconnect) {
            (true, _, _) => Guard::Full,
            (false, Some(guard), _) => guard,
            (false, None, Some(_)) => Guard::Chunk,
            (false, None, None) => Guard::Full,
        };
        let missing_stop = self.missing_stop.unwrap_or(match interims {
            Interims::None => MissingStop::Grant,
            Interims::Auto | Interims::Periodic => MissingStop::LastSeen,
        });
        NasAbilities {
            guard,
            grant_seconds_max: self.grant_seconds_max,
            stop_only: self.stop_only,
            interims,
            missing_stop,
            session_timeout_from: self.session_timeout_from.unwrap_or(self.dialect.session_timeout_from()),
            has_disconnect_address: self.disconnect.is_some(),
            paying_leg: self.habits.paying_leg,
        }
    }

    /// How many boxes name their calls by themselves, in effect.
    pub fn boxes(&self) -> Boxes {
        self.habits.boxes.unwrap_or(self.dialect.boxes())
    }

    /// Whether the guard was written to need a disconnect address that is not there: such a NAS can
    /// only be hoped to obey Session-Timeout, and is warned of wherever it is shown.
    pub fn guard_lacks_address(&self) -> bool {
        self.abilities().guard == Guard::Chunk && self.disconnect.is_none()
    }
}

macro_rules! names {
    ($(#[$docs:meta])* $type:ident { $($(#[$variant_docs:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$variant_docs])* $variant),+ }
        words!($type { $($variant = $text),+ });
    };
}

macro_rules! words {
    ($type:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The word that configuration and API use.
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$variant => $text),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<$type, UnknownWord> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| UnknownWord {
                    expected: Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(super) use words;

names!(
    /// A make of NAS, by the way it uses attributes.
    DialectName {
        /// Plain attributes of the RFCs.
        Rfc = "rfc",
        /// h323 attributes as Cisco gateways send them.
        Cisco = "cisco",
        /// Quintum gateways.
        Quintum = "quintum",
        /// AudioCodes gateways.
        Audiocodes = "audiocodes",
        /// Kamailio.
        Kamailio = "kamailio",
        /// OpenSIPS.
        Opensips = "opensips",
        /// FreeSWITCH.
        Freeswitch = "freeswitch",
        /// Asterisk.
        Asterisk = "asterisk",
        /// Sippy B2BUA.
        Sippy = "sippy",
    }
);
words!(Guard { Chunk = "chunk", Extend = "extend", Full = "full" });
words!(Interims { Auto = "auto", Periodic = "periodic", None = "none" });
words!(MissingStop { LastSeen = "last_seen", Grant = "grant" });
words!(SessionTimeoutFrom { Now = "now", Start = "start" });
words!(DigestNonces { Gateway = "gateway", Server = "server" });

impl DialectName {
    /// Proxies without a clock of their own for a call send interims only when something happens.
    const fn interims(self) -> Interims {
        match self {
            DialectName::Kamailio | DialectName::Opensips | DialectName::Sippy => Interims::None,
            _ => Interims::Auto,
        }
    }

    /// Of no make is it known that it counts from the start of a call. The timers of Kamailio, OpenSIPS and
    /// Sippy are set when a call begins and take no later word; `sched_hangup` of FreeSWITCH counts from now.
    const fn session_timeout_from(self) -> SessionTimeoutFrom {
        match self {
            DialectName::Rfc
            | DialectName::Cisco
            | DialectName::Quintum
            | DialectName::Audiocodes
            | DialectName::Kamailio
            | DialectName::Opensips
            | DialectName::Freeswitch
            | DialectName::Asterisk
            | DialectName::Sippy => SessionTimeoutFrom::Now,
        }
    }

    /// A call is named by its SIP Call-ID, which its caller chooses.
    pub const fn callers_name_calls(self) -> bool {
        matches!(self, DialectName::Kamailio | DialectName::Opensips | DialectName::Sippy)
    }

    /// These proxies challenge their callers themselves, and ask nobody for a nonce.
    pub const fn makes_nonces(self) -> bool {
        self.callers_name_calls()
    }

    /// What tells of the end of a call alone, if the operator does not say otherwise: Asterisk sends one
    /// Stop for a call, and FreeSWITCH a Start before the answer and nothing at it.
    pub const fn is_stop_only(self) -> bool {
        matches!(self, DialectName::Asterisk | DialectName::Freeswitch)
    }

    /// Scripts of these proxies fill Acct-Session-Time from variables that may be those of another call.
    pub const fn session_time_is_a_hint(self) -> bool {
        matches!(self, DialectName::Kamailio | DialectName::Opensips)
    }
}

/// A word that is none of those that exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {expected}")]
pub struct UnknownWord {
    /// The words that exist.
    pub expected: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::SecretSource;

    fn nas(dialect: DialectName) -> Nas {
        Nas {
            key: NasKey(1),
            id: "gw1".into(),
            address: "192.0.2.10/32".parse().unwrap(),
            secret: Secret::new("s", SecretSource::Inline),
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

    #[test]
    fn a_nas_without_disconnect_address_is_guarded_in_full() {
        let mut gateway = nas(DialectName::Rfc);
        assert_eq!(gateway.abilities().guard, Guard::Full);
        gateway.disconnect = Some(DisconnectAddress {
            address: "192.0.2.10:3799".parse().unwrap(),
            secret: None,
            accepts_zero_authenticator: false,
        });
        assert_eq!(gateway.abilities().guard, Guard::Chunk);
        gateway.stop_only = true;
        assert_eq!(gateway.abilities().guard, Guard::Full);
    }

    #[test]
    fn a_guard_that_needs_an_address_is_seen() {
        let mut gateway = nas(DialectName::Rfc);
        gateway.guard = Some(Guard::Chunk);
        assert!(gateway.guard_lacks_address());
    }

    #[test]
    fn a_proxy_without_interims_is_charged_its_grant() {
        assert_eq!(nas(DialectName::Kamailio).abilities().missing_stop, MissingStop::Grant);
        assert_eq!(nas(DialectName::Cisco).abilities().missing_stop, MissingStop::LastSeen);
    }

    #[test]
    fn a_session_timeout_counts_from_now_unless_the_operator_knows_better() {
        for dialect in DialectName::ALL {
            let usual = nas(*dialect);
            assert_eq!(usual.abilities().session_timeout_from, SessionTimeoutFrom::Now, "{dialect}");
            let said = Nas { session_timeout_from: Some(SessionTimeoutFrom::Start), ..usual };
            assert_eq!(said.abilities().session_timeout_from, SessionTimeoutFrom::Start, "{dialect}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for dialect in DialectName::ALL {
            assert_eq!(dialect.as_str().parse(), Ok(*dialect));
        }
        assert!("juniper".parse::<DialectName>().is_err());
    }
}
