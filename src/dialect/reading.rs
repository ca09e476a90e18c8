//! What a profile makes of a packet's values: the reading that dialects share.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::domain::call::{CallKey, Dialog, LegOrigin};
use crate::domain::command::{Accounting, AccountingKind, CallIdentity};
use crate::domain::habits::is_cause;
use crate::domain::id::ConfId;
use crate::domain::nas::Nas;
use crate::domain::time::Timestamp;
use crate::wire::packet::Packet;
use crate::wire::{credential, kind, value};

use super::class::ClassMark;
use super::digest::{self, DigestRead};
use super::fields::Fields;
use super::oddity::{Oddities, Oddity};
use super::profile::{CallName, Profile};
use super::{
    AccessRequest, AccountingRequest, Asked, LegReport, NotACallPacket, PasswordProof, RestartReport, h323,
    identification,
};

/// Reads an Access-Request.
pub(super) fn access<'a>(packet: &Packet<'a>, nas: &Nas, profile: &Profile, mark: ClassMark) -> AccessRequest<'a> {
    let fields = Fields::of(packet, profile);
    let sides = Sides::of(&fields);
    let service_type = fields.service_type.and_then(value::integer);
    let asks_for_a_call = service_type.is_none_or(|service| !profile.no_call_services.contains(&service));
    let password = password(packet, &fields, profile);
    let is_answered = service_type.is_some_and(|service| profile.answered_services.contains(&service));
    AccessRequest {
        user_name: fields.user_name,
        password,
        is_name_alone: password == PasswordProof::None && !is_answered,
        identity: identity(packet, &fields, nas, profile, mark),
        caller: caller(&fields),
        called: called(&fields).filter(|_| asks_for_a_call),
        caller_address: sides.caller_address,
        connection_address: sides.remote_address.filter(|_| sides.origin == LegOrigin::Originate),
        service_type,
        asked: Asked { layout_vendor: fields.layout_vendor, response_auth: None },
    }
}

/// Reads an Accounting-Request.
pub(super) fn accounting(
    packet: &Packet<'_>,
    nas: &Nas,
    profile: &Profile,
    mark: ClassMark,
) -> Result<AccountingRequest, NotACallPacket> {
    let fields = Fields::of(packet, profile);
    let status = fields.status_type.and_then(value::integer).ok_or(NotACallPacket::NoStatus)?;
    let kind = match Status::of(status) {
        Some(Status::Leg(kind)) => kind,
        Some(Status::Restart { starts }) => {
            return Ok(AccountingRequest::Restart(RestartReport {
                starts,
                event_at: event_at(&fields),
                delay_seconds: delay_seconds(&fields, profile),
                sender: identification::sender(packet),
            }));
        }
        None => return Err(NotACallPacket::OtherStatus(status)),
    };
    let sides = Sides::of(&fields);
    let accounting = leg(packet, &fields, Told::of(kind, &fields), &sides, nas, profile, mark);
    Ok(AccountingRequest::Leg(Box::new(LegReport {
        accounting,
        caller_address: sides.caller_address,
        status: kind,
        oddities: oddities(&fields, kind),
    })))
}

fn leg(
    packet: &Packet<'_>,
    fields: &Fields<'_>,
    Told { kind, rings }: Told,
    sides: &Sides,
    nas: &Nas,
    profile: &Profile,
    mark: ClassMark,
) -> Accounting {
    let believed = &profile.believed;
    let ends = matches!(kind, AccountingKind::Stop | AccountingKind::Failed);
    let interim = kind == AccountingKind::Interim;
    let time = |value: Option<&[u8]>, is_believed: bool| {
        value.filter(|_| is_believed).and_then(|value| h323::time(value, profile.time_zone.seconds()))
    };
    let told_seconds = fields
        .session_time
        .filter(|_| believed.interim_session_time || !interim)
        .or(fields.call_duration.filter(|_| ends))
        .and_then(value::integer);
    let is_record = kind == AccountingKind::Stop && is_record_of_a_call(fields);
    let answered_at = event_at(fields).filter(|_| is_record);
    let connected_at = time(fields.connect_time, believed.connect_time).or(answered_at);
    // It is on its way, and nobody has answered it.
    let is_routed = profile.starts_before_answer && kind == AccountingKind::Start && connected_at.is_none();
    Accounting {
        nas: nas.key,
        kind: if is_routed { AccountingKind::Interim } else { kind },
        identity: identity(packet, fields, nas, profile, mark),
        origin: sides.origin,
        remote_address: sides.remote_address,
        connection: None,
        user_name: fields.user_name.map(Into::into),
        account: None,
        caller: caller(fields),
        called: called(fields),
        event_at: match answered_at {
            Some(at) => Some(at.plus_seconds(told_seconds.unwrap_or(0).into())),
            None => event_at(fields),
        },
        delay_seconds: delay_seconds(fields, profile),
        setup_at: time(fields.setup_time, believed.setup_time),
        connected_at,
        // While a leg is up its end is not known: what stands there then is made up.
        disconnected_at: time(fields.disconnect_time, believed.disconnect_time && ends),
        session_seconds: told_seconds.map(u64::from),
        cause: cause(fields, nas, profile).filter(|_| ends),
        rings: rings || is_routed,
        may_be_periodic: interim && fields.sip_method.is_none(),
        recalled: None,
        packet: None,
    }
}

/// Sip-Method of an INVITE, alike with Kamailio and OpenSIPS.
const INVITE: u32 = 1;

/// Whether a Stop is the one record that OpenSIPS makes of a whole call: it tells how long the call was, under
/// the INVITE that began it, and Event-Timestamp is then when it was answered (`acc_aaa_cdrs` of its acc.c).
fn is_record_of_a_call(fields: &Fields<'_>) -> bool {
    fields.call_duration.is_some() && fields.sip_method.and_then(value::integer) == Some(INVITE)
}

/// The number that calls: as it came in, where only AVPairs tell it.
fn caller(fields: &Fields<'_>) -> Option<Box<str>> {
    let [came, went] = fields.paired_caller;
    fields.calling.or(came).or(went).and_then(text)
}

/// The number that is called: as it was dialled, where only AVPairs tell it. Rules for numbers are
/// written for what is dialled.
fn called(fields: &Fields<'_>) -> Option<Box<str>> {
    let [came, went] = fields.paired_called;
    fields.called.or(came).or(went).and_then(text)
}

/// Why a call ended: 1 to 127 of Q.850, else a final response of SIP but success (RFC 3261, 21): 300 to 699.
/// What the operator has said of a code that is sent holds for it wherever it stands.
fn cause(fields: &Fields<'_>, nas: &Nas, profile: &Profile) -> Option<u16> {
    let meant = |sent: u32, usual: RangeInclusive<u16>| {
        let sent = u16::try_from(sent).ok()?;
        let meant = nas.habits.meant(sent);
        (usual.contains(&sent) || meant != sent).then_some(meant).filter(|code| is_cause(*code))
    };
    let told = fields.disconnect_cause.and_then(|cause| h323::disconnect_cause(cause, profile.cause_base));
    told.and_then(|sent| meant(sent, 1..=127))
        .or_else(|| fields.sip_response_code.and_then(value::integer).and_then(|sent| meant(sent, 300..=699)))
        .or_else(|| fields.own_cause.and_then(value::integer).and_then(|sent| meant(sent, 1..=127)))
}

/// Tags are kept with the call, so their numbers must be the same with any release.
fn dialog(fields: &Fields<'_>, profile: &Profile) -> Option<Dialog> {
    let number = |tag: &[u8]| {
        let digest = Sha256::digest(tag);
        digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    };
    let by_setup_time = || {
        let is_told = profile.setup_time_tells_dialogs && Sides::of(fields).origin == LegOrigin::Answer;
        fields.setup_time.filter(|_| is_told).map(|time| Dialog { from: number(time), to: None })
    };
    let by_tags = fields.from_tag.map(|from| Dialog { from: number(from), to: fields.to_tag.map(number) });
    by_tags.or_else(by_setup_time)
}

/// What a packet of a SIP proxy tells, which its status alone does not.
struct Told {
    kind: AccountingKind,
    rings: bool,
}

/// Sip-Method of a CANCEL, alike with Kamailio and OpenSIPS.
const CANCEL: u32 = 2;

impl Told {
    /// Proxies account a reply that is not final like one that failed, and a CANCEL like a BYE. It ends
    /// an attempt, or a change of a call that is up, and never a call that was answered; nor does what
    /// names no callee of a dialog.
    fn of(status: AccountingKind, fields: &Fields<'_>) -> Told {
        let code = fields.sip_response_code.and_then(value::integer);
        let method = fields.sip_method.and_then(value::integer);
        let is_provisional = matches!(code, Some(101..=199));
        let tells_how_long = fields.session_time.is_some() || fields.call_duration.is_some();
        let has_no_callee = fields.from_tag.is_some() && fields.to_tag.is_none() && !tells_how_long;
        match status {
            AccountingKind::Failed | AccountingKind::Interim if is_provisional => {
                Told { kind: AccountingKind::Interim, rings: true }
            }
            AccountingKind::Stop if method == Some(CANCEL) || has_no_callee => {
                Told { kind: AccountingKind::Failed, rings: false }
            }
            kind => Told { kind, rings: false },
        }
    }
}

/// Seconds since 1970 that no delay can be: they were reached in 2001.
const DATE_SECONDS: u32 = 1_000_000_000;
/// Seconds that no call lasts: a hundred days.
const IMPOSSIBLE_SECONDS: u32 = 8_640_000;

fn oddities(fields: &Fields<'_>, kind: AccountingKind) -> Oddities {
    let number = |value: Option<&[u8]>| value.and_then(value::integer).unwrap_or(0);
    let (delay, session) = (number(fields.delay_time), number(fields.session_time));
    let times = || [fields.setup_time, fields.connect_time, fields.disconnect_time].into_iter().flatten();
    let is_unreadable = |time: &[u8]| h323::time(time, 0).is_none() && !h323::says_no_time(time);
    Oddities::default()
        .with(Oddity::DelayIsADate, delay >= DATE_SECONDS)
        .with(Oddity::SessionTimeImpossible, session >= IMPOSSIBLE_SECONDS)
        .with(Oddity::SessionTimeInStart, kind == AccountingKind::Start && session > 0)
        .with(Oddity::TimeUnreadable, times().any(is_unreadable))
        .with(Oddity::ClockNotSet, times().any(h323::is_of_unset_clock))
}

/// What Acct-Status-Type says.
enum Status {
    Leg(AccountingKind),
    Restart { starts: bool },
}

impl Status {
    /// RFC 2866, 5.1; 15 is what it reserves for a failure, and SIP proxies use so.
    fn of(status: u32) -> Option<Status> {
        Some(match status {
            1 => Status::Leg(AccountingKind::Start),
            2 => Status::Leg(AccountingKind::Stop),
            3 => Status::Leg(AccountingKind::Interim),
            7 => Status::Restart { starts: true },
            8 => Status::Restart { starts: false },
            15 => Status::Leg(AccountingKind::Failed),
            _ => return None,
        })
    }
}

/// Who is at which end of a leg.
struct Sides {
    origin: LegOrigin,
    remote_address: Option<IpAddr>,
    caller_address: Option<IpAddr>,
}

impl Sides {
    /// The far end of the carrier's leg is the carrier: it must never prove a caller.
    fn of(fields: &Fields<'_>) -> Sides {
        let origin = fields.call_origin.map_or(LegOrigin::Answer, h323::call_origin);
        let remote_address = fields.remote_address.and_then(h323::address);
        let caller_address = match origin {
            LegOrigin::Answer => remote_address.or_else(|| framed_address(fields)),
            LegOrigin::Originate => None,
        };
        Sides { origin, remote_address, caller_address }
    }
}

/// Framed-IP-Address; all ones and all ones but the last ask for an address (RFC 2865, 5.8).
fn framed_address(fields: &Fields<'_>) -> Option<IpAddr> {
    let address = fields.framed_address.and_then(value::ipv4)?;
    let names_someone = !address.is_unspecified() && u32::from(address) < u32::from(Ipv4Addr::BROADCAST) - 1;
    names_someone.then_some(IpAddr::V4(address))
}

/// A digest is what is meant where there is one (RFC 5090, 3.1).
fn password<'a>(packet: &Packet<'a>, fields: &Fields<'a>, profile: &Profile) -> PasswordProof<'a> {
    let digest = digest::read(packet, profile.digest_forms, fields.user_name);
    if let Some(DigestRead::Answer { answer, mutual }) = digest {
        return PasswordProof::Digest { answer, mutual };
    }
    match (fields.user_password, fields.chap_password) {
        (Some(hidden), _) => PasswordProof::Pap(hidden),
        (None, Some(response)) => PasswordProof::Chap { response, challenge: credential::chap_challenge(packet) },
        (None, None) => match digest {
            Some(DigestRead::Asked(asked)) => PasswordProof::Challenge(asked),
            Some(_) => PasswordProof::Unreadable,
            None => PasswordProof::None,
        },
    }
}

fn identity(packet: &Packet<'_>, fields: &Fields<'_>, nas: &Nas, profile: &Profile, mark: ClassMark) -> CallIdentity {
    let conf_id = fields.conf_id.and_then(h323::conf_id).or_else(|| fields.incoming_conf_id.and_then(h323::conf_id));
    // Where it names no call it is a name that many calls share.
    let conf_id = conf_id.filter(|_| profile.call_names.contains(&CallName::ConfId));
    let call_box = identification::call_box(packet, nas.boxes());
    CallIdentity {
        // Proxies on the way may add a Class of their own.
        class: packet.all(kind::CLASS).find_map(|class| mark.decode(class)),
        key: profile.call_names.iter().find_map(|name| call_key(*name, fields, conf_id, &call_box)),
        conf_id,
        dialog: dialog(fields, profile),
        session_id: fields.session_id.unwrap_or_default().into(),
        identification: identification::of(packet, profile),
    }
}

/// What stands before the box in a key.
const AT_BOX: u8 = 1;

/// The key by one of a call's names. Call-ID and Acct-Session-Id share one space, since a NAS may
/// send the one as the other; a zero byte keeps conference identifiers out of it. Before a name that
/// several boxes may give to calls of their own stands what names the box; a conference
/// identifier is no other call's, whoever tells of it.
///
/// Nothing but zeroes at the end is cut off a name: a caller who could choose two names with one
/// key would have two calls for the price of one.
fn call_key(name: CallName, fields: &Fields<'_>, conf_id: Option<ConfId>, call_box: &[u8]) -> Option<CallKey> {
    let of_text = |name: Option<&[u8]>| {
        let name = h323::trim_end_zeroes(name?);
        let key = match call_box {
            [] => name.into(),
            call_box => [&[AT_BOX], call_box, name].concat().into(),
        };
        (!name.is_empty()).then_some(CallKey(key))
    };
    match name {
        CallName::ConfId => conf_id.map(|id| CallKey([&[0], &id.0[..]].concat().into())),
        CallName::CallId => of_text(fields.call_id),
        CallName::SessionId => of_text(fields.session_id),
    }
}

/// The name in a key, without what stands before it: that it is a conference identifier, or the box.
pub fn name_of(key: &CallKey) -> &[u8] {
    match &*key.0 {
        [0, id @ ..] if id.len() == 16 => id,
        [AT_BOX, _, length, ..] => key.0.get(usize::from(*length).saturating_add(1)..).unwrap_or(&key.0),
        name => name,
    }
}

fn event_at(fields: &Fields<'_>) -> Option<Timestamp> {
    fields.event_timestamp.and_then(value::time).map(|seconds| Timestamp::from_seconds(seconds.into()))
}

fn delay_seconds(fields: &Fields<'_>, profile: &Profile) -> Option<u32> {
    fields.delay_time.filter(|_| profile.believed.delay_time).and_then(value::integer)
}

/// A number or name as text; what is not UTF-8 is replaced, since only digits are looked at.
fn text(value: &[u8]) -> Option<Box<str>> {
    let value = h323::trim_end_zeroes(value).trim_ascii();
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into())
}
