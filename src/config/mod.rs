//! Configuration: what the daemon is told when it starts, checked, with a default for everything.
//!
//! Three sources, the later one wins: the defaults, a TOML file, the environment
//! (`RINGFENCE_SECTION__KEY`, lists separated by commas). The table `KEYS` is the only place that
//! knows how a key is read, checked and written; `raw` knows where each value stands, so that all
//! that is wrong is told at once, each with its line and what to do.
//!
//! `config/ringfence.toml` shows every key with its default and the reason for it; a test holds it
//! to this file. There are no secrets among the keys: those of NASes and accounts are in the
//! database. Should one be needed, it comes as `*_file` or from the environment, never in the file.

mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use raw::{Setting, Value, shown, variable_of};

pub use raw::{ConfigError, Origin};

/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest path of a Unix socket, bytes: `sun_path` has 108 with the zero at its end (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// All that the daemon is told when it starts. Values of this type keep the bounds of `KEYS` when
/// they come from [`Config::load`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where NASes are answered.
    pub radius: RadiusConfig,
    /// Where monitoring is answered.
    pub status: StatusConfig,
    /// Where operators are answered.
    pub admin: AdminConfig,
    /// Where the data is kept.
    pub storage: StorageConfig,
    /// How credit is controlled while calls are up.
    pub credit: CreditConfig,
    /// How long things are kept.
    pub retention: RetentionConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// Section `[radius]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadiusConfig {
    /// Addresses of the authorization port, UDP; empty: none.
    pub auth: Vec<SocketAddr>,
    /// Addresses of the accounting port, UDP; empty: none.
    pub acct: Vec<SocketAddr>,
    /// How long a reply is kept to be sent again to the same request (RFC 5080 2.2.2), seconds.
    pub reply_cache_seconds: u32,
    /// Most replies that are kept.
    pub reply_cache_max: usize,
    /// Most requests that wait to be decided; one more is dropped.
    pub queue_max: usize,
    /// Receive buffer that each socket asks of the kernel, bytes.
    pub receive_buffer_bytes: usize,
}

impl Default for RadiusConfig {
    fn default() -> RadiusConfig {
        RadiusConfig {
            // The ports of RFC 2865 3 and RFC 2866 3; `[::]` takes IPv4 as well.
            auth: vec![any_address(1812)],
            acct: vec![any_address(1813)],
            // NASes send again for up to 10 s as they are shipped; RFC 5080 2.2.2 wants 5 to 30.
            reply_cache_seconds: 10,
            // 10 s of 50,000 replies a second.
            reply_cache_max: 500_000,
            // Less than half a second of work at the rate that a small machine reaches: what waits
            // longer, the NAS has sent again.
            queue_max: 8_192,
            // About 10,000 packets, so that a burst survives a slow fsync.
            receive_buffer_bytes: 4 << 20,
        }
    }
}

/// Section `[status]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusConfig {
    /// Address of `/healthz`, `/readyz`, `/status` and `/metrics`, TCP; `None`: not served.
    pub listen: Option<SocketAddr>,
}

impl Default for StatusConfig {
    fn default() -> StatusConfig {
        // Loopback: it asks for no password.
        StatusConfig { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9180))) }
    }
}

/// Section `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The Unix socket of the command line; its file has mode 0600.
    pub socket: PathBuf,
    /// Address of pages and API, TCP; `None`: the socket alone.
    pub listen: Option<SocketAddr>,
}

impl Default for AdminConfig {
    fn default() -> AdminConfig {
        AdminConfig { socket: PathBuf::from("ringfence.sock"), listen: None }
    }
}

/// Section `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The SQLite database with the tables, relative to where the daemon was started.
    pub path: PathBuf,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig { path: PathBuf::from("ringfence.db") }
    }
}

impl StorageConfig {
    /// The database with journal and snapshots: beside the tables, `.log` before the extension.
    pub fn journal_path(&self) -> PathBuf {
        match self.path.extension().and_then(std::ffi::OsStr::to_str) {
            Some(extension) => self.path.with_extension(format!("log.{extension}")),
            None => self.path.with_extension("log"),
        }
    }
}

/// Section `[credit]`; all in seconds but `final_chunk` and `interims_missed_max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditConfig {
    /// How much of a call is reserved at a time.
    pub chunk_seconds: u32,
    /// How long before the reserved seconds end the next chunk is reserved.
    pub lead_seconds: u32,
    /// How long before the credit ends the disconnect is sent.
    pub margin_seconds: u32,
    /// What a call gets whose credit does not pay a whole chunk.
    pub final_chunk: FinalChunk,
    /// How long a call may take to be answered.
    pub setup_seconds_max: u32,
    /// Longest call.
    pub call_seconds_max: u32,
    /// How often NASes are asked to say that a call is still up.
    pub interim_seconds: u32,
    /// So many interims in a row may be missing before a call is taken to be over.
    pub interims_missed_max: u32,
    /// How long past grant and reservation a call without Stop is waited for.
    pub grant_overdue_seconds: u32,
    /// How long the paying leg is waited for after the last other one has ended.
    pub leg_wait_seconds: u32,
    /// How long ended calls are known, for packets that come late.
    pub ended_kept_seconds: u32,
}

impl Default for CreditConfig {
    fn default() -> CreditConfig {
        CreditConfig {
            // Little money tied up by a call, and still few reservations.
            chunk_seconds: 60,
            // Longer than a commit and a disconnect with its first repetitions take.
            lead_seconds: 5,
            // A round trip to the NAS, its processing, and clocks that tell whole seconds.
            margin_seconds: 1,
            // A customer can use all that was paid for.
            final_chunk: FinalChunk::Partial,
            // SIP gives up ringing after three minutes (timer C, RFC 3261 16.6).
            setup_seconds_max: 180,
            // Four hours: longer ones are mostly forgotten or stuck.
            call_seconds_max: 14_400,
            // The least that RFC 2869 5.16 allows: a lost Stop is found soon.
            interim_seconds: 60,
            // Two may be lost on the way.
            interims_missed_max: 3,
            // More than any NAS takes to tell an end, sent again and again.
            grant_overdue_seconds: 60,
            // Stops of one call leave their NASes within a second; the rest is the network's.
            leg_wait_seconds: 5,
            // Longer than NASes store accounting that they could not deliver.
            ended_kept_seconds: 3_600,
        }
    }
}

/// What a call gets whose credit does not pay a whole chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalChunk {
    /// As many seconds as it pays.
    #[default]
    Partial,
    /// Nothing: the chunk is reserved whole or the call ends.
    Whole,
}

/// Section `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// How long the logs of calls are kept, days.
    pub log_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> RetentionConfig {
        // Until the invoice of a month has been disputed.
        RetentionConfig { log_days: 30 }
    }
}

/// Section `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// What is important enough to be logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// What is important enough to be logged; each level has all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed that a person must see to.
    Error,
    /// Something is not as it should be; the daemon copes.
    Warn,
    /// Starts, stops, changes by operators.
    #[default]
    Info,
    /// What each part does.
    Debug,
    /// Everything, of the libraries too.
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// How one key is read into a [`Config`] and written again.
struct Key {
    name: &'static str,
    read: fn(&mut Config, &Value) -> Result<(), String>,
    write: fn(&Config) -> String,
}

macro_rules! integer {
    ($section:ident . $key:ident, $range:expr) => {
        Key {
            name: concat!(stringify!($section), ".", stringify!($key)),
            read: |config, value| set(&mut config.$section.$key, value.integer($range)),
            write: |config| config.$section.$key.to_string(),
        }
    };
}

/// Every key, in the order in which they are shown, with its bounds.
const KEYS: &[Key] = &[
    Key {
        name: "radius.auth",
        read: |config, value| set(&mut config.radius.auth, addresses(value)),
        write: |config| written_addresses(&config.radius.auth),
    },
    Key {
        name: "radius.acct",
        read: |config, value| set(&mut config.radius.acct, addresses(value)),
        write: |config| written_addresses(&config.radius.acct),
    },
    // The bounds of RFC 5080 2.2.2.
    integer!(radius.reply_cache_seconds, 5..=30),
    integer!(radius.reply_cache_max, 1_000..=10_000_000),
    integer!(radius.queue_max, 1..=1_000_000),
    integer!(radius.receive_buffer_bytes, 65_536..=1_073_741_824),
    Key {
        name: "status.listen",
        read: |config, value| set(&mut config.status.listen, optional_address(value)),
        write: |config| written_optional_address(config.status.listen),
    },
    Key {
        name: "admin.socket",
        read: |config, value| set(&mut config.admin.socket, socket_path(value)),
        write: |config| written_path(&config.admin.socket),
    },
    Key {
        name: "admin.listen",
        read: |config, value| set(&mut config.admin.listen, loopback_address(value)),
        write: |config| written_optional_address(config.admin.listen),
    },
    Key {
        name: "storage.path",
        read: |config, value| set(&mut config.storage.path, file_path(value)),
        write: |config| written_path(&config.storage.path),
    },
    integer!(credit.chunk_seconds, 1..=86_400),
    integer!(credit.lead_seconds, 0..=86_399),
    integer!(credit.margin_seconds, 0..=86_399),
    Key {
        name: "credit.final_chunk",
        read: |config, value| set(&mut config.credit.final_chunk, value.word(FINAL_CHUNKS)),
        write: |config| written_word(FINAL_CHUNKS, config.credit.final_chunk),
    },
    integer!(credit.setup_seconds_max, 1..=3_600),
    integer!(credit.call_seconds_max, 60..=2_000_000),
    integer!(credit.interim_seconds, 1..=86_400),
    integer!(credit.interims_missed_max, 1..=1_000),
    integer!(credit.grant_overdue_seconds, 0..=86_400),
    integer!(credit.leg_wait_seconds, 0..=300),
    integer!(credit.ended_kept_seconds, 1..=604_800),
    integer!(retention.log_days, 1..=3_650),
    Key {
        name: "log.level",
        read: |config, value| set(&mut config.log.level, value.word(LOG_LEVELS)),
        write: |config| written_word(LOG_LEVELS, config.log.level),
    },
    Key {
        name: "log.format",
        read: |config, value| set(&mut config.log.format, value.word(LOG_FORMATS)),
        write: |config| written_word(LOG_FORMATS, config.log.format),
    },
];

const FINAL_CHUNKS: &[(&str, FinalChunk)] = &[("partial", FinalChunk::Partial), ("whole", FinalChunk::Whole)];
const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

impl Config {
    /// The configuration of a file and the environment; without a file, the defaults and the
    /// environment. [`environment`] gives the process's own.
    ///
    /// # Errors
    /// All that is wrong, at once: a file that cannot be read, broken TOML, unknown keys and
    /// variables, values out of bounds, values that do not go together.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigErrors> {
        match file {
            None => Config::read("", Path::new(""), environment),
            Some(path) => match read_file(path) {
                Ok(text) => Config::read(&text, path, environment),
                Err(message) => {
                    let mut errors = Config::read("", path, environment).err().unwrap_or_default();
                    let origin = Origin::File { path: path.display().to_string(), line: 0 };
                    errors.0.insert(0, ConfigError { origin, key: None, message });
                    Err(errors)
                }
            },
        }
    }

    /// The same from the text of a file, which errors then call `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(
        text: &str,
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigErrors> {
        let known: Vec<&'static str> = KEYS.iter().map(|key| key.name).collect();
        let (mut settings, mut errors) = raw::read_text(text, path, &known);
        let (from_environment, environment_errors) = raw::read_environment(environment.into_iter(), &known);
        settings.extend(from_environment);
        errors.extend(environment_errors);

        let mut config = Config::default();
        let mut origins: BTreeMap<&'static str, Origin> = BTreeMap::new();
        for Setting { key, value, origin } in settings {
            let read = KEYS.iter().find(|known| known.name == key).map(|known| known.read);
            match read.map_or(Ok(()), |read| read(&mut config, &value)) {
                Ok(()) => {
                    origins.insert(key, origin);
                }
                Err(message) => errors.push(ConfigError { origin, key: Some(key.to_owned()), message }),
            }
        }
        errors.extend(config.contradictions().into_iter().map(|contradiction| {
            let Contradiction { keys, message } = contradiction;
            let origin = keys.iter().find_map(|key| origins.get(key)).cloned().unwrap_or(Origin::Default);
            ConfigError { origin, key: keys.first().map(|key| (*key).to_owned()), message }
        }));
        errors.sort();
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    /// Every key with its present value as TOML writes it, in the order of the example.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        KEYS.iter().map(|key| (key.name, (key.write)(self)))
    }

    /// The whole configuration as a file that reads back equal.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section_before = "";
        for (name, value) in self.values() {
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            if section != section_before {
                let gap = if section_before.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{gap}[{section}]\n"));
                section_before = section;
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }

    /// What may be meant so but is mostly a mistake; a line each, for `check` and the log.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.credit.interim_seconds < 60 {
            warnings.push(format!(
                "credit.interim_seconds: RFC 2869 5.16 allows 60 at least; a NAS may ignore {}",
                self.credit.interim_seconds
            ));
        }
        if let Some(address) = self.status.listen.filter(|address| !is_loopback(address)) {
            warnings.push(format!("status.listen: {address} can be reached from other machines, without TLS"));
        }
        if self.radius.auth.is_empty() {
            warnings.push("radius.auth: is empty, no call will be authorized".to_owned());
        }
        if self.radius.acct.is_empty() {
            warnings.push("radius.acct: is empty, no call will be charged".to_owned());
        }
        warnings
    }

    /// What does not go together, though each value alone would do.
    fn contradictions(&self) -> Vec<Contradiction> {
        let CreditConfig { chunk_seconds, lead_seconds, margin_seconds, .. } = self.credit;
        let mut found = Vec::new();
        let mut contradiction = |keys: &[&'static str], message: String| {
            found.push(Contradiction { keys: keys.to_vec(), message });
        };
        if lead_seconds >= chunk_seconds {
            contradiction(
                &["credit.lead_seconds", "credit.chunk_seconds"],
                format!("must be less than credit.chunk_seconds, {chunk_seconds} (is {lead_seconds})"),
            );
        }
        if margin_seconds > lead_seconds {
            contradiction(
                &["credit.margin_seconds", "credit.lead_seconds"],
                format!("must not be more than credit.lead_seconds, {lead_seconds} (is {margin_seconds})"),
            );
        }
        if self.radius.auth.is_empty() && self.radius.acct.is_empty() {
            contradiction(&["radius.auth", "radius.acct"], "no address here nor in radius.acct: give one".to_owned());
        }
        let mut taken = BTreeSet::new();
        for (key, addresses) in [("radius.auth", &self.radius.auth), ("radius.acct", &self.radius.acct)] {
            for address in addresses.iter().filter(|address| address.port() != 0) {
                if !taken.insert(*address) {
                    contradiction(&[key], format!("{address} is listened on already: give each address once"));
                }
            }
        }
        if let (Some(status), Some(admin)) = (self.status.listen, self.admin.listen)
            && status == admin
            && status.port() != 0
        {
            contradiction(&["admin.listen", "status.listen"], format!("{admin} is status.listen: give another port"));
        }
        if self.admin.socket == self.storage.path || self.admin.socket == self.storage.journal_path() {
            contradiction(&["admin.socket", "storage.path"], "is the path of the database: give another".to_owned());
        }
        found
    }
}

/// Values that do not go together.
struct Contradiction {
    /// The keys in question; the first one that was written gives the line, the first one the name.
    keys: Vec<&'static str>,
    message: String,
}

/// The variable that sets a key: `RINGFENCE_CREDIT__CHUNK_SECONDS` for `credit.chunk_seconds`.
pub fn environment_variable(key: &str) -> String {
    variable_of(key)
}

/// The environment of this process. What is not UTF-8 is made so: it cannot be one of ours, and
/// nothing that another program set may end this one.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// All that is wrong with a configuration, a line each, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("longer than {FILE_BYTES_MAX} bytes: this is no configuration"));
    }
    String::from_utf8(text).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("not UTF-8 in line {line}: save the file as UTF-8")
    })
}

fn any_address(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))
}

fn set<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

fn addresses(value: &Value) -> Result<Vec<SocketAddr>, String> {
    value.texts()?.into_iter().map(address).collect()
}

fn optional_address(value: &Value) -> Result<Option<SocketAddr>, String> {
    match value.text()? {
        "" => Ok(None),
        text => address(text).map(Some),
    }
}

/// An address that only this machine reaches: who comes in there is asked for no password.
fn loopback_address(value: &Value) -> Result<Option<SocketAddr>, String> {
    let address = optional_address(value)?;
    match address.filter(|address| !is_loopback(address)) {
        Some(open) => Err(format!(
            "must be an address of loopback such as 127.0.0.1:8080, because the API has no passwords yet (is {open})"
        )),
        None => Ok(address),
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("must be an address with port such as 127.0.0.1:1812 or [::]:1812 (is \"{}\")", shown(text))
    })
}

fn file_path(value: &Value) -> Result<PathBuf, String> {
    let text = value.text()?;
    if text.contains("://") {
        return Err(format!("must be the path of a file; other databases are not supported (is {value})"));
    }
    let path = PathBuf::from(text);
    if text.contains('\0') || text.ends_with('/') || path.file_name().is_none() {
        return Err(format!("must be the path of a file (is {value})"));
    }
    Ok(path)
}

fn socket_path(value: &Value) -> Result<PathBuf, String> {
    let path = file_path(value)?;
    match path.as_os_str().len() {
        0..=SOCKET_PATH_BYTES_MAX => Ok(path),
        length => Err(format!("must have at most {SOCKET_PATH_BYTES_MAX} bytes, as sockets' paths do (has {length})")),
    }
}

fn written_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn written_path(path: &Path) -> String {
    written_text(&path.to_string_lossy())
}

fn written_addresses(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(|address| written_text(&address.to_string())).collect();
    format!("[{}]", texts.join(", "))
}

fn written_optional_address(address: Option<SocketAddr>) -> String {
    written_text(&address.map(|address| address.to_string()).unwrap_or_default())
}

fn written_word<T: PartialEq>(words: &[(&str, T)], meaning: T) -> String {
    words.iter().find(|(_, known)| *known == meaning).map(|(word, _)| written_text(word)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        Config::read(text, Path::new("r.toml"), []).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_defaults_are_what_an_empty_file_gives() {
        assert_eq!(read(""), Ok(Config::default()));
        assert_eq!(Config::default().warnings(), [""; 0]);
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for (key, wrong) in [
            ("radius.reply_cache_seconds", "4"),
            ("radius.reply_cache_seconds", "31"),
            ("radius.queue_max", "0"),
            ("credit.chunk_seconds", "0"),
            ("credit.chunk_seconds", "86401"),
            ("credit.chunk_seconds", "1.5"),
            ("credit.chunk_seconds", "\"60\""),
            ("credit.chunk_seconds", "99999999999999999999"),
            ("credit.call_seconds_max", "59"),
            ("credit.call_seconds_max", "2000001"),
            ("credit.final_chunk", "\"half\""),
            ("credit.final_chunk", "true"),
            ("status.listen", "\"localhost\""),
            ("status.listen", "9180"),
            ("radius.auth", "\"[::]:1812\""),
            ("radius.auth", "[1812]"),
            ("storage.path", "\"\""),
            ("storage.path", "\"dir/\""),
            ("storage.path", "\"postgres://localhost/ringfence\""),
            ("admin.socket", "\"..\""),
            ("log.level", "\"INFO\""),
        ] {
            let (section, bare) = key.split_once('.').unwrap();
            let error = read(&format!("[{section}]\n{bare} = {wrong}\n")).unwrap_err();
            assert!(error.starts_with(&format!("r.toml:2: {key}: must be ")), "{key} = {wrong}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_taken() {
        let config = read("[credit]\nchunk_seconds = 86400\nlead_seconds = 86399\nmargin_seconds = 86399\n").unwrap();
        assert_eq!(config.credit.chunk_seconds, 86_400);
        let config = read("[credit]\nchunk_seconds = 1\nlead_seconds = 0\nmargin_seconds = 0\n").unwrap();
        assert_eq!(config.credit.chunk_seconds, 1);
    }

    #[test]
    fn a_socket_path_is_as_long_as_the_kernel_takes() {
        let with = |length: usize| read(&format!("[admin]\nsocket = \"{}\"\n", "s".repeat(length)));
        assert!(with(107).is_ok());
        assert!(with(108).unwrap_err().contains("at most 107 bytes"));
    }

    #[test]
    fn values_that_do_not_go_together_are_refused() {
        for (text, error) in [
            (
                "[credit]\nlead_seconds = 60\n",
                "r.toml:2: credit.lead_seconds: must be less than credit.chunk_seconds, 60 (is 60)",
            ),
            (
                "[credit]\nchunk_seconds = 5\n",
                "r.toml:2: credit.lead_seconds: must be less than credit.chunk_seconds, 5 (is 5)",
            ),
            (
                "[credit]\nmargin_seconds = 6\n",
                "r.toml:2: credit.margin_seconds: must not be more than credit.lead_seconds, 5 (is 6)",
            ),
            ("[radius]\nauth = []\nacct = []\n", "r.toml:2: radius.auth: no address here nor in radius.acct: give one"),
            (
                "[radius]\nacct = [\"[::]:1812\"]\n",
                "r.toml:2: radius.acct: [::]:1812 is listened on already: give each address once",
            ),
            (
                "[admin]\nlisten = \"127.0.0.1:9180\"\n",
                "r.toml:2: admin.listen: 127.0.0.1:9180 is status.listen: give another port",
            ),
            (
                "[admin]\nsocket = \"ringfence.db\"\n",
                "r.toml:2: admin.socket: is the path of the database: give another",
            ),
        ] {
            assert_eq!(read(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn port_0_is_allowed_as_often_as_wanted() {
        let config = read("[radius]\nauth = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nacct = [\"127.0.0.1:0\"]\n").unwrap();
        assert_eq!(config.radius.auth.len(), 2);
    }

    #[test]
    fn the_journal_is_beside_the_tables() {
        for (path, journal) in [
            ("ringfence.db", "ringfence.log.db"),
            ("/var/lib/ringfence/main.sqlite", "/var/lib/ringfence/main.log.sqlite"),
            ("data.d/ringfence", "data.d/ringfence.log"),
        ] {
            assert_eq!(StorageConfig { path: path.into() }.journal_path(), PathBuf::from(journal));
        }
    }

    #[test]
    fn what_is_mostly_a_mistake_is_warned_of() {
        let config = read("[status]\nlisten = \"0.0.0.0:9180\"\n[credit]\ninterim_seconds = 10\n").unwrap();
        let warnings = config.warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
