//! What was written down: statements, CDRs, rejections, changes by operators.

use serde::Deserialize;

use super::Admin;
use super::calls::unreadable;
use super::error::AdminError;
use super::page;
use super::spec::{AuditList, CdrList, EntryList, RejectionList};
use super::thing::Kind;
use super::view;
use crate::domain::book::Book;
use crate::domain::cdr::{BillingResult, EntryKind, RecordType};
use crate::domain::decision::RejectReason;
use crate::domain::time::Timestamp;
use crate::service::instant::parse_instant;
use crate::service::names::Names;
use crate::store::query::{AuditFilter, CallName, CdrFilter, EntryFilter, Page, RejectionFilter, Window};

/// Which entries of a party are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EntryQuery {
    /// First instant.
    pub from: Option<String>,
    /// First instant that is too late.
    pub to: Option<String>,
    /// Of this kind only.
    pub kind: Option<String>,
    /// Go on after this line.
    pub cursor: Option<String>,
    /// Most lines.
    pub limit: Option<usize>,
}

/// Which CDRs are wanted: those that all members hold for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CdrQuery {
    /// First instant of the call's end.
    pub from: Option<String>,
    /// First instant that is too late.
    pub to: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Paid by this reseller.
    pub reseller: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// From this number.
    pub caller: Option<String>,
    /// To numbers that begin so.
    pub callee: Option<String>,
    /// Of the call with this id: any of its ids.
    pub call_id: Option<String>,
    /// `ok` or `failure`.
    pub result: Option<String>,
    /// `charge`, `correction` or `refund`.
    pub record_type: Option<String>,
    /// Through this NAS.
    pub nas: Option<String>,
    /// By this carrier.
    pub carrier: Option<String>,
    /// Go on after this line.
    pub cursor: Option<String>,
    /// Most lines.
    pub limit: Option<usize>,
}

/// Which rejections are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectionQuery {
    /// First instant.
    pub from: Option<String>,
    /// First instant that is too late.
    pub to: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// Through this NAS.
    pub nas: Option<String>,
    /// Go on after this line.
    pub cursor: Option<String>,
    /// Most lines.
    pub limit: Option<usize>,
}

/// Which changes by operators are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQuery {
    /// First instant.
    pub from: Option<String>,
    /// First instant that is too late.
    pub to: Option<String>,
    /// By this operator.
    pub by: Option<String>,
    /// Of this thing: `customer acme`.
    pub about: Option<String>,
    /// Go on after this line.
    pub cursor: Option<String>,
    /// Most lines.
    pub limit: Option<usize>,
}

impl Admin {
    /// The statement of a party, newest first.
    ///
    /// # Errors
    /// There is no such party, or the query is not one.
    pub async fn entries(&self, kind: Kind, id: &str, query: EntryQuery) -> Result<EntryList, AdminError> {
        let (book, reports) = (self.registry.book(), self.reports.clone());
        let party = Some(kind).filter(|kind| kind.exists(&book, id)).and_then(|_| book.party_by_id(id));
        let party = party.ok_or_else(|| AdminError::NotFound { kind: kind.as_str(), id: id.to_owned() })?.key;
        let window = window(&query.from, &query.to, &query.cursor, query.limit)?;
        let kind = word("kind", &query.kind, &ENTRY_KINDS, |kind| kind.as_str())?;
        self.read_tables(move || {
            let page = reports.entries(party, &EntryFilter { window, kind }).map_err(unreadable)?;
            let names = Names::with_tables(&book, &*reports);
            let next = cursor(&page);
            Ok(EntryList { entries: page.lines.iter().map(|line| view::entry(&names, line)).collect(), next })
        })
        .await
    }

    /// CDRs, the latest end first.
    ///
    /// # Errors
    /// The query is not one.
    pub async fn cdrs(&self, query: CdrQuery) -> Result<CdrList, AdminError> {
        let (book, reports) = (self.registry.book(), self.reports.clone());
        let (window, filters) = self.cdr_filters(&book, query)?;
        self.read_tables(move || {
            let mut page = Page { lines: Vec::new(), next: None };
            // A text may be an id in several ways: the first that finds something is what was meant.
            for filter in filters {
                page = reports.cdrs(&CdrFilter { window, ..filter }).map_err(unreadable)?;
                if !page.lines.is_empty() {
                    break;
                }
            }
            let names = Names::with_tables(&book, &*reports);
            let next = cursor(&page);
            Ok(CdrList { cdrs: page.lines.iter().map(|line| view::cdr(&names, line)).collect(), next })
        })
        .await
    }

    /// Rejections, newest first.
    ///
    /// # Errors
    /// The query is not one.
    pub async fn rejections(&self, query: RejectionQuery) -> Result<RejectionList, AdminError> {
        let (book, reports) = (self.registry.book(), self.reports.clone());
        let filter = RejectionFilter {
            window: window(&query.from, &query.to, &query.cursor, query.limit)?,
            reason: word("reason", &query.reason, &RejectReason::ALL, |reason| reason.as_str())?,
            account: key("account", &query.account, |id| book.account_by_id(id).map(|account| account.key))?,
            nas: key("nas", &query.nas, |id| book.nas_by_id(id).map(|nas| nas.key))?,
            ..RejectionFilter::default()
        };
        self.read_tables(move || {
            let page = reports.rejections(&filter).map_err(unreadable)?;
            let names = Names::with_tables(&book, &*reports);
            let next = cursor(&page);
            Ok(RejectionList { rejections: page.lines.iter().map(|line| view::rejected(&names, line)).collect(), next })
        })
        .await
    }

    /// Changes by operators, newest first.
    ///
    /// # Errors
    /// The query is not one.
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditList, AdminError> {
        let reports = self.reports.clone();
        let about = match &query.about {
            Some(about) => match about.split_once(' ') {
                Some((kind, id)) => Some((kind.into(), id.into())),
                None => return Err(AdminError::fault("about", "must be a kind and an id, such as `customer acme`")),
            },
            None => None,
        };
        let filter = AuditFilter {
            window: window(&query.from, &query.to, &query.cursor, query.limit)?,
            by: query.by.map(Into::into),
            about,
        };
        self.read_tables(move || {
            let page = reports.audit(&filter).map_err(unreadable)?;
            let next = cursor(&page);
            Ok(AuditList { audit: page.lines.iter().map(view::audit).collect(), next })
        })
        .await
    }

    /// The filters that a query may mean, the likeliest first.
    fn cdr_filters(&self, book: &Book, query: CdrQuery) -> Result<(Window, Vec<CdrFilter>), AdminError> {
        let party = |id: &str| book.party_by_id(id).map(|party| party.key);
        let filter = CdrFilter {
            customer: key("customer", &query.customer, party)?,
            payer: key("reseller", &query.reseller, party)?,
            account: key("account", &query.account, |id| book.account_by_id(id).map(|account| account.key))?,
            caller: query.caller.map(Into::into),
            called_prefix: query.callee.map(Into::into),
            nas: key("nas", &query.nas, |id| book.nas_by_id(id).map(|nas| nas.key))?,
            carrier: key("carrier", &query.carrier, |id| book.carrier_by_id(id).map(|carrier| carrier.key))?,
            result: word("result", &query.result, &RESULTS, |result| result.as_str())?,
            record: word("record_type", &query.record_type, &RECORDS, |record| record.as_str())?,
            ..CdrFilter::default()
        };
        let window = window(&query.from, &query.to, &query.cursor, query.limit)?;
        let Some(id) = query.call_id.filter(|id| !id.is_empty()) else { return Ok((window, vec![filter])) };
        let name = CallName::read(&id);
        let by_number = name.call.map(|call| CdrFilter { call: Some(call), ..filter.clone() });
        let by_conf_id = name.conf_id.map(|id| CdrFilter { conf_id: Some(id), ..filter.clone() });
        let by_session = CdrFilter { session_id: Some(name.session_id), ..filter };
        Ok((window, [by_number, by_conf_id, Some(by_session)].into_iter().flatten().collect()))
    }
}

const ENTRY_KINDS: [EntryKind; 7] = [
    EntryKind::Opening,
    EntryKind::TopUp,
    EntryKind::Adjustment,
    EntryKind::Charge,
    EntryKind::Overrun,
    EntryKind::Correction,
    EntryKind::Refund,
];
const RESULTS: [BillingResult; 2] = [BillingResult::Ok, BillingResult::Failure];
const RECORDS: [RecordType; 3] = [RecordType::Charge, RecordType::Correction, RecordType::Refund];

fn window(
    from: &Option<String>,
    to: &Option<String>,
    cursor: &Option<String>,
    lines: Option<usize>,
) -> Result<Window, AdminError> {
    let after = match cursor.as_deref().map(str::parse) {
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => return Err(AdminError::BadRequest("the cursor is not one".into())),
        None => None,
    };
    Ok(Window { from: instant("from", from)?, until: instant("to", to)?, after, limit: Some(page::limit(lines)?) })
}

fn instant(path: &str, text: &Option<String>) -> Result<Option<Timestamp>, AdminError> {
    let read = text.as_deref().map(parse_instant).transpose();
    read.map_err(|error| AdminError::fault(path, error.to_string()))
}

fn cursor<T>(page: &Page<T>) -> Option<String> {
    page.next.map(|next| next.to_string())
}

fn key<K>(path: &str, id: &Option<String>, find: impl Fn(&str) -> Option<K>) -> Result<Option<K>, AdminError> {
    match id {
        Some(id) => match find(id) {
            Some(key) => Ok(Some(key)),
            None => Err(AdminError::fault(path, format!("there is no {path} {id:?}"))),
        },
        None => Ok(None),
    }
}

fn word<T: Copy>(
    path: &str,
    text: &Option<String>,
    all: &[T],
    as_str: impl Fn(&T) -> &'static str,
) -> Result<Option<T>, AdminError> {
    let Some(text) = text else { return Ok(None) };
    match all.iter().find(|word| as_str(word) == text) {
        Some(found) => Ok(Some(*found)),
        None => {
            let words: Vec<_> = all.iter().map(&as_str).collect();
            Err(AdminError::fault(path, format!("must be one of {}", words.join(", "))))
        }
    }
}
