//! What operators write and read, as it stands in JSON and in a setup file: one set of names for the
//! HTTP API, `ringfence apply`, `ringfence export` and the command line.
//!
//! `...Spec` is what an operator writes, `...View` what is shown. Money is decimal text of at most
//! six decimals (shown with all six), a rate per minute of at most nine; times are RFC 3339 in UTC.
//! Everything is text here and checked later, so that a fault can be named with its path.
//!
//! # Routes, all below `/api/v1`
//!
//! Errors are [`Problem`] as `application/problem+json` (RFC 9457). Lists take `limit` (1 to 1000,
//! 100 if absent) and `cursor`, and answer with the member `next`, absent on the last page. NOUN is
//! one of `resellers customers accounts tariffs nas carriers connections`; ids in a path are
//! percent-encoded.
//!
//! | method and path | request | response |
//! | --- | --- | --- |
//! | `GET /NOUN` | `?limit= &cursor=`; customers, resellers: `reseller=`; accounts: `customer=`; connections: `carrier=` | 200 `{"NOUN": [View], "next"}` |
//! | `POST /NOUN` | its Spec | 201 its View; 409 if it exists |
//! | `GET /NOUN/{id}` | | 200 its View; 404 |
//! | `PUT /NOUN/{id}` | its Spec, whole: what is absent gets its default; `id` may be absent | 200 its View, 201 if it is new |
//! | `PATCH /NOUN/{id}` | any members of its Spec; `null` takes a member away (RFC 7396) | 200 its View; 404 |
//! | `DELETE /NOUN/{id}` | | 204; 404; 409 while it is in use |
//! | `POST /customers/{id}/entries`, `/resellers/{id}/entries` | [`EntrySpec`] | 201 [`PostedView`]; 200 if the key was used before for the same |
//! | `GET /customers/{id}/entries`, `/resellers/{id}/entries` | `?from= &to= &kind= &limit= &cursor=` | 200 [`EntryList`], newest first |
//! | `GET /tariffs/{id}/rates` | `?prefix=` | 200 CSV (`text/csv`) |
//! | `PUT /tariffs/{id}/rates` | CSV; `?dry_run=true` | 200 [`RateImportReport`]; 422 [`Problem`] with `errors` |
//! | `GET /rate-test` | `?number= &account= &seconds= &nas=` | 200 [`RateTestView`] |
//! | `POST /apply` | [`ApplyRequest`] | 200 [`ApplyReport`]; 422 [`Problem`] with `errors` |
//! | `GET /export` | `?secrets=true &rates=false` | 200 [`SetupFile`] |
//! | `GET /calls` | `?customer= &reseller= &account= &nas= &carrier= &connection= &state= &number= &conf_id= &acct_session_id= &ended=true &stale=true &limit= &cursor=` | 200 [`CallList`], newest first |
//! | `GET /calls/{id}` | `c123`, a conference id or an Acct-Session-Id | 200 [`CallView`]; 404 |
//! | `GET /calls/{id}/log` | any of its ids | 200 [`CallLogView`], oldest first |
//! | `POST /calls/{id}/remove` | | 200 [`CallActionView`]; 409 if it is over |
//! | `POST /calls/{id}/disconnect` | | 202 [`CallActionView`]; 409 if it is over |
//! | `POST /nas/{id}/probe` | | 200 [`NasProbeView`]; 409 if it was probed less than 10 s ago |
//! | `POST /call-actions` | [`CallActionSpec`], at most 1000 ids | 200 [`CallActionList`]: what became of each |
//! | `GET /cdrs` | `?from= &to= &customer= &reseller= &account= &caller= &callee= &call_id= &result= &record_type= &nas= &carrier= &limit= &cursor=` | 200 [`CdrList`], newest first |
//! | `GET /rejections` | `?from= &to= &reason= &account= &nas= &limit= &cursor=` | 200 [`RejectionList`], newest first |
//! | `GET /audit` | `?from= &to= &by= &about=customer acme &limit= &cursor=` | 200 [`AuditList`], newest first |
//! | `POST /db/backup` | [`BackupRequest`] | 200 [`BackupView`] |
//! | `GET /db/verify` | | 200 [`VerifyView`], also where something is wrong |
//! | `GET /status` | | 200 [`StatusView`] |
//! | `GET /openapi.json` | | 200 the whole in OpenAPI 3.1 |
//!
//! 400 the request cannot be read, 404 there is no such thing, 409 it is refused as things are, 413
//! it is too large, 422 what it says is wrong, 503 the engine is not there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

// What operators write.

/// All of a setup file; the lists are the tables `[[tariff]]`, `[[reseller]]` and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupFile {
    /// Tariffs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tariff: Vec<TariffSpec>,
    /// Resellers, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reseller: Vec<ResellerSpec>,
    /// Customers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customer: Vec<CustomerSpec>,
    /// Accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<AccountSpec>,
    /// NASes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nas: Vec<NasSpec>,
    /// Carriers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carrier: Vec<CarrierSpec>,
    /// Connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<ConnectionSpec>,
}

/// A tariff, with its rates where it brings them along.
///
/// With none of `rate` and `rates_csv` the rates stay as they are; `rate = []` takes all away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffSpec {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Three letters.
    #[serde(default)]
    pub currency: String,
    /// Where the client read `rates_csv`: named in errors, not opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates_file: Option<String>,
    /// The text of a CSV file of rates. Not written in a setup file: the client fills it in from
    /// `rates_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates_csv: Option<String>,
    /// The rates in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Vec<RateSpec>>,
}

/// One price row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    /// Digits; empty is the rest of the world.
    #[serde(default)]
    pub prefix: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Price; may be absent where the rate is free or forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<String>,
    /// Paid once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_fee: Option<String>,
    /// First increment, seconds; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// Every further increment, seconds; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// A call of at most so many seconds costs nothing; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// Costs nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub free: bool,
    /// Not let through.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forbidden: bool,
    /// First instant that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<String>,
    /// First instant that it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_until: Option<String>,
}

/// A reseller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResellerSpec {
    /// Its id; customers and resellers share one name space.
    #[serde(default)]
    pub id: String,
    /// The reseller above it; absent: the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its name on paper.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it pays.
    #[serde(default)]
    pub tariff: String,
    /// What it begins with; looked at on creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_balance: Option<String>,
    /// How far below zero its balance may go; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_limit: Option<String>,
    /// Most calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_second_max: Option<u32>,
    /// Most that the calls of one UTC day may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_per_day_max: Option<String>,
    /// No new calls.
    #[serde(default, skip_serializing_if = "is_false")]
    pub blocked: bool,
}

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerSpec {
    /// Its id; customers and resellers share one name space.
    #[serde(default)]
    pub id: String,
    /// The reseller that it belongs to; absent: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseller: Option<String>,
    /// Its name on paper.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it pays.
    #[serde(default)]
    pub tariff: String,
    /// What it begins with; looked at on creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_balance: Option<String>,
    /// How far below zero its balance may go; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_limit: Option<String>,
    /// Most calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_second_max: Option<u32>,
    /// Most that the calls of one UTC day may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_per_day_max: Option<String>,
    /// No new calls.
    #[serde(default, skip_serializing_if = "is_false")]
    pub blocked: bool,
    /// `reject` (if absent) or `hotline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_credit: Option<String>,
    /// Turn dialled numbers into E.164.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub number_rules: Vec<NumberRuleSpec>,
}

/// One rewriting of a dialled number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRuleSpec {
    /// A regular expression.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What replaces its first match.
    #[serde(default)]
    pub replace: String,
}

/// An account.
///
/// A secret has four members. `password` is its value. `password_env` and `password_file` say where
/// the client took that value from; alone they are a reference for the client to resolve, and refused
/// here. `password_kept` is what an export without secrets says: leave it as it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// The User-Name.
    #[serde(default)]
    pub id: String,
    /// Who pays.
    #[serde(default)]
    pub customer: String,
    /// Proof by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The environment variable that the password is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The file that the password is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// The password stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub password_kept: bool,
    /// Proof by the caller's own address: addresses or networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_addresses: Vec<String>,
    /// Proof by Calling-Station-Id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ani: Vec<String>,
    /// Most calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_second_max: Option<u32>,
    /// No new calls.
    #[serde(default, skip_serializing_if = "is_false")]
    pub blocked: bool,
    /// Turn dialled numbers into E.164.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub number_rules: Vec<NumberRuleSpec>,
}

/// A NAS. For its secret see [`AccountSpec`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NasSpec {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Its source address or network.
    #[serde(default)]
    pub address: String,
    /// The shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The environment variable that the secret is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file that the secret is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
    /// The secret stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret_kept: bool,
    /// `rfc` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// The offset from UTC of times that name no zone, such as `-03:00`; by dialect if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `hex` or `decimal`: how h323-disconnect-cause is written; by dialect if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<String>,
    /// Which cause is meant where this code is sent: 1 to 127 of Q.850 or 300 to 699 of SIP, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cause_codes: BTreeMap<String, u32>,
    /// `prefixed` or `bare`: how texts of vendor attributes are written in replies; by dialect if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_style: Option<String>,
    /// The vendors whose attributes have Cisco's layout, 1 to 16777215; by dialect if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layout_vendors: Vec<u32>,
    /// `one`, `many` or `named`: how many boxes name their calls by themselves; by dialect if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// `answer` (if absent) or `originate`: which leg the customer pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paying_leg: Option<String>,
    /// `chunk`, `extend` or `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Most seconds that guard `full` reserves; 3600 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_seconds_max: Option<u32>,
    /// `start-stop` or `stop-only`; by dialect if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends: Option<String>,
    /// `auto`, `periodic` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interims: Option<String>,
    /// `last_seen` or `grant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_stop: Option<String>,
    /// `now` or `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout_from: Option<String>,
    /// An Access-Request without Message-Authenticator is dropped; true if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_message_authenticator: Option<bool>,
    /// Its User-Name is believed where a request carries no password of any kind; false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusts_calls: Option<bool>,
    /// `gateway` (if absent) or `server`: who makes the nonces of Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_nonces: Option<String>,
    /// What h323-return-code is where it is not the dialect's, by reason of rejection: 1 to 255.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub return_codes: BTreeMap<String, u32>,
    /// The realms whose names are those of accounts without one; empty: any, and none where `trusts_calls`
    /// believes a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub realms: Vec<String>,
    /// Where the dialect tells the proxy to send calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Most calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_second_max: Option<u32>,
    /// Turn dialled numbers into E.164.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub number_rules: Vec<NumberRuleSpec>,
    /// Where it takes Disconnect-Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<DisconnectSpec>,
}

/// Where a NAS takes Disconnect-Requests. With no member about a secret, the NAS's own is used.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisconnectSpec {
    /// Address and port.
    #[serde(default)]
    pub address: String,
    /// The secret there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The environment variable that the secret is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file that the secret is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
    /// The secret stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret_kept: bool,
    /// Its answers are believed though their authenticator is zeroes; false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_authenticator: Option<bool>,
}

/// A carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarrierSpec {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// What it takes.
    #[serde(default)]
    pub tariff: String,
    /// Most calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSpec {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// The carrier at its other end.
    #[serde(default)]
    pub carrier: String,
    /// The far addresses by which a leg is known to go through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// A movement of money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrySpec {
    /// `topup` (above zero) or `adjustment` (either way).
    pub kind: String,
    /// Added to the balance.
    pub amount: String,
    /// Said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The same key again is the same entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A setup file to be made true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What is to be.
    pub setup: SetupFile,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Also remove what the file does not name.
    #[serde(default)]
    pub prune: bool,
}

/// Where a backup goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// A directory on the daemon's machine, as an absolute path.
    pub directory: String,
}

// What operators read.

/// What went wrong (RFC 9457), and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the title says what the status says.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong and what to do.
    pub detail: String,
    /// Every fault of what was sent, where it can be said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

/// One fault of what an operator wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which value: `customer[3].tariff`, counted from 0 in the order that was sent; `line 17` for a
    /// CSV; empty for the whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What applying a setup file did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// What is new.
    pub added: Vec<ThingName>,
    /// What is another than it was.
    pub changed: Vec<ThingChange>,
    /// What is as the file says.
    pub unchanged: Vec<ThingName>,
    /// What is gone (with `prune` only).
    pub removed: Vec<ThingName>,
    /// What the file does not name and was left.
    pub left: Vec<ThingName>,
    /// What an operator should know, such as a guard that lacks its address.
    pub warnings: Vec<String>,
}

/// A thing by its kind (`tariff reseller customer account nas carrier connection`) and id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThingName {
    /// What it is.
    pub kind: String,
    /// Which.
    pub id: String,
}

/// How a thing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThingChange {
    /// What it is.
    pub kind: String,
    /// Which.
    pub id: String,
    /// Member by member.
    pub fields: Vec<FieldChange>,
    /// For a tariff whose rates change: how many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<RateCounts>,
}

/// How a member changes; secrets are shown as `(hidden)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// What it was; `-` for nothing.
    pub from: String,
    /// What it becomes; `-` for nothing.
    pub to: String,
}

/// How many rows of a tariff are new, changed, gone and the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateCounts {
    /// New.
    pub added: u64,
    /// Changed.
    pub changed: u64,
    /// Gone.
    pub removed: u64,
    /// The same.
    pub unchanged: u64,
}

/// What an import of rates did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateImportReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// The tariff.
    pub tariff: String,
    /// The version that is in force now.
    pub version: u64,
    /// How many rows.
    pub counts: RateCounts,
    /// The first rows that differ, at most 100.
    pub differences: Vec<RateDifference>,
    /// What is allowed and may be a mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How one row of a tariff changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateDifference {
    /// As it was; absent for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RateSpec>,
    /// As it becomes; absent for one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RateSpec>,
}

/// A customer or reseller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyView {
    /// Its id.
    pub id: String,
    /// `customer` or `reseller`.
    pub kind: String,
    /// Its name on paper.
    pub name: String,
    /// For a customer: its reseller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseller: Option<String>,
    /// For a reseller: the one above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it pays.
    pub tariff: String,
    /// The currency of all its money.
    pub currency: String,
    /// The sum of its entries.
    pub balance: String,
    /// Held for calls.
    pub reserved: String,
    /// Balance + credit limit - reserved.
    pub available: String,
    /// How far below zero its balance may go.
    pub credit_limit: String,
    /// Calls up now.
    pub calls: u32,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// Most that the calls of one UTC day may cost.
    pub spend_per_day_max: Option<String>,
    /// No new calls.
    pub blocked: bool,
    /// `reject` or `hotline`.
    pub no_credit: String,
    /// Turn dialled numbers into E.164.
    pub number_rules: Vec<NumberRuleSpec>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The User-Name.
    pub id: String,
    /// Who pays.
    pub customer: String,
    /// Where its password is from: `inline`, `env:NAME`, `file:PATH`; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The id alone is the proof.
    pub is_code: bool,
    /// Proof by the caller's own address.
    pub trusted_addresses: Vec<String>,
    /// Proof by Calling-Station-Id.
    pub ani: Vec<String>,
    /// Calls up now.
    pub calls: u32,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// No new calls.
    pub blocked: bool,
    /// Turn dialled numbers into E.164.
    pub number_rules: Vec<NumberRuleSpec>,
}

/// A tariff.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TariffView {
    /// Its id.
    pub id: String,
    /// Of all its prices.
    pub currency: String,
    /// The version of its rates; 0: none yet.
    pub version: u64,
    /// How many rates.
    pub rates: u64,
}

/// A NAS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NasView {
    /// Its id.
    pub id: String,
    /// Its source address or network.
    pub address: String,
    /// Where its secret is from: `inline`, `env:NAME`, `file:PATH`.
    pub secret: String,
    /// How it means its attributes.
    pub dialect: String,
    /// The offset from UTC of times that name no zone, in effect.
    #[serde(default)]
    pub time_zone: String,
    /// How h323-disconnect-cause is written, in effect.
    #[serde(default)]
    pub causes: String,
    /// Which cause is meant where this code is sent, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cause_codes: BTreeMap<String, u32>,
    /// How texts of vendor attributes are written in replies, in effect.
    #[serde(default)]
    pub reply_style: String,
    /// The vendors whose attributes have Cisco's layout, in effect.
    #[serde(default)]
    pub layout_vendors: Vec<u32>,
    /// How many boxes name their calls by themselves, in effect.
    #[serde(default)]
    pub boxes: String,
    /// Which leg the customer pays.
    #[serde(default)]
    pub paying_leg: String,
    /// How its calls are guarded, in effect.
    pub guard: String,
    /// Most seconds that guard `full` reserves.
    pub grant_seconds_max: u32,
    /// `start-stop` or `stop-only`.
    pub sends: String,
    /// Periodic interims, in effect.
    pub interims: String,
    /// A call without Stop, in effect.
    pub missing_stop: String,
    /// What a new Session-Timeout counts from, in effect.
    pub session_timeout_from: String,
    /// An Access-Request without Message-Authenticator is dropped.
    pub require_message_authenticator: bool,
    /// Its User-Name is believed where a request carries no password of any kind.
    #[serde(default)]
    pub trusts_calls: bool,
    /// `gateway` or `server`: who makes the nonces of Digest.
    #[serde(default)]
    pub digest_nonces: String,
    /// What h323-return-code is where it is not the dialect's, by reason of rejection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub return_codes: BTreeMap<String, u32>,
    /// The realms whose names are those of accounts without one; empty: any, and none where `trusts_calls`
    /// believes a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub realms: Vec<String>,
    /// Where the dialect tells the proxy to send calls.
    pub routes: Vec<String>,
    /// Calls up now.
    pub calls: u32,
    /// Most calls at once.
    pub calls_max: Option<u32>,
    /// Most attempts in a second.
    pub attempts_per_second_max: Option<u32>,
    /// Turn dialled numbers into E.164.
    pub number_rules: Vec<NumberRuleSpec>,
    /// Where it takes Disconnect-Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<String>,
    /// Answers from there are believed though their authenticator is zeroes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disconnect_zero_authenticator: bool,
    /// What it got wrong since the daemon started, by what: bounded, and not believed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub oddities: BTreeMap<String, u64>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What can be learnt about a NAS from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NasProbeView {
    /// Its id.
    pub id: String,
    /// When a packet of it came last that could be proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_packet_at: Option<String>,
    /// What was found out, from what it has sent since the daemon started.
    pub findings: Vec<FindingView>,
    /// What it answered when it was asked to end a call that it cannot have; absent without a disconnect address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<DisconnectProbeView>,
}

/// Something that was found out about a NAS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// What it is about.
    pub about: String,
    /// `good`, `odd`, `bad` or `unknown`.
    pub verdict: String,
    /// The same in words.
    pub text: String,
}

/// What a NAS answers to a Disconnect-Request about a call that it cannot have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectProbeView {
    /// Where it was asked.
    pub address: String,
    /// `nak`, `ack`, `silent`, `not_believed` or `not_sent`.
    pub answer: String,
    /// Error-Cause of its answer; 503 is what should be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_cause: Option<u32>,
    /// How long it took, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// A carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierView {
    /// Its id.
    pub id: String,
    /// What it takes.
    pub tariff: String,
    /// Calls up now.
    pub calls: u32,
    /// Most calls at once.
    pub calls_max: Option<u32>,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Its id.
    pub id: String,
    /// The carrier at its other end.
    pub carrier: String,
    /// The far addresses.
    pub addresses: Vec<String>,
}

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// `c1024`.
    pub id: String,
    /// `trying early confirmed disconnecting terminated`.
    pub state: String,
    /// Who calls.
    pub account: Option<String>,
    /// User-Name as sent, escaped.
    pub user_name: String,
    /// Who pays first.
    pub customer: Option<String>,
    /// Its reseller.
    pub reseller: Option<String>,
    /// All that pay, the customer first.
    pub payers: Vec<PayerView>,
    /// The NAS that it came by.
    pub nas: String,
    /// Calling number.
    pub caller: String,
    /// Called number.
    pub callee: String,
    /// H.323 conference identifier.
    pub conf_id: Option<String>,
    /// Acct-Session-Id, escaped.
    pub acct_session_id: String,
    /// Who terminates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// Through which trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// When it was authorized or first heard of.
    pub opened_at: String,
    /// When it was answered; null before.
    pub started_at: Option<String>,
    /// When it left the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Answered seconds so far, or charged.
    pub seconds: u64,
    /// Seconds of set-up so far, or until the answer.
    pub setup_seconds: u64,
    /// Seconds from the answer that are paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_seconds: Option<u64>,
    /// The grant that the NAS was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_seconds: Option<u64>,
    /// Held for it at the customer.
    pub reserved: String,
    /// What the customer would pay if it ended now, or paid.
    pub cost: String,
    /// Of `reserved` and `cost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What is odd about it.
    pub flags: Vec<String>,
    /// What ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why its NAS is asked to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnecting_for: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnecting_since: Option<String>,
    /// How often its NAS was asked to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_attempts: Option<u32>,
    /// What became of the latest of these: `acknowledged gone refused unanswered not_sent`; absent while
    /// that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_answer: Option<String>,
    /// The Error-Cause that came with it (RFC 5176, 3.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_error_cause: Option<u32>,
    /// Its name, where the RFC has one: `Administratively-Prohibited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_error: Option<String>,
    /// When its NAS last told anything of it.
    #[serde(default)]
    pub heard_at: String,
    /// Seconds since then; absent once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// What speaks for it being over though nobody has told so, in words, the strongest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// Its accounting streams; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegView>,
}

/// One that pays for a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayerView {
    /// Customer or reseller.
    pub party: String,
    /// The destination of the rate.
    pub destination: String,
    /// The prefix of the rate.
    pub prefix: String,
    /// A minute's price; absent where no rate covers the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Held.
    pub reserved: String,
    /// Charged so far.
    pub charged: String,
    /// Its price so far.
    pub cost: String,
    /// Of these.
    pub currency: String,
}

/// One accounting stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegView {
    /// The NAS that tells of it.
    pub nas: String,
    /// Acct-Session-Id, escaped.
    pub acct_session_id: String,
    /// `answer` or `originate`.
    pub origin: String,
    /// The far address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long it was answered, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Cause after Q.850 (1 to 127), or the final response of SIP (300 to 699).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u16>,
    /// The trunk that it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
}

/// The log of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLogView {
    /// The call.
    pub call: String,
    /// Oldest first.
    pub lines: Vec<LogLineView>,
}

/// One line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLineView {
    /// When.
    pub at: String,
    /// What kind of event, one word.
    pub event: String,
    /// The event with the numbers that decided it.
    pub text: String,
}

/// What an operator did to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallActionView {
    /// The call.
    pub id: String,
    /// Its state now.
    pub state: String,
    /// What was done and what was not, for a person.
    pub note: String,
}

/// What is to be done to several calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallActionSpec {
    /// `disconnect remove`.
    pub action: String,
    /// Any ids of them.
    pub ids: Vec<String>,
}

/// What became of several calls, in the order in which they were named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallActionList {
    /// One for each.
    pub calls: Vec<CallResultView>,
}

/// What became of one of several calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResultView {
    /// The call, by its own id where it was found.
    pub id: String,
    /// Its state now; absent where it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What was done and what was not, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One line of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    /// Its number.
    pub id: u64,
    /// When.
    pub at: String,
    /// Customer or reseller.
    pub party: String,
    /// `opening topup adjustment charge overrun correction refund`.
    pub kind: String,
    /// Added to the balance.
    pub amount: String,
    /// The balance after it.
    pub balance: String,
    /// Of both.
    pub currency: String,
    /// The call that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The CDR that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdr_id: Option<u64>,
    /// Said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The key that it was posted under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Who asked; empty for a call's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// A posted entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedView {
    /// The entry's number.
    pub id: u64,
    /// Customer or reseller.
    pub party: String,
    /// `topup` or `adjustment`.
    pub kind: String,
    /// Added to the balance.
    pub amount: String,
    /// The balance now.
    pub balance: String,
    /// Of both.
    pub currency: String,
    /// It was posted before under this key; nothing was added now.
    pub known: bool,
}

/// A call detail record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrView {
    /// Its number.
    pub id: u64,
    /// Its call.
    pub call_id: String,
    /// `charge correction refund`.
    pub record_type: String,
    /// `ok failure`.
    pub result: String,
    /// Who called.
    pub account: Option<String>,
    /// User-Name as sent, escaped.
    pub user_name: String,
    /// Who paid first.
    pub customer: Option<String>,
    /// Its reseller.
    pub reseller: Option<String>,
    /// The NAS of the call.
    pub nas: String,
    /// Calling number.
    pub caller: String,
    /// Called number.
    pub callee: String,
    /// The destination of the customer's rate.
    pub destination: String,
    /// H.323 conference identifier.
    pub conf_id: Option<String>,
    /// Acct-Session-Id, escaped.
    pub acct_session_id: String,
    /// When it was authorized or first heard of.
    pub opened_at: String,
    /// When it was answered.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: String,
    /// Answered seconds.
    pub seconds: u64,
    /// Seconds that the customer is charged for.
    pub billed_seconds: u64,
    /// What the customer pays; in a correction: what is added.
    pub charge: String,
    /// Of `charge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What each payer pays.
    pub charges: Vec<ChargeView>,
    /// Who terminated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// Through which trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What the carrier takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Of `cost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_currency: Option<String>,
    /// Charged from evidence: no Stop came.
    pub estimated: bool,
    /// What ended the call.
    pub ended_by: String,
    /// Cause after Q.850 (1 to 127), or the final response of SIP (300 to 699).
    pub cause: Option<u16>,
    /// What is odd about it.
    pub flags: Vec<String>,
}

/// What one payer pays for a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeView {
    /// Customer or reseller.
    pub party: String,
    /// How much.
    pub amount: String,
    /// Of `amount`.
    pub currency: String,
    /// A minute's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// The prefix of the rate.
    pub prefix: String,
    /// The destination of the rate.
    pub destination: String,
}

/// A rejection, or several alike in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionView {
    /// When.
    pub at: String,
    /// Why, one word.
    pub reason: String,
    /// Who asked.
    pub nas: String,
    /// User-Name as sent, escaped.
    pub user_name: String,
    /// The account, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Calling number.
    pub caller: String,
    /// Called number.
    pub callee: String,
    /// H.323 conference identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf_id: Option<String>,
    /// Acct-Session-Id, escaped.
    pub acct_session_id: String,
    /// The numbers that decided it.
    pub text: String,
    /// How many.
    pub count: u64,
}

/// Who changed what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// When.
    pub at: String,
    /// Who: `socket:uid=0`, `tcp:127.0.0.1`.
    pub by: String,
    /// What, without secrets.
    pub text: String,
}

/// What a call would cost and how long it could be, by the very rules of a live call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateTestView {
    /// The number as it was asked.
    pub number: String,
    /// In E.164, where it could be made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e164: Option<String>,
    /// The account.
    pub account: String,
    /// A call would be let through now.
    pub allowed: bool,
    /// Why not, one word; and in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The longest call that all payers can pay for, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affordable_seconds: Option<u64>,
    /// Session-Timeout that the NAS would be told: the NAS that was named, else any, where it does not
    /// depend on which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout: Option<u64>,
    /// That NAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas: Option<String>,
    /// The seconds that were asked about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// For each payer, the customer first.
    pub payers: Vec<PayerQuoteView>,
}

/// What one payer would pay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayerQuoteView {
    /// Customer or reseller.
    pub party: String,
    /// Its tariff.
    pub tariff: String,
    /// Of all amounts here.
    pub currency: String,
    /// The rate that matches; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
    /// What it has.
    pub available: String,
    /// The seconds that would be charged for `seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed_seconds: Option<u64>,
    /// The price of `seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// What the first chunk would reserve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_chunk: Option<String>,
    /// The longest call that it can pay for by what is available; absent: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affordable_seconds: Option<u64>,
}

/// What a backup wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// The files in the directory now.
    pub files: Vec<String>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyView {
    /// Nothing is wrong.
    pub ok: bool,
    /// What was checked, with counts.
    pub checked: Vec<String>,
    /// What is wrong.
    pub violations: Vec<String>,
}

/// How the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// Its clock.
    pub now: String,
    /// Calls up now, by state.
    pub calls: Vec<StateCount>,
    /// Money, by currency.
    pub money: Vec<CurrencyTotals>,
    /// How many of each.
    pub resellers: u64,
    /// How many.
    pub customers: u64,
    /// How many.
    pub accounts: u64,
    /// How many.
    pub nas: u64,
    /// How many.
    pub tariffs: u64,
    /// How many.
    pub carriers: u64,
    /// How many.
    pub connections: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// How many calls are in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount {
    /// The state.
    pub state: String,
    /// How many.
    pub calls: u64,
}

/// The money of all parties of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyTotals {
    /// The currency.
    pub currency: String,
    /// The sum of balances.
    pub balance: String,
    /// The sum of what is held.
    pub reserved: String,
    /// The sum of what may still be reserved.
    pub available: String,
}

macro_rules! lists {
    ($($(#[$docs:meta])* $list:ident { $member:ident: $view:ident })+) => {$(
        $(#[$docs])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $list {
            /// This page.
            pub $member: Vec<$view>,
            /// The cursor of the next page; absent on the last one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub next: Option<String>,
        }
    )+};
}

lists!(
    /// Resellers, by id.
    ResellerList { resellers: PartyView }
    /// Customers, by id.
    CustomerList { customers: PartyView }
    /// Accounts, by id.
    AccountList { accounts: AccountView }
    /// Tariffs, by id.
    TariffList { tariffs: TariffView }
    /// NASes, by id.
    NasList { nas: NasView }
    /// Carriers, by id.
    CarrierList { carriers: CarrierView }
    /// Connections, by id.
    ConnectionList { connections: ConnectionView }
    /// Calls, the newest first.
    CallList { calls: CallView }
    /// Entries, the newest first.
    EntryList { entries: EntryView }
    /// CDRs, the newest first.
    CdrList { cdrs: CdrView }
    /// Rejections, the newest first.
    RejectionList { rejections: RejectionView }
    /// Changes by operators, the newest first.
    AuditList { audit: AuditView }
);

macro_rules! shown_without_secrets {
    ($($spec:ident),+) => {$(
        impl std::fmt::Debug for $spec {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($spec)).finish_non_exhaustive()
            }
        }
    )+};
}
shown_without_secrets!(AccountSpec, NasSpec, DisconnectSpec);

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_a_setup_file() {
        let setup: SetupFile = toml::from_str(
            r#"
            [[tariff]]
            id = "retail"
            currency = "EUR"
            rates_file = "retail.csv"
            [[tariff.rate]]
            prefix = "4930"
            destination = "Germany, Berlin"
            per_minute = "0.012"
            connect_fee = "0"
            first = 60
            next = 60
            grace = 0
            free = false
            forbidden = false
            effective_from = "2026-01-01T00:00:00Z"
            effective_until = "2027-01-01T00:00:00Z"
            [[reseller]]
            id = "north"
            name = "North Telecom"
            tariff = "wholesale"
            opening_balance = "500.00"
            credit_limit = "0"
            calls_max = 100
            attempts_per_second_max = 50
            [[customer]]
            id = "acme"
            reseller = "north"
            tariff = "retail"
            opening_balance = "10.00"
            credit_limit = "0"
            calls_max = 2
            spend_per_day_max = "50.00"
            blocked = false
            no_credit = "reject"
            number_rules = [{ match = "^00", replace = "" }]
            [[account]]
            id = "alice"
            customer = "acme"
            password = "secret1"
            trusted_addresses = []
            ani = []
            calls_max = 1
            [[nas]]
            id = "gw1"
            address = "192.0.2.10/32"
            secret_env = "GW1"
            dialect = "rfc"
            time_zone = "-03:00"
            causes = "decimal"
            cause_codes = { 17 = 486, 200 = 16 }
            reply_style = "bare"
            layout_vendors = [9, 6618]
            boxes = "many"
            paying_leg = "originate"
            guard = "chunk"
            grant_seconds_max = 3600
            sends = "start-stop"
            interims = "auto"
            missing_stop = "last_seen"
            session_timeout_from = "now"
            require_message_authenticator = true
            trusts_calls = true
            digest_nonces = "server"
            return_codes = { no_credit = 11 }
            realms = []
            routes = []
            calls_max = 1000
            [nas.disconnect]
            address = "192.0.2.10:3799"
            secret = "testing123"
            zero_authenticator = true
            [[carrier]]
            id = "carrier-1"
            tariff = "cost-1"
            calls_max = 500
            [[connection]]
            id = "c1-london"
            carrier = "carrier-1"
            addresses = ["198.51.100.7"]
            "#,
        )
        .unwrap();
        let again: SetupFile = serde_json::from_str(&serde_json::to_string(&setup).unwrap()).unwrap();
        assert_eq!(again, setup);
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused() {
        assert!(toml::from_str::<SetupFile>("[[customer]]\nid = \"a\"\nblcked = true").is_err());
    }

    #[test]
    fn secrets_are_not_shown_by_debug() {
        let account = AccountSpec { password: Some("secret1".into()), ..AccountSpec::default() };
        let setup = SetupFile { account: vec![account], ..SetupFile::default() };
        assert!(!format!("{setup:?}").contains("secret1"));
    }
}
