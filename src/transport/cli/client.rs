//! Speaks to the running daemon: HTTP/1.1 over its Unix socket, or over TCP where a URL is given.
//!
//! A request is a connection of its own. What the daemon refuses becomes an error with the exit code
//! that scripts expect.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::error::{CliError, Exit};
use crate::service::admin::spec::Problem;

/// Where all paths begin.
const API: &str = "/api/v1";
/// Time for a connection to stand.
const CONNECT_SECONDS_MAX: u64 = 5;
/// Time for an ordinary answer.
pub const ANSWER_SECONDS: u64 = 30;
/// Time for an answer that takes a walk through the whole database or a large table.
pub const LONG_ANSWER_SECONDS: u64 = 3600;
/// Longest answer that is taken, bytes: an export with large tables.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How much of a body is handed on at a time, so that its progress can be shown.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// Its Unix socket.
    Socket(PathBuf),
    /// A host and port, and what its URL's path begins with.
    Tcp {
        /// Host and port, as a socket address is written.
        authority: String,
        /// In front of the API's paths; mostly empty.
        prefix: String,
    },
}

impl Server {
    /// A server named by a URL such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is not of that form, or wants TLS, which is left to a proxy.
    pub fn from_url(url: &str) -> Result<Server, CliError> {
        let form = "write it as http://127.0.0.1:8080";
        let Some(rest) = url.strip_prefix("http://") else {
            let reason = if url.starts_with("https://") { "TLS is not spoken here" } else { "not a URL of HTTP" };
            return Err(CliError::usage(format!("--server {}: {reason}; {form}", url.escape_debug())));
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
        });
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic()) && !authority.contains('@');
        if authority.is_empty() || !is_plain || (authority.contains(':') && !has_port && !authority.ends_with(']')) {
            return Err(CliError::usage(format!("--server {}: no host and port; {form}", url.escape_debug())));
        }
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(Server::Tcp { authority, prefix })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Socket(path) => write!(f, "{}", path.display()),
            Server::Tcp { authority, prefix } => write!(f, "http://{authority}{prefix}"),
        }
    }
}

/// Asks the daemon and waits for its answers.
#[derive(Debug)]
pub struct Client {
    server: Server,
    token: Option<String>,
    seconds_max: Option<u64>,
    runtime: tokio::runtime::Runtime,
}

/// What is asked.
pub struct Ask {
    method: Method,
    path: String,
    body: Bytes,
    content_type: &'static str,
    accept: &'static str,
    seconds: u64,
    on_sent: Option<Box<dyn FnMut(u64) + Send>>,
}

/// Something to ask, by method and path; the path is below the API's root and already encoded.
impl Ask {
    /// Reads.
    pub fn get(path: impl Into<String>) -> Ask {
        Ask::new(Method::GET, path)
    }

    /// Adds, or has something done.
    pub fn post(path: impl Into<String>) -> Ask {
        Ask::new(Method::POST, path)
    }

    /// Replaces.
    pub fn put(path: impl Into<String>) -> Ask {
        Ask::new(Method::PUT, path)
    }

    /// Changes some fields.
    pub fn patch(path: impl Into<String>) -> Ask {
        Ask::new(Method::PATCH, path)
    }

    /// Removes.
    pub fn delete(path: impl Into<String>) -> Ask {
        Ask::new(Method::DELETE, path)
    }

    fn new(method: Method, path: impl Into<String>) -> Ask {
        Ask {
            method,
            path: path.into(),
            body: Bytes::new(),
            content_type: "application/json",
            accept: "application/json",
            seconds: ANSWER_SECONDS,
            on_sent: None,
        }
    }

    /// With a body of JSON.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Ask, CliError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| CliError::failed(format!("the request cannot be written as JSON: {error}")))?;
        self.body = bytes.into();
        Ok(self)
    }

    /// With a body of CSV.
    #[must_use]
    pub fn csv(mut self, body: Bytes) -> Ask {
        self.body = body;
        self.content_type = "text/csv";
        self
    }

    /// Wants CSV back.
    #[must_use]
    pub fn accept_csv(mut self) -> Ask {
        self.accept = "text/csv";
        self
    }

    /// Waits for as long as a walk through the whole database may take.
    #[must_use]
    pub fn long(mut self) -> Ask {
        self.seconds = LONG_ANSWER_SECONDS;
        self
    }

    /// How large the body is.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Tells how many bytes of the body are on their way.
    #[must_use]
    pub fn on_sent(mut self, on_sent: impl FnMut(u64) + Send + 'static) -> Ask {
        self.on_sent = Some(Box::new(on_sent));
        self
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 2xx.
    pub status: StatusCode,
    /// As it came.
    pub body: Bytes,
}

impl Answer {
    /// The body as what it should be.
    ///
    /// # Errors
    /// It is something else: a daemon of another version.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            CliError::failed(format!(
                "the daemon's answer is not understood: {error}; are both of one version? --json shows it as it came"
            ))
        })
    }
}

impl Client {
    /// A client; `token` goes with every request, `seconds_max` replaces the usual patience.
    ///
    /// # Errors
    /// The process can have no sockets.
    pub fn new(server: Server, token: Option<String>, seconds_max: Option<u64>) -> Result<Client, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::failed(format!("sockets cannot be used: {error}")))?;
        Ok(Client { server, token, seconds_max, runtime })
    }

    /// Where the daemon is looked for.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The daemon is not there, takes too long, or refuses; the exit code says which.
    pub fn ask(&self, ask: Ask) -> Result<Answer, CliError> {
        let answer = self.ask_raw(ask)?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(answer.status, &answer.body)) }
    }

    /// The same where the caller looks at refusals itself.
    ///
    /// # Errors
    /// The daemon is not there or takes too long.
    pub fn ask_raw(&self, ask: Ask) -> Result<Answer, CliError> {
        let seconds = self.seconds_max.unwrap_or(ask.seconds);
        let answered = self.runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(seconds), self.exchange(ask)).await {
                Ok(answered) => answered,
                Err(_) => Err(CliError::unreachable(format!(
                    "the daemon at {} has not answered in {seconds} seconds; --timeout SECONDS waits longer",
                    self.server
                ))),
            }
        })?;
        Ok(answered)
    }

    async fn exchange(&self, ask: Ask) -> Result<Answer, CliError> {
        let connect = async {
            match &self.server {
                Server::Socket(path) => UnixStream::connect(path).await.map(Stream::Unix),
                Server::Tcp { authority, .. } => TcpStream::connect(authority.as_str()).await.map(Stream::Tcp),
            }
        };
        let stream = match tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS_MAX), connect).await {
            Ok(connected) => connected.map_err(|error| self.cannot_connect(&error))?,
            Err(_) => {
                return Err(CliError::unreachable(format!(
                    "the daemon at {} takes no connection in {CONNECT_SECONDS_MAX} seconds",
                    self.server
                )));
            }
        };
        match stream {
            Stream::Unix(stream) => self.speak(stream, ask).await,
            Stream::Tcp(stream) => self.speak(stream, ask).await,
        }
    }

    async fn speak<S>(&self, stream: S, ask: Ask) -> Result<Answer, CliError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broken = |error: hyper::Error| {
            CliError::unreachable(format!("the daemon at {} broke the connection off: {error}", self.server))
        };
        let (host, prefix) = match &self.server {
            Server::Socket(_) => ("localhost", ""),
            Server::Tcp { authority, prefix } => (authority.as_str(), prefix.as_str()),
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{prefix}{API}{}", ask.path))
            .header(HOST, host)
            .header(ACCEPT, ask.accept)
            .header(CONTENT_LENGTH, ask.body.len());
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, ask.content_type);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Upload { rest: ask.body, sent: 0, on_sent: ask.on_sent })
            .map_err(|error| CliError::usage(format!("cannot be sent: {error}")))?;

        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| CliError::unreachable(format!("the daemon's answer broke off: {error}")))?
                .to_bytes();
            Ok(Answer { status, body })
        };
        // The connection is driven here, not by a task of its own: it ends with the answer.
        let mut answered = std::pin::pin!(answered);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            answer = &mut answered => return answer,
            ended = &mut connection => ended.map_err(broken)?,
        }
        answered.await
    }

    fn cannot_connect(&self, error: &io::Error) -> CliError {
        let hint = match (&self.server, error.kind()) {
            (Server::Socket(_), io::ErrorKind::PermissionDenied) => {
                return CliError::refused(format!(
                    "the daemon's socket {} is not yours to use: run this as the daemon's user or as root",
                    self.server
                ));
            }
            (Server::Socket(_), io::ErrorKind::NotFound) => {
                "there is no such socket; start the daemon with `ringfence serve`, or name its socket with --socket or \
                 RINGFENCE_SOCKET"
                    .to_owned()
            }
            (_, io::ErrorKind::ConnectionRefused) => "nobody listens there: is the daemon running?".to_owned(),
            _ => error.to_string(),
        };
        CliError::unreachable(format!("the daemon at {} cannot be reached: {hint}", self.server))
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A body in pieces, so that whoever waits sees it go.
struct Upload {
    rest: Bytes,
    sent: u64,
    on_sent: Option<Box<dyn FnMut(u64) + Send>>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let upload = self.get_mut();
        if upload.rest.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = upload.rest.split_to(upload.rest.len().min(CHUNK_BYTES));
        upload.sent += chunk.len() as u64;
        if let Some(on_sent) = &mut upload.on_sent {
            on_sent(upload.sent);
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The problem that a body tells of (RFC 9457); where it tells of none, one made of the status.
pub fn read_problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: format!("the daemon answered {status}"),
        status: status.as_u16(),
        ..Problem::default()
    })
}

/// The exit code that a status of the API stands for.
pub fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Exit::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT => Exit::Refused,
        StatusCode::LOCKED | StatusCode::PRECONDITION_FAILED => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// The error that a refused request ends with.
pub fn refusal(status: StatusCode, body: &[u8]) -> CliError {
    let problem = read_problem(status, body);
    let lines = if problem.errors.is_empty() {
        vec![shown(if problem.detail.is_empty() { &problem.title } else { &problem.detail })]
    } else {
        // The detail only counts them.
        let faults = problem.errors.iter().map(|fault| match fault.path.as_str() {
            "" => shown(&fault.message),
            path => format!("{}: {}", shown(path), shown(&fault.message)),
        });
        faults.collect()
    };
    CliError { problem: Some(Box::new(problem)), ..CliError::new(exit_of(status), lines) }
}

/// A text from elsewhere, without anything that a terminal obeys.
pub fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped: Vec<char> =
                if character.is_control() { character.escape_default().collect() } else { vec![character] };
            escaped
        })
        .collect()
}

/// A text as one segment of a path, or as a value of a query (RFC 3986 2.1).
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    // A path's segment of dots alone would be taken for a step to another folder.
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded,
    }
}

/// A query of those pairs that have a value, with its question mark; empty where none has.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            let separator = if query.is_empty() { '?' } else { '&' };
            query.push(separator);
            query.push_str(&format!("{name}={}", encoded(&value)));
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(authority: &str, prefix: &str) -> Result<Server, CliError> {
        Ok(Server::Tcp { authority: authority.to_owned(), prefix: prefix.to_owned() })
    }

    #[test]
    fn a_url_is_host_and_port() {
        assert_eq!(Server::from_url("http://127.0.0.1:8080"), tcp("127.0.0.1:8080", ""));
        assert_eq!(Server::from_url("http://[::1]:8080/"), tcp("[::1]:8080", ""));
        assert_eq!(Server::from_url("http://billing/below"), tcp("billing:80", "/below"));
        assert_eq!(Server::from_url("http://[::1]"), tcp("[::1]:80", ""));
    }

    #[test]
    fn other_urls_are_bad_usage() {
        for url in
            ["", "127.0.0.1:8080", "https://x", "http://", "http://:80", "http://a:b", "http://a b", "http://u@h"]
        {
            assert_eq!(Server::from_url(url).map_err(|error| error.exit), Err(Exit::Usage), "{url}");
        }
    }

    #[test]
    fn what_is_typed_cannot_leave_its_segment() {
        assert_eq!(encoded("acme"), "acme");
        assert_eq!(encoded("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("ü"), "%C3%BC");
    }

    #[test]
    fn a_query_has_what_was_given() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(query([("a", some("1")), ("b", None), ("c", some("x&y"))]), "?a=1&c=x%26y");
        assert_eq!(query([("a", None)]), "");
    }

    #[test]
    fn a_refusal_names_each_fault() {
        let body = br#"{"type":"about:blank","title":"Unprocessable","status":422,"detail":"2 faults",
            "errors":[{"path":"customer[3].tariff","message":"does not exist"},{"path":"","message":"a\u001b[2J"}]}"#;
        let error = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(error.exit, Exit::Failed);
        assert_eq!(error.lines, ["customer[3].tariff: does not exist", "a\\u{1b}[2J"]);
    }

    #[test]
    fn a_refusal_without_words_tells_its_status() {
        let error = refusal(StatusCode::NOT_FOUND, b"");
        assert_eq!((error.exit, error.to_string()), (Exit::NotFound, "the daemon answered 404 Not Found".to_owned()));
    }

    #[test]
    fn statuses_have_exit_codes() {
        for (status, exit) in [
            (400, Exit::Failed),
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotFound),
            (409, Exit::Refused),
            (422, Exit::Failed),
            (500, Exit::Failed),
            (503, Exit::Failed),
        ] {
            assert_eq!(exit_of(StatusCode::from_u16(status).unwrap()), exit, "{status}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_is_named() {
        let client = Client::new(Server::Socket("/nonexistent/r.sock".into()), None, None).unwrap();
        let error = client.ask(Ask::get("/status")).unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable);
        assert!(error.to_string().contains("/nonexistent/r.sock"), "{error}");
    }
}
