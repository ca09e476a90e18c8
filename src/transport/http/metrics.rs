//! `/metrics`: what was counted, in the text format of Prometheus (version 0.0.4).
//!
//! [`render`] only prints: what is counted is in [`crate::metrics`], and what is true now is handed
//! in as [`Gauges`]. Numbers are printed exactly, without floats; only who reads them rounds.

use std::fmt::{Display, Write as _};

use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::metrics::{CounterSet, DROP_CAUSES, DropCause, Histogram, Metrics, Port, QUEUES};

/// The content type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is true at this moment and is not counted.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Version of the program.
    pub version: &'static str,
    /// When the process started, wall time.
    pub started_at: Timestamp,
    /// Seconds since then, by the monotonic clock.
    pub uptime_seconds: u64,
    /// Whether requests are taken.
    pub is_ready: bool,
    /// Calls in progress.
    pub calls: CallsByState,
    /// Of these, asked to end twice or long ago.
    pub disconnects_stuck: u64,
    /// Money of all customers and resellers, each currency once.
    pub money: Vec<MoneyTotals>,
    /// Sequence of the last record of the journal.
    pub journal_sequence: u64,
    /// Sequence that the tables have reached.
    pub projected_sequence: u64,
    /// How far the tables are behind the journal, milliseconds.
    pub projector_lag_millis: u64,
}

/// Calls in progress by state (RFC 4235 3.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallsByState {
    /// Authorized, not ringing yet.
    pub trying: u64,
    /// Ringing.
    pub early: u64,
    /// Answered.
    pub confirmed: u64,
    /// Told to end.
    pub disconnecting: u64,
}

/// Money in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyTotals {
    /// The currency.
    pub currency: Currency,
    /// Held for calls in progress.
    pub reserved: Money,
    /// What the seconds told to NASes would cost, less what is reserved.
    pub exposure: Money,
    /// Balance and credit limit, less what is reserved.
    pub available: Money,
}

/// The page. Every series is there from the start, at 0, so that a first event is seen as a rise.
pub fn render(metrics: &Metrics, now: &Gauges) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    process(&mut page, now);
    packets(&mut page, metrics);
    decisions(&mut page, metrics, now);
    storage(&mut page, metrics, now);
    nases(&mut page, metrics);
    page.0
}

fn process(page: &mut Page, now: &Gauges) {
    page.family("ringfence_build_info", "gauge", "The version that runs; always 1.");
    page.sample("ringfence_build_info", &[("version", now.version)], 1);
    page.single("ringfence_start_time_seconds", "gauge", "When the process started, since 1970.", {
        Decimal { units: now.started_at.millis(), decimals: 3 }
    });
    page.single("ringfence_uptime_seconds", "gauge", "How long the process has run.", now.uptime_seconds);
    page.single("ringfence_ready", "gauge", "1 when requests are taken, else 0.", u8::from(now.is_ready));
}

fn packets(page: &mut Page, metrics: &Metrics) {
    page.family("ringfence_requests_total", "counter", "Datagrams received, by port and by the code in them.");
    for port in Port::ALL {
        let served = match port {
            Port::Auth => "Access-Request",
            Port::Acct => "Accounting-Request",
        };
        for (code, count) in metrics.port(port).requests.iter() {
            if count > 0 || [served, "Status-Server", "other"].contains(&code) {
                page.sample("ringfence_requests_total", &[("port", port.label()), ("code", code)], count);
            }
        }
    }
    page.family("ringfence_replies_total", "counter", "Replies sent, by code; repeated ones too.");
    let [auth, acct] = Port::ALL.map(|port| metrics.port(port).replies.iter());
    for ((code, from_auth), (_, from_acct)) in auth.zip(acct) {
        let count = from_auth + from_acct;
        if count > 0 || REPLY_CODES.contains(&code) {
            page.sample("ringfence_replies_total", &[("code", code)], count);
        }
    }
    page.family("ringfence_drops_total", "counter", "Packets dropped without a reply, by cause.");
    for (cause, label) in DropCause::ALL.into_iter().zip(DROP_CAUSES) {
        page.sample("ringfence_drops_total", &[("cause", label)], metrics.drops(cause));
    }
    page.single(
        "ringfence_duplicates_total",
        "counter",
        "Requests that came again while their reply was kept or being made.",
        metrics.duplicates(),
    );
    page.family("ringfence_port_drops_total", "counter", "Packets dropped without a reply, by port and cause.");
    for port in Port::ALL {
        page.set("ringfence_port_drops_total", &[("port", port.label())], "cause", &metrics.port(port).drops);
    }
    page.family("ringfence_port_duplicates_total", "counter", "Requests that came again, by port.");
    for port in Port::ALL {
        let count = metrics.port(port).duplicates.count();
        page.sample("ringfence_port_duplicates_total", &[("port", port.label())], count);
    }
    page.family(
        "ringfence_port_overflows_total",
        "counter",
        "Datagrams that the kernel dropped because the receive buffer was full, by port; known with the next that comes.",
    );
    for port in Port::ALL {
        let count = metrics.port(port).overflows.count();
        page.sample("ringfence_port_overflows_total", &[("port", port.label())], count);
    }
    page.family("ringfence_port_unknown_types_total", "counter", "Packets of a code that the port does not serve.");
    for port in Port::ALL {
        let count = metrics.port(port).unknown_types.count();
        page.sample("ringfence_port_unknown_types_total", &[("port", port.label())], count);
    }
}

/// The replies that this server sends.
const REPLY_CODES: [&str; 4] = ["Access-Accept", "Access-Reject", "Access-Challenge", "Accounting-Response"];

fn decisions(page: &mut Page, metrics: &Metrics, now: &Gauges) {
    page.family("ringfence_rejections_total", "counter", "Calls and authentications refused, by reason.");
    page.set("ringfence_rejections_total", &[], "reason", &metrics.rejections);
    page.family("ringfence_calls", "gauge", "Calls in progress, by state.");
    let CallsByState { trying, early, confirmed, disconnecting } = now.calls;
    for (state, calls) in
        [("trying", trying), ("early", early), ("confirmed", confirmed), ("disconnecting", disconnecting)]
    {
        page.sample("ringfence_calls", &[("state", state)], calls);
    }
    amounts(page, now, "ringfence_reserved", "Money held for calls in progress.", |totals| totals.reserved);
    amounts(
        page,
        now,
        "ringfence_exposure",
        "What the seconds told to NASes would cost, less what is reserved for them.",
        |totals| totals.exposure,
    );
    amounts(
        page,
        now,
        "ringfence_available",
        "Balances and credit limits of all customers and resellers, less what is reserved.",
        |totals| totals.available,
    );
    page.single(
        "ringfence_accounting_without_call_total",
        "counter",
        "Accounting-Requests that tell nothing of a call or of the NAS; answered, not recorded.",
        metrics.accounting_without_call.count(),
    );
    page.single(
        "ringfence_overruns_total",
        "counter",
        "Calls that lasted longer than what was reserved for them.",
        metrics.overruns.count(),
    );
    page.family("ringfence_disconnects_total", "counter", "Disconnect-Requests, by how they ended.");
    page.set("ringfence_disconnects_total", &[], "outcome", &metrics.disconnects);
    page.family("ringfence_prolongations_total", "counter", "CoA-Requests, by how they ended.");
    page.set("ringfence_prolongations_total", &[], "outcome", &metrics.prolongations);
    page.single(
        "ringfence_disconnects_stuck",
        "gauge",
        "Calls that their NAS was asked to end twice or 30 s ago, and that are up.",
        now.disconnects_stuck,
    );
    page.family("ringfence_control_packets_total", "counter", "Packets to and from NASes at our own wish, by kind.");
    page.set("ringfence_control_packets_total", &[], "kind", &metrics.control_packets);
}

fn amounts(page: &mut Page, now: &Gauges, name: &str, help: &str, amount: fn(&MoneyTotals) -> Money) {
    page.family(name, "gauge", help);
    for totals in &now.money {
        page.sample(name, &[("currency", totals.currency.code())], amount(totals));
    }
}

fn storage(page: &mut Page, metrics: &Metrics, now: &Gauges) {
    page.histogram("ringfence_commit_seconds", "How long the commit of a batch took.", &metrics.commit_micros, 6);
    page.histogram("ringfence_commit_batch_size", "Commands in a batch.", &metrics.commit_batch_size, 0);
    page.family("ringfence_queue_depth", "gauge", "How many wait, by queue.");
    for (queue, label) in QUEUES {
        page.sample("ringfence_queue_depth", &[("queue", label)], metrics.queue_depth(queue).value());
    }
    page.single("ringfence_journal_sequence", "gauge", "Last record of the journal.", now.journal_sequence);
    page.single(
        "ringfence_projected_sequence",
        "gauge",
        "Record that the tables have reached.",
        now.projected_sequence,
    );
    let lag = Decimal { units: i64::try_from(now.projector_lag_millis).unwrap_or(i64::MAX), decimals: 3 };
    page.single("ringfence_projector_lag_seconds", "gauge", "How far the tables are behind the journal.", lag);
}

fn nases(page: &mut Page, metrics: &Metrics) {
    let nases = metrics.nases();
    page.family("ringfence_nas_requests_total", "counter", "Datagrams received, by NAS and port.");
    for (id, counters) in &nases {
        for port in Port::ALL {
            let count = counters.port(port).requests.total();
            page.sample("ringfence_nas_requests_total", &[("nas", id), ("port", port.label())], count);
        }
    }
    page.family("ringfence_nas_replies_total", "counter", "Replies sent, by NAS and code.");
    for (id, counters) in &nases {
        let [auth, acct] = Port::ALL.map(|port| counters.port(port).replies.iter());
        for ((code, from_auth), (_, from_acct)) in auth.zip(acct) {
            if REPLY_CODES.contains(&code) {
                page.sample("ringfence_nas_replies_total", &[("nas", id), ("code", code)], from_auth + from_acct);
            }
        }
    }
    page.family("ringfence_nas_drops_total", "counter", "Packets dropped without a reply, by NAS, port and cause.");
    for (id, counters) in &nases {
        for port in Port::ALL {
            let labels = [("nas", id.as_ref()), ("port", port.label())];
            page.set("ringfence_nas_drops_total", &labels, "cause", &counters.port(port).drops);
        }
    }
    page.family("ringfence_nas_duplicates_total", "counter", "Requests that came again, by NAS and port.");
    for (id, counters) in &nases {
        for port in Port::ALL {
            let count = counters.port(port).duplicates.count();
            page.sample("ringfence_nas_duplicates_total", &[("nas", id), ("port", port.label())], count);
        }
    }
    page.family(
        "ringfence_nas_unknown_types_total",
        "counter",
        "Packets of a code that the port does not serve, by NAS and port.",
    );
    for (id, counters) in &nases {
        for port in Port::ALL {
            let count = counters.port(port).unknown_types.count();
            page.sample("ringfence_nas_unknown_types_total", &[("nas", id), ("port", port.label())], count);
        }
    }
    page.family(
        "ringfence_nas_without_message_authenticator_total",
        "counter",
        "Access-Requests without Message-Authenticator, by NAS; they can be forged on the way.",
    );
    for (id, counters) in &nases {
        let count = counters.without_message_authenticator.count();
        page.sample("ringfence_nas_without_message_authenticator_total", &[("nas", id)], count);
    }
    page.family(
        "ringfence_nas_accounting_without_call_total",
        "counter",
        "Accounting-Requests that tell nothing of a call or of the NAS, by NAS; answered, not recorded.",
    );
    for (id, counters) in &nases {
        let count = counters.accounting_without_call.count();
        page.sample("ringfence_nas_accounting_without_call_total", &[("nas", id)], count);
    }
    page.family(
        "ringfence_oddities_total",
        "counter",
        "What a NAS got wrong, by NAS and by what: bounded, and not believed.",
    );
    for (id, counters) in &nases {
        page.set("ringfence_oddities_total", &[("nas", id)], "oddity", &counters.oddities);
    }
    page.family(
        "ringfence_nas_last_packet_timestamp_seconds",
        "gauge",
        "When the last verified packet of a NAS came, since 1970.",
    );
    for (id, counters) in &nases {
        if let Some(at) = counters.last_packet_at() {
            let at = Decimal { units: at.millis(), decimals: 3 };
            page.sample("ringfence_nas_last_packet_timestamp_seconds", &[("nas", id)], at);
        }
    }
}

/// The text, written family by family: all samples of one name stand together.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn set(&mut self, name: &str, labels: &[(&str, &str)], by: &str, set: &CounterSet) {
        for (label, count) in set.iter() {
            let labels: Vec<_> = labels.iter().copied().chain([(by, label)]).collect();
            self.sample(name, &labels, count);
        }
    }

    /// A histogram counted in units of 10^-`decimals`.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, decimals: usize) {
        self.family(name, "histogram", help);
        let in_units = |units| Decimal { units: i64::try_from(units).unwrap_or(i64::MAX), decimals };
        let (below, all) = histogram.cumulative();
        for (bound, count) in below {
            self.sample(&format!("{name}_bucket"), &[("le", &in_units(bound).to_string())], count);
        }
        self.sample(&format!("{name}_bucket"), &[("le", "+Inf")], all);
        self.sample(&format!("{name}_sum"), &[], in_units(histogram.sum()));
        self.sample(&format!("{name}_count"), &[], all);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A number of units of 10^-decimals, printed exactly and without needless zeros.
struct Decimal {
    units: i64,
    decimals: usize,
}

impl Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = self.decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.decimals);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.units < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::metrics::{CodeLabel, DisconnectOutcome, Queue};

    /// Reads a page as strictly as a scraper does: every line a comment or a sample, every family
    /// once and together, every series once, histograms cumulative. Gives series and values.
    fn parse(page: &str) -> BTreeMap<String, String> {
        assert!(page.ends_with('\n'));
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut helped = BTreeSet::new();
        let mut family = "";
        let mut series = BTreeMap::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(helped.insert(name), "{name} is helped twice");
                assert!(!help.is_empty());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name) && kinds.insert(name, kind).is_none(), "{name} is typed twice");
                family = name;
            } else {
                let (name_and_labels, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = name_and_labels.split_once('{').unwrap_or((name_and_labels, "}"));
                check_name(name, family, kinds[family]);
                check_labels(labels);
                assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
                let is_new = series.insert(name_and_labels.to_owned(), value.to_owned()).is_none();
                assert!(is_new, "{name_and_labels} is there twice");
            }
        }
        for (name, _) in kinds.into_iter().filter(|(_, kind)| *kind == "histogram") {
            check_histogram(name, page, &series);
        }
        series
    }

    fn check_name(name: &str, family: &str, kind: &str) {
        assert!(name.starts_with("ringfence_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        match kind {
            "counter" => assert!(name == family && name.ends_with("_total"), "{name}"),
            "gauge" => assert!(name == family && !name.ends_with("_total"), "{name}"),
            "histogram" => {
                assert!(["_bucket", "_sum", "_count"].contains(&name.strip_prefix(family).unwrap()), "{name}");
            }
            other => panic!("{other} is no kind"),
        }
    }

    /// `key="value",...}` with only the escapes that the format knows.
    fn check_labels(labels: &str) {
        let mut rest = labels;
        while rest != "}" {
            let (key, after) = rest.split_once("=\"").unwrap();
            assert!(!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{labels}");
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n')))),
                    (end, '"') => break end,
                    _ => {}
                }
            };
            rest = after[end + 1..].trim_start_matches(',');
        }
    }

    fn check_histogram(name: &str, page: &str, series: &BTreeMap<String, String>) {
        let counts: Vec<u64> = page
            .lines()
            .filter(|line| line.starts_with(&format!("{name}_bucket{{")))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert!(counts.is_sorted(), "{name}: {counts:?}");
        assert_eq!(counts.last().unwrap().to_string(), series[&format!("{name}_count")]);
        assert!(series.contains_key(&format!("{name}_bucket{{le=\"+Inf\"}}")));
    }

    fn totals(currency: &str, reserved: &str) -> MoneyTotals {
        let reserved = reserved.parse().unwrap();
        MoneyTotals { currency: currency.parse().unwrap(), reserved, exposure: reserved, available: Money::ZERO }
    }

    #[test]
    fn everything_is_there_from_the_start() {
        let series = parse(&render(&Metrics::new(), &Gauges { money: vec![totals("EUR", "0")], ..Gauges::default() }));
        for name in [
            "ringfence_requests_total{port=\"auth\",code=\"Access-Request\"}",
            "ringfence_requests_total{port=\"acct\",code=\"Accounting-Request\"}",
            "ringfence_replies_total{code=\"Access-Reject\"}",
            "ringfence_rejections_total{reason=\"no_credit\"}",
            "ringfence_drops_total{cause=\"unknown_nas\"}",
            "ringfence_duplicates_total",
            "ringfence_calls{state=\"confirmed\"}",
            "ringfence_disconnects_total{outcome=\"acknowledged\"}",
            "ringfence_disconnects_stuck",
            "ringfence_prolongations_total{outcome=\"refused\"}",
            "ringfence_overruns_total",
            "ringfence_commit_seconds_count",
            "ringfence_commit_batch_size_count",
            "ringfence_queue_depth{queue=\"engine\"}",
        ] {
            assert_eq!(series.get(name).map(String::as_str), Some("0"), "{name}");
        }
        assert_eq!(series["ringfence_reserved{currency=\"EUR\"}"], "0.000000");
    }

    #[test]
    fn what_was_counted_is_printed() {
        let metrics = Metrics::new();
        metrics.port(Port::Auth).requests.increment(CodeLabel::of(1));
        metrics.port(Port::Acct).requests.increment(CodeLabel::of(200));
        metrics.port(Port::Acct).replies.increment(CodeLabel::of(5));
        metrics.port(Port::Auth).drops.increment(DropCause::BadMessageAuthenticator);
        metrics.port(Port::Acct).drops.increment(DropCause::BadMessageAuthenticator);
        metrics.rejections.increment(7_usize);
        metrics.disconnects.increment(DisconnectOutcome::Unanswered);
        metrics.queue_depth(Queue::Control).set(3);
        metrics.count_commit(3, Duration::from_micros(250));
        metrics.count_commit(5_000, Duration::from_secs(100));
        let now = Gauges {
            calls: CallsByState { early: 4, ..CallsByState::default() },
            disconnects_stuck: 2,
            money: vec![totals("EUR", "12.5"), totals("USD", "-0.000001")],
            started_at: Timestamp::from_millis(1_767_225_600_120),
            projector_lag_millis: 40,
            ..Gauges::default()
        };
        let series = parse(&render(&metrics, &now));
        for (name, value) in [
            ("ringfence_requests_total{port=\"auth\",code=\"Access-Request\"}", "1"),
            ("ringfence_requests_total{port=\"acct\",code=\"other\"}", "1"),
            ("ringfence_replies_total{code=\"Accounting-Response\"}", "1"),
            ("ringfence_drops_total{cause=\"bad_message_authenticator\"}", "2"),
            ("ringfence_port_drops_total{port=\"acct\",cause=\"bad_message_authenticator\"}", "1"),
            ("ringfence_rejections_total{reason=\"calls_limit\"}", "1"),
            ("ringfence_disconnects_total{outcome=\"unanswered\"}", "1"),
            ("ringfence_disconnects_stuck", "2"),
            ("ringfence_queue_depth{queue=\"control\"}", "3"),
            ("ringfence_calls{state=\"early\"}", "4"),
            ("ringfence_reserved{currency=\"EUR\"}", "12.500000"),
            ("ringfence_exposure{currency=\"USD\"}", "-0.000001"),
            ("ringfence_start_time_seconds", "1767225600.12"),
            ("ringfence_projector_lag_seconds", "0.04"),
            ("ringfence_commit_seconds_bucket{le=\"0.0001\"}", "0"),
            ("ringfence_commit_seconds_bucket{le=\"0.00025\"}", "1"),
            ("ringfence_commit_seconds_bucket{le=\"10\"}", "1"),
            ("ringfence_commit_seconds_bucket{le=\"+Inf\"}", "2"),
            ("ringfence_commit_seconds_sum", "100.00025"),
            ("ringfence_commit_batch_size_bucket{le=\"4\"}", "1"),
            ("ringfence_commit_batch_size_sum", "5003"),
        ] {
            assert_eq!(series.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn every_nas_has_its_series_whatever_its_name() {
        let metrics = Metrics::new();
        metrics.nas("a\"b\\c\nd").port(Port::Acct).replies.increment(CodeLabel::of(5));
        metrics.nas("gw1").saw_packet(Timestamp::from_seconds(60));
        metrics.nas("gw1").without_message_authenticator.increment();
        let series = parse(&render(&metrics, &Gauges::default()));
        assert_eq!(series["ringfence_nas_replies_total{nas=\"a\\\"b\\\\c\\nd\",code=\"Accounting-Response\"}"], "1");
        assert_eq!(series["ringfence_nas_last_packet_timestamp_seconds{nas=\"gw1\"}"], "60");
        assert_eq!(series["ringfence_nas_without_message_authenticator_total{nas=\"gw1\"}"], "1");
        assert_eq!(series["ringfence_nas_drops_total{nas=\"gw1\",port=\"auth\",cause=\"in_flight\"}"], "0");
    }

    #[test]
    fn decimals_are_exact() {
        for (units, decimals, text) in
            [(0, 6, "0"), (1, 6, "0.000001"), (-1_500, 3, "-1.5"), (7, 0, "7"), (i64::MIN, 3, "-9223372036854775.808")]
        {
            assert_eq!(Decimal { units, decimals }.to_string(), text);
        }
    }
}
