//! A million calls up: what it costs the daemon to reserve their next chunks, minute after minute.
//!
//! The real binary on a directory of its own is set up through its API. Calls of a customer below a
//! reseller are brought up by Access-Requests and Starts, spread so evenly that their chunks end one
//! after the other; then they are left alone, and it is looked what the daemon does, and how long one
//! who asks for a call has to wait meanwhile.
//!
//! ```console
//! $ cargo bench --bench million_calls
//! $ RINGFENCE_BENCH_CALLS=2000 RINGFENCE_BENCH_SECONDS=5 cargo bench --bench million_calls
//! ```
//!
//! Shorter than a minute it takes chunks that end within the time, so that it looks at something.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::{RequestBuilder, verify_reply};
use tempfile::TempDir;

#[path = "../tests/live/mod.rs"]
mod live;

use live::daemon::Daemon;
use live::gateway::SECRET;
use live::{micros, now, setting};

const ACCOUNTS: u64 = 1_000;
const PASSWORD: &str = "secret1";
/// A second's price, micro-units, for the customer and the same for its reseller.
const SECOND: i64 = 10_000;
const PAYERS: i64 = 2;
/// Calls a second that are brought up at most.
const CALLS_PER_SECOND_MAX: u64 = 10_000;
/// Sockets that bring up calls, and how many requests each has under way at once.
const WORKERS: u64 = 8;
const WINDOW: usize = 32;
/// How often the lone request is made, and the status port read.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const SCRAPE_EVERY: Duration = Duration::from_secs(10);

/// What is done.
struct Plan {
    calls: u64,
    seconds: u64,
    chunk: u64,
    /// A chunk is reserved as often, seconds.
    period: u64,
}

impl Plan {
    fn from_environment() -> Plan {
        let calls = setting("RINGFENCE_BENCH_CALLS").unwrap_or(1_000_000).max(1);
        let seconds = setting("RINGFENCE_BENCH_SECONDS").unwrap_or(120).max(1);
        let chunk = seconds.clamp(4, 60);
        Plan { calls, seconds, chunk, period: chunk - Plan::lead(chunk) }
    }

    fn lead(chunk: u64) -> u64 {
        if chunk == 60 { 5 } else { 1 }
    }

    fn config(&self) -> String {
        let (chunk, lead) = (self.chunk, Plan::lead(self.chunk));
        format!("[credit]\nchunk_seconds = {chunk}\nlead_seconds = {lead}\nmargin_seconds = 1\n")
    }

    /// How long it takes to bring all calls up: whole periods, so that as many chunks end in any
    /// second as in any other.
    fn spread(&self) -> Duration {
        Duration::from_secs(self.calls.div_ceil(CALLS_PER_SECOND_MAX * self.period).max(1) * self.period)
    }
}

fn main() {
    let plan = Plan::from_environment();
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), &plan.config());
    // Asked to end no call, it never hears of the daemon; but it has a port.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    set_up(&daemon, deaf.local_addr().expect("bound"));
    let empty = daemon.resident_bytes();

    let started = now();
    let before = Usage::of(&daemon);
    bring_up(&plan, daemon.auth(), daemon.acct());
    let took = started.elapsed();
    println!(
        "calls up: {}, each with an Access-Request and a Start, within {:.1} s ({:.0} us of the daemon a call)",
        daemon.metric("ringfence_calls{state=\"confirmed\"}"),
        took.as_secs_f64(),
        micros_each(Usage::of(&daemon).since(&before).cpu, plan.calls),
    );
    let behind = wait_until_tables_follow(&daemon);
    println!("the tables are with them after {:.1} s more", behind.as_secs_f64());

    let watched = watch(&plan, &daemon);
    print!("{}", watched.told(&plan));
    let resident = daemon.resident_bytes();
    println!("memory: {} MiB resident, {} bytes a call", resident >> 20, resident.saturating_sub(empty) / plan.calls);
    let up = daemon.metric("ringfence_calls{state=\"confirmed\"}");
    assert!(up >= plan.calls, "{up} of {} calls are up at the end", plan.calls);
    let size = |name: &str| fs::metadata(directory.path().join(name)).map_or(0, |file| file.len() >> 20);
    println!("files: journal {} MiB, tables {} MiB", size("ringfence.log.db"), size("ringfence.db"));
    let stopping = now();
    assert!(daemon.stop().success(), "it ended badly:\n{}", daemon.log());
    println!("stopped within {:.1} s", stopping.elapsed().as_secs_f64());
}

// -------------------------------------------------------------------------------- setting up

fn set_up(daemon: &Daemon, disconnects: SocketAddr) {
    let mut setup = format!(
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
         [[reseller]]\nid = \"north\"\ntariff = \"retail\"\nopening_balance = \"1000000000\"\n\
         [[customer]]\nid = \"acme\"\nreseller = \"north\"\ntariff = \"retail\"\nopening_balance = \"1000000000\"\n\
         [[nas]]\nid = \"gw1\"\naddress = \"127.0.0.1/32\"\nsecret = \"{SECRET}\"\nguard = \"chunk\"\n\
         interims = \"none\"\n[nas.disconnect]\naddress = \"{disconnects}\"\n"
    );
    for n in 0..ACCOUNTS {
        // Writing to a String cannot fail.
        let _ = write!(setup, "[[account]]\nid = \"user{n}\"\ncustomer = \"acme\"\npassword = \"{PASSWORD}\"\n");
    }
    daemon.apply(&setup);
}

fn bring_up(plan: &Plan, auth: SocketAddr, acct: SocketAddr) {
    let started = now();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || {
                let (mut auth, mut acct) = (Asker::new(auth), Asker::new(acct));
                let mine: Vec<u64> = (worker..plan.calls).step_by(usize::try_from(WORKERS).expect("few")).collect();
                for calls in mine.chunks(WINDOW) {
                    let share = calls[0] as f64 / plan.calls as f64;
                    sleep_until(started + plan.spread().mul_f64(share));
                    let accepts = auth.ask(calls.len(), |n, identifier| access_request(calls[n], identifier));
                    acct.ask(calls.len(), |n, identifier| start(calls[n], &class_of(&accepts[n]), identifier));
                }
            });
        }
    });
}

fn name(request: &mut RequestBuilder, call: u64) {
    request
        .text(kind::USER_NAME, &format!("user{}", call % ACCOUNTS))
        .text(kind::CALLING_STATION_ID, &format!("4930{:07}", call % 10_000_000))
        .text(kind::CALLED_STATION_ID, &format!("4989{:07}", call % 9_973))
        .text(kind::ACCT_SESSION_ID, &format!("{call:016x}"));
}

fn access_request(call: u64, identifier: u8) -> RequestBuilder {
    let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, identifier);
    name(&mut request, call);
    request.message_authenticator(true).user_password(PASSWORD.as_bytes());
    request
}

fn start(call: u64, class: &[u8], identifier: u8) -> RequestBuilder {
    let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, identifier);
    name(&mut request, call);
    request.integer(kind::ACCT_STATUS_TYPE, 1).attribute(kind::CLASS, class);
    request
}

fn class_of(accept: &[u8]) -> Vec<u8> {
    let packet = Packet::decode(accept).expect("it was verified");
    assert_eq!(packet.code(), Code::ACCESS_ACCEPT, "a call was refused");
    packet.first(kind::CLASS).expect("every Access-Accept has a Class").to_vec()
}

/// A socket that asks for many things at once, and again for what is not answered.
struct Asker {
    socket: UdpSocket,
    secret: Secret,
    identifier: u8,
}

impl Asker {
    fn new(server: SocketAddr) -> Asker {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("a socket of ours");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("not zero");
        Asker { socket, secret: Secret::from(SECRET), identifier: 0 }
    }

    /// The replies to so many requests, in their order.
    fn ask(&mut self, count: usize, request: impl Fn(usize, u8) -> RequestBuilder) -> Vec<Vec<u8>> {
        let deadline = now() + live::PATIENCE;
        let mut waiting: HashMap<u8, (usize, Vec<u8>)> = HashMap::with_capacity(count);
        for n in 0..count {
            self.identifier = self.identifier.wrapping_add(1);
            let mut authenticator = [0; 16];
            fastrand::fill(&mut authenticator);
            let request = request(n, self.identifier);
            let datagram = request.finish(&self.secret, authenticator).expect("short enough");
            let _ = self.socket.send(&datagram);
            waiting.insert(self.identifier, (n, datagram));
        }
        let mut replies = vec![Vec::new(); count];
        let mut buffer = [0; 4096];
        while !waiting.is_empty() {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let reply = &buffer[..length];
                    let asked = reply.get(1).and_then(|identifier| waiting.get(identifier));
                    // The second answer to something that was asked twice is passed over.
                    if let Some((n, request)) = asked
                        && verify_reply(reply, request, &self.secret).is_ok()
                    {
                        replies[*n] = reply.to_vec();
                        waiting.remove(&reply[1]);
                    }
                }
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                    assert!(now() < deadline, "{} requests stay without an answer", waiting.len());
                    for (_, datagram) in waiting.values() {
                        let _ = self.socket.send(datagram);
                    }
                }
                Err(error) => panic!("a socket of ours: {error}"),
            }
        }
        replies
    }
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(now()));
}

fn wait_until_tables_follow(daemon: &Daemon) -> Duration {
    let started = now();
    while decimal(daemon, "ringfence_projector_lag_seconds") > 1.0 {
        assert!(started.elapsed() < Duration::from_secs(600), "the tables do not follow");
        thread::sleep(Duration::from_millis(200));
    }
    started.elapsed()
}

fn decimal(daemon: &Daemon, metric: &str) -> f64 {
    let text = daemon.status().request("GET", "/metrics", None).body;
    let value = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    value.expect("a metric of the daemon").parse().expect("a number")
}

// -------------------------------------------------------------------------------- looking on

/// What was seen.
struct Watched {
    usage: Usage,
    elapsed: Duration,
    /// Seconds of calls that were reserved.
    reserved: i64,
    /// Of lone Access-Requests, microseconds.
    latencies: Vec<u64>,
    /// For each path of the status port how long its answers took, microseconds.
    scrapes: BTreeMap<&'static str, Vec<u64>>,
    lag_max: f64,
}

fn watch(plan: &Plan, daemon: &Daemon) -> Watched {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let probe = scope.spawn(|| lone_requests(plan.calls, daemon.auth(), &over));
        let held = reserved_seconds(daemon);
        let (started, before) = (now(), Usage::of(daemon));
        let end = started + Duration::from_secs(plan.seconds);
        let mut scrapes: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        let mut lag_max: f64 = 0.0;
        while now() < end {
            for path in ["/metrics", "/status?format=json"] {
                let asked = now();
                daemon.status().request("GET", path, None);
                scrapes.entry(path).or_default().push(whole_micros(asked.elapsed()));
                // What is added up over all calls is kept for a second.
                sleep_until((now() + Duration::from_millis(1_100)).min(end));
            }
            lag_max = lag_max.max(decimal(daemon, "ringfence_projector_lag_seconds"));
            sleep_until((now() + SCRAPE_EVERY).min(end));
        }
        let (usage, elapsed) = (Usage::of(daemon).since(&before), started.elapsed());
        let reserved = reserved_seconds(daemon) - held;
        over.store(true, Ordering::Release);
        let latencies = probe.join().expect("it panics with what it says");
        Watched { usage, elapsed, reserved, latencies, scrapes, lag_max }
    })
}

/// Asks for one call after the other, and says how long each answer took.
fn lone_requests(first: u64, auth: SocketAddr, over: &AtomicBool) -> Vec<u64> {
    let mut asker = Asker::new(auth);
    let mut latencies = Vec::new();
    let mut call = first;
    while !over.load(Ordering::Acquire) {
        let asked = now();
        class_of(&asker.ask(1, |_, identifier| access_request(call, identifier))[0]);
        latencies.push(whole_micros(asked.elapsed()));
        call += 1;
        sleep_until(asked + PROBE_EVERY);
    }
    latencies.sort_unstable();
    latencies
}

fn reserved_seconds(daemon: &Daemon) -> i64 {
    let text = daemon.status().request("GET", "/metrics", None).body;
    let name = "ringfence_reserved{currency=\"EUR\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric of the daemon");
    micros(value) / (SECOND * PAYERS)
}

impl Watched {
    fn told(&self, plan: &Plan) -> String {
        let seconds = self.elapsed.as_secs_f64();
        // A lone request reserves a first chunk; the others are extensions, each by as much as went by
        // since the one before.
        let asked = i64::try_from(self.latencies.len()).expect("few");
        let first_chunks = asked * i64::try_from(plan.chunk).expect("a minute at most");
        let extensions = (self.reserved - first_chunks) as f64 / plan.period as f64;
        let cpu = self.usage.cpu.as_secs_f64();
        let mut told = String::new();
        let mut line = |text: String| {
            told.push_str(&text);
            told.push('\n');
        };
        line(format!(
            "extensions: {:.0} a second, for {seconds:.0} s; calls / {} s would be {:.0}",
            extensions / seconds,
            plan.period,
            plan.calls as f64 / plan.period as f64
        ));
        line(format!(
            "processor: {:.1} % of one core, {:.2} us an extension",
            100.0 * cpu / seconds,
            1e6 * cpu / extensions.max(1.0)
        ));
        for (name, used) in self.usage.by_size() {
            line(format!("    {:>6.2} %  {name}", 100.0 * used.as_secs_f64() / seconds));
        }
        line(format!("written: {:.1} MiB a second", self.usage.written as f64 / seconds / f64::from(1 << 20)));
        line(format!(
            "a lone Access-Request meanwhile: p50 {} us, p99 {} us, the longest of {asked} {} us",
            quantile(&self.latencies, 50),
            quantile(&self.latencies, 99),
            quantile(&self.latencies, 100)
        ));
        for (path, took) in &self.scrapes {
            let mut took = took.clone();
            took.sort_unstable();
            line(format!(
                "{path}: p50 {} us, the longest of {} {} us",
                quantile(&took, 50),
                took.len(),
                quantile(&took, 100)
            ));
        }
        line(format!("tables: {:.1} s behind at most", self.lag_max));
        told
    }
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn micros_each(duration: Duration, count: u64) -> f64 {
    duration.as_secs_f64() * 1e6 / count as f64
}

/// What the process has used since it started, as Linux tells it.
struct Usage {
    cpu: Duration,
    /// By the names of the threads that live.
    threads: BTreeMap<String, Duration>,
    /// Bytes that it had written to disk.
    written: u64,
}

impl Usage {
    fn of(daemon: &Daemon) -> Usage {
        let process = format!("/proc/{}", daemon.process());
        let mut threads: BTreeMap<String, Duration> = BTreeMap::new();
        for task in fs::read_dir(format!("{process}/task")).expect("Linux").flatten() {
            if let Some((name, used)) = cpu_of(&task.path()) {
                *threads.entry(name).or_default() += used;
            }
        }
        let (_, cpu) = cpu_of(Path::new(&process)).expect("running");
        let io = fs::read_to_string(format!("{process}/io")).expect("Linux");
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("Linux");
        Usage { cpu, threads, written: written.parse().expect("a number of bytes") }
    }

    fn since(mut self, before: &Usage) -> Usage {
        for (name, used) in &before.threads {
            if let Some(now) = self.threads.get_mut(name) {
                *now = now.saturating_sub(*used);
            }
        }
        self.cpu = self.cpu.saturating_sub(before.cpu);
        self.written -= before.written;
        self
    }

    fn by_size(&self) -> Vec<(&str, Duration)> {
        let mut all: Vec<_> = self.threads.iter().map(|(name, used)| (name.as_str(), *used)).collect();
        all.sort_unstable_by_key(|(_, used)| std::cmp::Reverse(*used));
        all.retain(|(_, used)| !used.is_zero());
        all
    }
}

/// Name and time of a process or a thread; `None` where it has ended.
fn cpu_of(task: &Path) -> Option<(String, Duration)> {
    /// What Linux counts them in, whatever its own tick is.
    const TICKS_PER_SECOND: u64 = 100;
    let name = fs::read_to_string(task.join("comm")).ok()?;
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    // After the name, which may have spaces in it: the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((name.trim().to_owned(), Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)))
}
