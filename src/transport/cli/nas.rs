//! `nas`: the gateways and proxies that send RADIUS.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Ask;
use super::context::{Context, Environment};
use super::error::{CliError, Exit};
use super::input::{self, Members, OrNone, Page};
use super::noun::{Noun, Remove};
use super::party::of_max;
use super::secret::SecretFrom;
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{rules, seconds};
use crate::service::admin::spec::{FindingView, NasProbeView, NasView};

const NASES: Noun = Noun { one: "nas", path: "nas" };

/// The names of dialects.
pub const DIALECTS: [&str; 9] =
    ["rfc", "cisco", "quintum", "audiocodes", "kamailio", "opensips", "freeswitch", "asterisk", "sippy"];

/// The verbs of `nas`.
#[derive(Subcommand, Clone, Debug)]
pub enum NasVerb {
    /// List gateways
    #[command(after_help = "Examples:\n  ringfence nas list")]
    List {
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one gateway, with what it is taken to be able to do
    #[command(after_help = "Examples:\n  ringfence nas show gw1")]
    Show {
        /// The gateway
        id: String,
    },
    /// Add a gateway
    #[command(
        after_help = "A secret on the command line can be seen by others on this machine and stays in the shell's history; --secret-file and --secret-env avoid both.\n\nExamples:\n  ringfence nas add gw1 --address 192.0.2.10 --secret-file gw1.secret\n  ringfence nas add gw2 --address 192.0.2.0/28 --secret-env GW2 --dialect cisco --disconnect-address 192.0.2.10:3799"
    )]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// Its source address, or a network
        #[arg(long, value_name = "ADDRESS")]
        address: String,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<NasFields>,
    },
    /// Change a gateway; what is not named stays
    #[command(
        after_help = "Examples:\n  ringfence nas set gw1 --guard full --grant-seconds-max 1800\n  ringfence nas set gw1 --disconnect-address none"
    )]
    Set {
        /// The gateway
        id: String,
        /// Its source address, or a network
        #[arg(long, value_name = "ADDRESS")]
        address: Option<String>,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<NasFields>,
    },
    /// Find out what can be learnt of a gateway from outside
    #[command(
        after_help = "Tells what its packets have shown since the daemon started, and asks its disconnect address to end a call that it\ncannot have: the right answer is that there is no such call. Nothing changes by it. Exit code 1 where something is bad.\n\nExamples:\n  ringfence nas probe gw1"
    )]
    Probe {
        /// The gateway
        id: String,
    },
    /// Remove gateways: what they send is dropped from then on
    #[command(after_help = "Examples:\n  ringfence nas remove gw1 --yes")]
    Remove(Remove),
}

/// What can be said of a gateway.
#[derive(Args, Clone, Debug, Default)]
pub struct NasFields {
    #[command(flatten)]
    secret: SharedSecret,
    /// How it means its attributes
    #[arg(long, value_name = "DIALECT", value_parser = DIALECTS)]
    dialect: Option<String>,
    /// The zone of times in which none is named, such as -03:00; default is UTC
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    time_zone: Option<String>,
    /// How it writes h323-disconnect-cause; default is by dialect
    #[arg(long, value_name = "BASE", value_parser = ["hex", "decimal", "default"])]
    causes: Option<String>,
    /// Which cause is meant where it sends this one, such as 17=486 (Q.850 1 to 127, SIP 300 to 699), or
    /// 17=none for what it is; repeat for more, none for no such codes
    #[arg(long = "cause-code", value_name = "SENT=MEANT", value_parser = cause_code)]
    cause_codes: Vec<OrNone<(String, OrNone<u32>)>>,
    /// How texts of vendor attributes are written in replies: h323-credit-time=60, or 60 alone
    #[arg(long, value_name = "STYLE", value_parser = ["prefixed", "bare", "default"])]
    reply_style: Option<String>,
    /// A vendor id under which it writes attributes of Cisco's layout; repeat for more, none for those
    /// of the dialect
    #[arg(long = "layout-vendor", value_name = "ID", value_parser = input::number_or_none)]
    layout_vendors: Vec<OrNone<u32>>,
    /// Whether several boxes at its address name their calls by themselves: many by their address, named by
    /// their NAS-Identifier first; default is by dialect
    #[arg(long, value_name = "HOW MANY", value_parser = ["one", "many", "named", "default"])]
    boxes: Option<String>,
    /// Which leg of a call the customer pays; originate for a gateway that tells of no answer legs
    #[arg(long, value_name = "LEG", value_parser = ["answer", "originate"])]
    paying_leg: Option<String>,
    /// How its calls are kept from outrunning what is reserved; default is chunk where it can be
    /// told to disconnect, else full
    #[arg(long, value_name = "GUARD", value_parser = ["chunk", "extend", "full", "default"])]
    guard: Option<String>,
    /// Most seconds that guard full reserves, or none for the usual
    #[arg(long, value_name = "SECONDS", value_parser = input::number_or_none)]
    grant_seconds_max: Option<OrNone<u32>>,
    /// What accounting it sends
    #[arg(long, value_name = "WHAT", value_parser = ["start-stop", "stop-only"])]
    sends: Option<String>,
    /// Whether it sends interims at regular times; none is never, default is by dialect
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "periodic", "none", "default"])]
    interims: Option<String>,
    /// What a call without Stop is charged; default is grant where there are no interims
    #[arg(long, value_name = "WHAT", value_parser = ["last_seen", "grant", "default"])]
    missing_stop: Option<String>,
    /// What a new Session-Timeout counts from; default is by dialect
    #[arg(long, value_name = "WHAT", value_parser = ["now", "start", "default"])]
    session_timeout_from: Option<String>,
    /// Drop an Access-Request without Message-Authenticator: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = input::yes_or_no)]
    require_message_authenticator: Option<bool>,
    /// Believe its User-Name where a request carries no password of any kind: yes or no. Only for a
    /// proxy that proves its callers itself
    #[arg(long, value_name = "YES|NO", value_parser = input::yes_or_no)]
    trusts_calls: Option<bool>,
    /// Who makes the nonces of Digest: the gateway, or this server when it is asked (RFC 5090)
    #[arg(long, value_name = "WHO", value_parser = ["gateway", "server"])]
    digest_nonces: Option<String>,
    /// Another h323-return-code for a reason of rejection, such as no_credit=11, or no_credit=none
    /// for the dialect's; repeat for more, none for the dialect's in all
    #[arg(long = "return-code", value_name = "REASON=CODE", value_parser = return_code)]
    return_codes: Vec<OrNone<(String, OrNone<u32>)>>,
    /// A realm whose names are those of accounts without one: alice@example.net is alice. Absent it is any,
    /// and none where --trusts-calls believes a name; repeat for more, none for no realms
    #[arg(long = "realm", value_name = "REALM", value_parser = input::text_or_none)]
    realms: Vec<OrNone<String>>,
    /// Where a proxy is told to send calls; repeat for more, none for no routes
    #[arg(long = "route", value_name = "ROUTE", value_parser = input::text_or_none)]
    routes: Vec<OrNone<String>>,
    /// Most calls at once, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    calls_max: Option<OrNone<u32>>,
    /// Most attempts in a second, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    attempts_per_second_max: Option<OrNone<u32>>,
    /// Rewrite dialled numbers: a regular expression and what replaces its match; repeat for more,
    /// none for no rules
    #[arg(long = "number-rule", value_name = "MATCH=>REPLACE", value_parser = input::number_rule)]
    number_rules: Vec<OrNone<Value>>,
    /// Where it takes Disconnect-Requests (address:port), or none
    #[arg(long, value_name = "ADDRESS", value_parser = input::text_or_none)]
    disconnect_address: Option<OrNone<String>>,
    /// Believe its answers to Disconnect-Requests though their authenticator is zeroes: yes or no.
    /// Only for a gateway that sends no other: whoever can send from its address can forge them
    #[arg(long, value_name = "YES|NO", value_parser = input::yes_or_no)]
    disconnect_zero_authenticator: Option<bool>,
    #[command(flatten)]
    disconnect_secret: DisconnectSecret,
}

/// Where the shared secret comes from.
#[derive(Args, Clone, Default)]
#[group(id = "secret_from", multiple = false)]
pub struct SharedSecret {
    /// The shared secret itself; others on this machine can see it
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// The environment variable that holds the shared secret
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// The file that holds the shared secret
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
}

/// Where the secret for Disconnect-Requests comes from, where it is another.
#[derive(Args, Clone, Default)]
#[group(id = "disconnect_secret_from", multiple = false)]
pub struct DisconnectSecret {
    /// The secret for Disconnect-Requests, where it is another than the shared one; others on this machine
    /// can see it
    #[arg(long, value_name = "SECRET")]
    disconnect_secret: Option<String>,
    /// The environment variable that holds the secret for Disconnect-Requests
    #[arg(long, value_name = "NAME")]
    disconnect_secret_env: Option<String>,
    /// The file that holds the secret for Disconnect-Requests
    #[arg(long, value_name = "FILE")]
    disconnect_secret_file: Option<String>,
}

impl SharedSecret {
    /// The one way of the three that was used.
    pub fn source(self) -> Option<SecretFrom> {
        let SharedSecret { secret, secret_env, secret_file } = self;
        SecretFrom::one_of(secret, secret_env, secret_file)
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedSecret(hidden)")
    }
}

impl std::fmt::Debug for DisconnectSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DisconnectSecret(hidden)")
    }
}

/// Runs a verb of `nas`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: NasVerb) -> Result<(), CliError> {
    let noun = NASES;
    match verb {
        NasVerb::List { page } => noun.list(context, Vec::new(), &page, table),
        NasVerb::Show { id } => noun.show(context, &id, card),
        NasVerb::Add { id, address, fields } => {
            let members = fields.members(Some(address), context.environment)?;
            noun.add(context, &id, members, card)
        }
        NasVerb::Set { id, address, fields } => {
            let members = fields.members(address, context.environment)?;
            noun.set(context, &id, members, card)
        }
        NasVerb::Probe { id } => probe(context, &id),
        NasVerb::Remove(remove) => noun.remove(context, &remove),
    }
}

fn probe(context: &mut Context<'_>, id: &str) -> Result<(), CliError> {
    let answer = context.client.ask(Ask::post(format!("{}/probe", NASES.path_of(id))))?;
    let probed: NasProbeView = answer.read()?;
    if !context.printed_as_json(&answer)? {
        let mut card = Card::new();
        card.field("nas", &probed.id);
        for FindingView { about, verdict, text } in &probed.findings {
            let tone = match verdict.as_str() {
                "good" => Tone::Good,
                "odd" => Tone::Odd,
                "bad" => Tone::Bad,
                _ => Tone::Faint,
            };
            card.field(about, Text::toned(format!("{verdict}: {text}"), tone));
        }
        context.card(&card)?;
    }
    match probed.findings.iter().any(|finding| finding.verdict == "bad") {
        // All has been said.
        true => Err(CliError::new(Exit::Failed, Vec::new())),
        false => Ok(()),
    }
}

impl NasFields {
    fn members(self, address: Option<String>, environment: Environment<'_>) -> Result<Members, CliError> {
        let mut members = Members::new();
        members.set("address", address);
        set_secret(self.secret.source(), environment, &mut members)?;
        members.set("dialect", self.dialect);
        members.set("time_zone", self.time_zone.map(or_default));
        members.set("causes", self.causes.map(or_default));
        members.set("cause_codes", of_codes(self.cause_codes));
        members.set("reply_style", self.reply_style.map(or_default));
        members.set_list("layout_vendors", &self.layout_vendors);
        members.set("boxes", self.boxes.map(or_default));
        members.set("paying_leg", self.paying_leg);
        members.set("guard", self.guard.map(or_default));
        members.set("grant_seconds_max", self.grant_seconds_max);
        members.set("sends", self.sends);
        members.set("interims", self.interims.map(or_default));
        members.set("missing_stop", self.missing_stop.map(or_default));
        members.set("session_timeout_from", self.session_timeout_from.map(or_default));
        members.set("require_message_authenticator", self.require_message_authenticator);
        members.set("trusts_calls", self.trusts_calls);
        members.set("digest_nonces", self.digest_nonces);
        members.set("return_codes", of_codes(self.return_codes));
        members.set_list("realms", &self.realms);
        members.set_list("routes", &self.routes);
        members.set("calls_max", self.calls_max);
        members.set("attempts_per_second_max", self.attempts_per_second_max);
        members.set_list("number_rules", &self.number_rules);

        let DisconnectSecret { disconnect_secret, disconnect_secret_env, disconnect_secret_file } =
            self.disconnect_secret;
        let mut disconnect = Members::new();
        let from = SecretFrom::one_of(disconnect_secret, disconnect_secret_env, disconnect_secret_file);
        set_secret(from, environment, &mut disconnect)?;
        match self.disconnect_address {
            Some(OrNone::None) => members.set("disconnect", Some(Value::Null)),
            Some(OrNone::Value(address)) => disconnect.set("address", Some(address)),
            None => {}
        }
        disconnect.set("zero_authenticator", self.disconnect_zero_authenticator);
        if !disconnect.is_empty() {
            members.set("disconnect", Some(disconnect.change()));
        }
        Ok(members)
    }
}

/// A reason of rejection with its code, `REASON=CODE`, or `none`.
fn return_code(text: &str) -> Result<OrNone<(String, OrNone<u32>)>, String> {
    if text == "none" {
        return Ok(OrNone::None);
    }
    let (reason, code) = text.split_once('=').ok_or("must be REASON=CODE, such as no_credit=11, or none")?;
    Ok(OrNone::Value((reason.trim().to_owned(), input::number_or_none(code.trim())?)))
}

/// A cause that is sent with the one that is meant, `SENT=MEANT`, or `none`.
fn cause_code(text: &str) -> Result<OrNone<(String, OrNone<u32>)>, String> {
    if text == "none" {
        return Ok(OrNone::None);
    }
    let (sent, meant) = text.split_once('=').ok_or("must be SENT=MEANT, such as 17=486, or none")?;
    Ok(OrNone::Value((sent.trim().to_owned(), input::number_or_none(meant.trim())?)))
}

/// The codes that were named; none of the operator's, where `none` is among them.
fn of_codes(codes: Vec<OrNone<(String, OrNone<u32>)>>) -> Option<Value> {
    if codes.is_empty() {
        return None;
    }
    let named = codes.into_iter().map(|code| match code {
        OrNone::Value((reason, code)) => Some((reason, code.into())),
        OrNone::None => None,
    });
    Some(named.collect::<Option<serde_json::Map<String, Value>>>().map_or(Value::Null, Value::Object))
}

/// What the operator has not said; `none` would be taken for a value here.
fn or_default(word: String) -> Value {
    if word == "default" { Value::Null } else { word.into() }
}

fn set_secret(from: Option<SecretFrom>, environment: Environment<'_>, members: &mut Members) -> Result<(), CliError> {
    if let Some(from) = from {
        let secret =
            from.read(environment, Path::new("")).map_err(|error| CliError::usage(format!("the secret: {error}")))?;
        from.set_members("secret", secret, members);
    }
    Ok(())
}

fn table(nases: &[NasView]) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::new("address"),
        Column::new("dialect").rank(3),
        Column::new("guard").rank(4),
        Column::new("disconnect").rank(2),
        Column::number("calls").rank(1),
        Column::text("warnings").rank(5),
    ]);
    for nas in nases {
        table.row([
            Text::from(&nas.id),
            Text::from(&nas.address),
            Text::from(&nas.dialect),
            Text::from(&nas.guard),
            Text::from(nas.disconnect.as_ref()),
            of_max(nas.calls, nas.calls_max),
            Text::toned(nas.warnings.join("; "), Tone::Odd),
        ]);
    }
    table
}

fn card(nas: &NasView) -> Card {
    let mut card = Card::new();
    card.field("nas", &nas.id);
    card.field("address", &nas.address);
    card.field("secret", &nas.secret);
    card.field("dialect", &nas.dialect);
    card.field("time zone", &nas.time_zone);
    card.field("causes", &nas.causes);
    if !nas.cause_codes.is_empty() {
        let codes = nas.cause_codes.iter().map(|(sent, meant)| format!("{sent}={meant}"));
        card.field("cause codes", codes.collect::<Vec<_>>().join(", "));
    }
    card.field("reply style", &nas.reply_style);
    let vendors: Vec<String> = nas.layout_vendors.iter().map(ToString::to_string).collect();
    card.field("layout vendors", vendors.join(", "));
    card.field("boxes", &nas.boxes);
    card.field("paying leg", &nas.paying_leg);
    card.field("guard", &nas.guard);
    card.field("longest grant", seconds(u64::from(nas.grant_seconds_max)));
    card.field("disconnect", nas.disconnect.as_ref());
    if nas.disconnect_zero_authenticator {
        card.field("disconnect answers", Text::toned("believed with a zeroed authenticator", Tone::Odd));
    }
    card.field("sends", &nas.sends);
    card.field("interims", &nas.interims);
    card.field("missing stop", &nas.missing_stop);
    card.field("session timeout from", &nas.session_timeout_from);
    card.field("message authenticator", if nas.require_message_authenticator { "required" } else { "not required" });
    if nas.trusts_calls {
        card.field("user name", Text::toned("believed without a password", Tone::Odd));
    }
    card.field("digest nonces", format!("by the {}", nas.digest_nonces));
    let codes = nas.return_codes.iter().map(|(reason, code)| format!("{reason}={code}"));
    card.field("return codes", codes.collect::<Vec<_>>().join(", "));
    card.field("realms", nas.realms.join(", "));
    card.field("routes", nas.routes.join(", "));
    card.field("calls", of_max(nas.calls, nas.calls_max));
    card.field("attempts per second", nas.attempts_per_second_max);
    card.field("number rules", rules(&nas.number_rules));
    for (oddity, count) in &nas.oddities {
        card.field("not believed", Text::toned(format!("{oddity}: {count}"), Tone::Odd));
    }
    for warning in &nas.warnings {
        card.field("warning", Text::toned(warning, Tone::Odd));
    }
    card
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_address_is_a_member_of_its_own() {
        let fields =
            NasFields { disconnect_address: Some(OrNone::Value("192.0.2.10:3799".into())), ..NasFields::default() };
        let members = fields.members(None, &|_| None).unwrap();
        assert_eq!(members.change(), serde_json::json!({ "disconnect": { "address": "192.0.2.10:3799" } }));
    }

    #[test]
    fn a_disconnect_address_is_taken_away() {
        let fields = NasFields { disconnect_address: Some(OrNone::None), ..NasFields::default() };
        assert_eq!(fields.members(None, &|_| None).unwrap().change(), serde_json::json!({ "disconnect": null }));
    }

    #[test]
    fn a_zeroed_authenticator_is_allowed_and_forbidden_again() {
        for allowed in [true, false] {
            let fields = NasFields { disconnect_zero_authenticator: Some(allowed), ..NasFields::default() };
            let change = fields.members(None, &|_| None).unwrap().change();
            assert_eq!(change, serde_json::json!({ "disconnect": { "zero_authenticator": allowed } }));
        }
    }

    #[test]
    fn no_interims_is_a_value_and_the_default_is_none() {
        let set = |word: &str| {
            let fields = NasFields { interims: Some(word.into()), ..NasFields::default() };
            fields.members(None, &|_| None).unwrap().change()
        };
        assert_eq!(set("none"), serde_json::json!({ "interims": "none" }));
        assert_eq!(set("default"), serde_json::json!({ "interims": null }));
    }

    #[test]
    fn a_new_gateway_has_no_empty_members() {
        let fields = NasFields {
            secret: SharedSecret { secret: Some("s".into()), ..SharedSecret::default() },
            disconnect_secret: DisconnectSecret { disconnect_secret: Some("d".into()), ..DisconnectSecret::default() },
            ..NasFields::default()
        };
        let new = fields.members(Some("192.0.2.1".into()), &|_| None).unwrap().new_thing();
        let expected = serde_json::json!({
            "address": "192.0.2.1", "secret": "s", "disconnect": { "secret": "d" } });
        assert_eq!(new, expected);
    }
}
