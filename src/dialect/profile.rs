//! The habits of makes, as data: who writes what how, and what of it is believed.

pub use crate::domain::habits::{CauseBase, ReplyStyle};

use crate::domain::decision::{Because, RejectReason, Rejected};
use crate::domain::habits::{LAYOUT_VENDORS_MAX, ZoneOffset};
use crate::domain::money::Money;
use crate::domain::nas::{DialectName, Nas};
use crate::wire::kind;

use super::h323;

/// Cisco's private enterprise number.
pub const CISCO_VENDOR: u32 = 9;
/// Quintum's private enterprise number.
pub const QUINTUM_VENDOR: u32 = 6618;
/// AudioCodes' private enterprise number as dictionaries have it.
pub const AUDIOCODES_VENDOR: u32 = 5003;
/// The number that the manuals of AudioCodes show.
pub const AUDIOCODES_MANUAL_VENDOR: u32 = 4923;

/// Sip-Method in accounting, by the number of the SER family; Error-Cause in answers to a disconnect (RFC 5176).
pub const SER_METHOD: u8 = 101;
/// Sip-Method in accounting, by the number of OpenSIPS.
pub const OPENSIPS_METHOD: u8 = 204;

/// Sip-To-Tag and Sip-From-Tag in accounting, by the numbers of the SER family. In an Access-Request these numbers
/// are values of Digest (RFC 5090).
pub const SIP_TO_TAG: u8 = 104;
/// See [`SIP_TO_TAG`].
pub const SIP_FROM_TAG: u8 = 105;

/// How one make uses attributes.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Whose habits these are.
    pub name: DialectName,
    /// Vendors whose attributes have Cisco's numbers and meanings, whatever their own dictionary
    /// calls them.
    pub layout_vendors: Vendors,
    /// The vendor of attributes in replies, where the request has none of that layout.
    pub reply_vendor: u32,
    /// How a text in a reply is written.
    pub reply_style: ReplyStyle,
    /// h323-billing-model in an Access-Accept: 1 prepaid, 0 postpaid.
    pub billing_model: u8,
    /// h323-return-code for each reason.
    pub return_codes: ReturnCodes,
    /// Where Digest stands in an Access-Request, the first form that a packet has.
    pub digest_forms: &'static [DigestForm],
    /// Values of Service-Type in an Access-Request that ask about a name and not for a call, whatever
    /// numbers come with them.
    pub no_call_services: &'static [u32],
    /// Values of Service-Type in an Access-Request that come with an answer of the caller's: where there
    /// is none, it was lost or never given.
    pub answered_services: &'static [u32],
    /// What names a call, the first that a packet has.
    pub call_names: &'static [CallName],
    /// How h323-disconnect-cause is written.
    pub cause_base: CauseBase,
    /// Where a time names no zone or one that nobody knows.
    pub time_zone: ZoneOffset,
    /// What is read of what a make is known to fill in.
    pub believed: Believed,
    /// The attribute in accounting with the SIP method that made the packet. An interim that has
    /// one was made by a re-INVITE and not by a clock.
    pub sip_method: Option<u8>,
    /// The attribute in accounting with the SIP response code that made the packet.
    pub sip_response_code: Option<u8>,
    /// The attribute in a Stop with the seconds since the answer, beside Acct-Session-Time.
    pub call_duration: Option<u8>,
    /// The attributes in accounting with the tags of the dialog, From and To.
    pub sip_tags: Option<(u8, u8)>,
    /// It tells no tags, and the set-up time of the caller's side tells INVITEs of one Call-ID apart.
    pub setup_time_tells_dialogs: bool,
    /// The attribute by which a proxy is told what it keeps with a call, as `name#number`.
    pub sip_avp: Option<u8>,
    /// It is told where to send a call, and obeys a limit only where one comes with a route.
    pub is_told_routes: bool,
    /// What it tells under a vendor id of its own.
    pub own: Option<OwnAttributes>,
    /// A Start tells of an answer only where a time of the answer comes with it.
    pub starts_before_answer: bool,
    /// Attributes by which the NAS finds a call for a disconnect.
    pub identification: &'static [u8],
    /// Those of them that name a dialog, in what is told of a call that is answered: elsewhere their numbers mean
    /// something else, or they name a branch that nobody answered.
    pub identification_tags: &'static [u8],
    /// Attributes of Cisco's layout by which it does.
    pub identification_layout: &'static [u8],
}

/// A few vendors; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendors([u32; LAYOUT_VENDORS_MAX]);

impl Vendors {
    /// These, as many as there may be.
    fn of(vendors: &[u32]) -> Vendors {
        let mut all = [0; LAYOUT_VENDORS_MAX];
        all.iter_mut().zip(vendors).for_each(|(place, vendor)| *place = *vendor);
        Vendors(all)
    }

    /// Whether a vendor is one of them.
    pub fn contains(&self, vendor: u32) -> bool {
        vendor != 0 && self.0.contains(&vendor)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.into_iter().filter(|vendor| *vendor != 0)
    }
}

impl Profile {
    /// The habits of a make.
    pub fn of_make(name: DialectName) -> &'static Profile {
        match name {
            DialectName::Rfc => &RFC,
            DialectName::Cisco => &CISCO,
            DialectName::Quintum => &QUINTUM,
            DialectName::Audiocodes => &AUDIOCODES,
            DialectName::Kamailio => &KAMAILIO,
            DialectName::Opensips => &OPENSIPS,
            DialectName::Freeswitch => &FREESWITCH,
            DialectName::Asterisk => &ASTERISK,
            DialectName::Sippy => &SIPPY,
        }
    }

    /// The habits of a NAS of this make: what its operator has said, else the make's.
    pub fn of(&self, nas: &Nas) -> Profile {
        let habits = &nas.habits;
        let (layout_vendors, reply_vendor) = match &habits.layout_vendors[..] {
            [] => (self.layout_vendors, self.reply_vendor),
            said if said.contains(&self.reply_vendor) => (Vendors::of(said), self.reply_vendor),
            said @ [first, ..] => (Vendors::of(said), *first),
        };
        Profile {
            layout_vendors,
            reply_vendor,
            reply_style: habits.reply_style.unwrap_or(self.reply_style),
            cause_base: habits.causes.unwrap_or(self.cause_base),
            time_zone: habits.time_zone.unwrap_or(self.time_zone),
            ..*self
        }
    }
}

/// Something that can name a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallName {
    /// h323-conf-id, which all legs of a call share; h323-incoming-conf-id where there is none.
    ConfId,
    /// `call-id=` in an AVPair, or the vendor attribute of that name: the SIP Call-ID.
    CallId,
    /// Acct-Session-Id.
    SessionId,
}

/// Where the values of Digest stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestForm {
    /// Attributes 103 to 122 (RFC 5090).
    Rfc5090,
    /// 206 and, with all other values in it, 207 (draft-sterman-aaa-sip-00). No RFC has these
    /// numbers, and OpenSIPS means something else by them in accounting.
    Sterman,
}

/// What is read of a make's times; what is not is as if it had not been sent.
#[derive(Clone, Copy, Debug)]
pub struct Believed {
    /// h323-setup-time.
    pub setup_time: bool,
    /// h323-connect-time.
    pub connect_time: bool,
    /// h323-disconnect-time, in a Stop.
    pub disconnect_time: bool,
    /// Acct-Delay-Time.
    pub delay_time: bool,
    /// Acct-Session-Time in an interim.
    pub interim_session_time: bool,
}

/// The numbers of attributes under the vendor id of a make; each stands for the attribute of the RFCs where
/// that is not there.
#[derive(Clone, Copy, Debug)]
pub struct OwnAttributes {
    /// The vendor id.
    pub vendor: u32,
    /// Who calls, in place of User-Name where it is there.
    pub account: Option<u8>,
    /// The number that calls.
    pub caller: u8,
    /// The number that is called.
    pub called: u8,
    /// When it was answered.
    pub answer_time: u8,
    /// When it ended.
    pub end_time: u8,
    /// How long it was answered, seconds.
    pub session_seconds: Option<u8>,
    /// Why it ended, a number after Q.850.
    pub cause: Option<u8>,
}

/// All that a make sends.
const ALL_BELIEVED: Believed = Believed {
    setup_time: true,
    connect_time: true,
    disconnect_time: true,
    delay_time: true,
    interim_session_time: true,
};

/// h323-return-code: 0 where a call is allowed, else one of these.
///
/// The codes are those of Cisco's debit card script, which PortaBilling documents too.
#[derive(Clone, Copy, Debug)]
pub struct ReturnCodes {
    /// No such account.
    pub unknown_account: u8,
    /// Too many attempts.
    pub attempts_limit: u8,
    /// Wrong password.
    pub bad_credentials: u8,
    /// Blocked.
    pub blocked: u8,
    /// The call id is in use.
    pub id_in_use: u8,
    /// The number is forbidden.
    pub forbidden_number: u8,
    /// No rate.
    pub no_rate: u8,
    /// Too many calls at once.
    pub calls_limit: u8,
    /// The day's cap.
    pub spend_limit: u8,
    /// Some credit, too little for this call.
    pub too_little_credit: u8,
    /// No credit at all.
    pub zero_credit: u8,
}

impl ReturnCodes {
    /// The code for a rejection: what the operator has said for its reason at this NAS, else the make's.
    pub fn code(&self, rejected: &Rejected, nas: &Nas) -> u8 {
        let said = nas.return_codes.iter().find(|(reason, _)| *reason == rejected.reason);
        said.map_or_else(|| self.usual(rejected), |(_, code)| *code)
    }

    fn usual(&self, rejected: &Rejected) -> u8 {
        match rejected.reason {
            RejectReason::UnknownAccount => self.unknown_account,
            RejectReason::AttemptsLimit => self.attempts_limit,
            RejectReason::BadCredentials => self.bad_credentials,
            RejectReason::Blocked => self.blocked,
            RejectReason::IdInUse => self.id_in_use,
            RejectReason::ForbiddenNumber => self.forbidden_number,
            RejectReason::NoRate => self.no_rate,
            RejectReason::CallsLimit => self.calls_limit,
            RejectReason::SpendLimit => self.spend_limit,
            RejectReason::NoCredit => match rejected.because {
                Because::Money { available, .. } if available > Money::ZERO => self.too_little_credit,
                _ => self.zero_credit,
            },
        }
    }
}

/// The usual table.
pub const RETURN_CODES: ReturnCodes = ReturnCodes {
    unknown_account: 1,
    attempts_limit: 10,
    bad_credentials: 2,
    blocked: 7,
    id_in_use: 3,
    forbidden_number: 9,
    no_rate: 8,
    calls_limit: 3,
    spend_limit: 6,
    too_little_credit: 12,
    zero_credit: 4,
};

/// What RFC 5176, 3 lets a request name a session with, as far as phone services send it.
const IDENTIFICATION: &[u8] = &[
    kind::USER_NAME,
    kind::NAS_IP_ADDRESS,
    kind::NAS_IPV6_ADDRESS,
    kind::NAS_IDENTIFIER,
    kind::NAS_PORT,
    kind::ACCT_SESSION_ID,
    kind::CALLING_STATION_ID,
    kind::CALLED_STATION_ID,
];

/// Vendors of Cisco's layout. The numbers of attributes do not collide among them, so that all
/// are read from any NAS.
const LAYOUT_VENDORS: Vendors =
    Vendors([CISCO_VENDOR, QUINTUM_VENDOR, AUDIOCODES_VENDOR, AUDIOCODES_MANUAL_VENDOR, 0, 0, 0, 0]);

/// Plain attributes of the RFCs. Complete.
///
/// Attributes of Cisco's layout are read where they come, since they mean the same from anyone.
/// Sip-Method and Sip-Response-Code are read with the numbers of the SER family, which no RFC
/// uses in accounting: a proxy that was entered as `rfc` would else be taken for a NAS whose
/// re-INVITEs are periodic interims.
pub const RFC: Profile = Profile {
    name: DialectName::Rfc,
    layout_vendors: LAYOUT_VENDORS,
    reply_vendor: CISCO_VENDOR,
    reply_style: ReplyStyle::Prefixed,
    billing_model: 1,
    return_codes: RETURN_CODES,
    digest_forms: &[DigestForm::Rfc5090],
    no_call_services: &[],
    answered_services: &[],
    call_names: &[CallName::SessionId, CallName::CallId, CallName::ConfId],
    cause_base: CauseBase::Hexadecimal,
    time_zone: ZoneOffset::UTC,
    believed: ALL_BELIEVED,
    sip_method: Some(SER_METHOD),
    sip_response_code: Some(102),
    call_duration: None,
    sip_tags: None,
    setup_time_tells_dialogs: false,
    sip_avp: None,
    is_told_routes: false,
    own: None,
    starts_before_answer: false,
    identification: IDENTIFICATION,
    identification_tags: &[],
    identification_layout: &[],
};

/// Cisco voice gateways and all that write like them. Complete.
pub const CISCO: Profile = Profile {
    name: DialectName::Cisco,
    call_names: &[CallName::ConfId, CallName::CallId, CallName::SessionId],
    sip_method: None,
    sip_response_code: None,
    call_duration: None,
    // A packet of disconnect is obeyed only where both are, byte for byte, what that leg sent.
    identification_layout: &[h323::CONF_ID, h323::CALL_ORIGIN],
    ..RFC
};

/// Quintum Tenor: Cisco's layout under its own vendor id.
pub const QUINTUM: Profile = Profile { name: DialectName::Quintum, reply_vendor: QUINTUM_VENDOR, ..CISCO };

/// AudioCodes Mediant: Cisco's layout under its own vendor id, causes in decimal.
pub const AUDIOCODES: Profile =
    Profile { name: DialectName::Audiocodes, reply_vendor: AUDIOCODES_VENDOR, cause_base: CauseBase::Decimal, ..CISCO };

/// Kamailio: Acct-Session-Id is the SIP Call-ID.
pub const KAMAILIO: Profile = Profile {
    name: DialectName::Kamailio,
    digest_forms: PROXY_DIGEST_FORMS,
    no_call_services: PROXY_QUESTIONS,
    answered_services: PROXY_ANSWERS,
    sip_tags: Some((SIP_FROM_TAG, SIP_TO_TAG)),
    identification_tags: &[SIP_FROM_TAG, SIP_TO_TAG],
    ..RFC
};

/// Which of the two a proxy writes depends on the dictionary that it was given.
const PROXY_DIGEST_FORMS: &[DigestForm] = &[DigestForm::Sterman, DigestForm::Rfc5090];

/// Call-Check, Group-Check and SIP-Callee-AVPs: whether there is such a user, whether it is in a group,
/// and what is set for the one who is called.
const PROXY_QUESTIONS: &[u32] = &[10, 12, 31];

/// Sip-Session: what a proxy asks with that has challenged the caller itself.
const PROXY_ANSWERS: &[u32] = &[15];

/// OpenSIPS: as Kamailio, with its own numbers.
pub const OPENSIPS: Profile = Profile {
    name: DialectName::Opensips,
    digest_forms: PROXY_DIGEST_FORMS,
    no_call_services: PROXY_QUESTIONS,
    answered_services: PROXY_ANSWERS,
    sip_method: Some(OPENSIPS_METHOD),
    sip_response_code: Some(205),
    call_duration: Some(227),
    sip_tags: Some((206, 207)),
    // Its scripts see no other attribute of a reply.
    sip_avp: Some(225),
    ..RFC
};

/// FreeSWITCH: mod_radius_cdr names a call by its UUID, sends Start when a call is routed, and tells
/// numbers and times under its own vendor id (mod_radius_cdr.h); mod_xml_radius reads the limit from
/// h323-credit-time, and as h323-conf-id its sample sends what all calls of a machine share.
pub const FREESWITCH: Profile = Profile {
    name: DialectName::Freeswitch,
    call_names: &[CallName::SessionId, CallName::CallId],
    sip_method: None,
    sip_response_code: None,
    own: Some(OwnAttributes {
        vendor: 27880,
        account: None,
        caller: 4,
        called: 5,
        answer_time: 21,
        end_time: 23,
        session_seconds: None,
        cause: Some(13),
    }),
    starts_before_answer: true,
    ..RFC
};

/// Asterisk: cdr_radius sends one Stop for a call, with the channel as User-Name and all else under its
/// own vendor id (cdr_radius.c).
pub const ASTERISK: Profile = Profile {
    name: DialectName::Asterisk,
    sip_method: None,
    sip_response_code: None,
    own: Some(OwnAttributes {
        vendor: 22736,
        account: Some(101),
        caller: 102,
        called: 103,
        answer_time: 111,
        end_time: 112,
        session_seconds: Some(114),
        cause: None,
    }),
    ..RFC
};

/// Sippy B2BUA: no conference identifier, the Call-ID in an AVPair when it asks and as
/// Acct-Session-Id when it tells; puts an absolute time into Acct-Delay-Time and into the
/// Acct-Session-Time of interims.
pub const SIPPY: Profile = Profile {
    name: DialectName::Sippy,
    digest_forms: PROXY_DIGEST_FORMS,
    call_names: &[CallName::CallId, CallName::SessionId],
    setup_time_tells_dialogs: true,
    is_told_routes: true,
    believed: Believed { delay_time: false, interim_session_time: false, ..ALL_BELIEVED },
    ..CISCO
};
