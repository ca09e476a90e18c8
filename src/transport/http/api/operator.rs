//! Who asks: by the kernel's word on the Unix socket, by the address on TCP.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

use super::problem::ApiError;

/// Who asks, as it stands in the audit: `socket:uid=0`, `tcp:127.0.0.1`.
#[derive(Clone, Debug)]
pub struct Operator(pub String);

/// Where a connection came in.
#[derive(Clone, Debug)]
pub enum Peer {
    /// The Unix socket, by a process of this user (SO_PEERCRED).
    Socket(Option<u32>),
    /// TCP, from this address.
    Tcp(IpAddr),
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Peer {
        Peer::Socket(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Peer {
        Peer::Tcp(stream.remote_addr().ip().to_canonical())
    }
}

impl Peer {
    fn operator(&self) -> String {
        match self {
            Peer::Socket(Some(uid)) => format!("socket:uid={uid}"),
            Peer::Socket(None) => "socket".into(),
            Peer::Tcp(address) => format!("tcp:{address}"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Operator, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        Ok(Operator(peer.map_or_else(|| "unknown".to_owned(), |ConnectInfo(peer)| peer.operator())))
    }
}

/// On TCP a browser on this machine can be made to send requests by any page that it shows. Such a
/// request names another host, or says that it comes from another site.
pub async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    let is_tcp = matches!(request.extensions().get(), Some(ConnectInfo(Peer::Tcp(_))));
    if is_tcp && let Err(why) = check_site(request.headers()) {
        return ApiError::with_status(StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// A line in the log for everything that may have changed something.
pub async fn note_changes(operator: Operator, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if method != Method::GET && method != Method::HEAD {
        let status = response.status().as_u16();
        tracing::info!(by = operator.0, %method, path, status, "operator");
    }
    response
}

fn check_site(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or("");
    if !is_local(host) {
        return Err("the Host header must be localhost or an address");
    }
    match text(header::ORIGIN) {
        Some(origin) if origin.strip_prefix("http://") != Some(host) => Err("requests of other sites are not taken"),
        _ => Ok(()),
    }
}

/// A name could be made to mean this machine by its owner (DNS rebinding); an address cannot.
fn is_local(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = without_port.trim_start_matches('[').trim_end_matches(']');
    address.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_that_nobody_else_owns_are_taken() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]", "192.0.2.1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:8080", "localhost.evil.example"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = (header::HOST, "127.0.0.1:8080");
        assert!(check_site(&headers(std::slice::from_ref(&host))).is_ok());
        assert!(check_site(&headers(&[host.clone(), (header::ORIGIN, "http://127.0.0.1:8080")])).is_ok());
        assert!(check_site(&headers(&[host.clone(), (header::ORIGIN, "http://evil.example")])).is_err());
        assert!(check_site(&headers(&[host, (header::ORIGIN, "null")])).is_err());
    }
}
