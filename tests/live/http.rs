//! As little HTTP as the tests need: a request, its status, its body.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Where HTTP is served.
#[derive(Clone, Debug)]
pub enum Server {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// Status and body.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Server {
    /// # Errors
    /// Nobody answers, or not with HTTP.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        // A verification of a database that was written under load takes its time without optimization.
        let timeout = Some(Duration::from_secs(180));
        match self {
            Server::Socket(path_of_socket) => {
                let stream = UnixStream::connect(path_of_socket)?;
                stream.set_read_timeout(timeout)?;
                exchange(stream, method, path, body)
            }
            Server::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(timeout)?;
                exchange(stream, method, path, body)
            }
        }
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_request(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The JSON that a GET answers with.
    pub fn get(&self, path: &str) -> Value {
        let Answer { status, body } = self.request("GET", path, None);
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// The JSON that a POST answers with.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let Answer { status, body } = self.request("POST", path, Some(body));
        assert!((200..300).contains(&status), "POST {path}: {status} {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("POST {path}: {error}: {body}"))
    }

    /// All members `list` of the pages that a GET answers with.
    pub fn all(&self, path: &str, list: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit=1000");
        let mut items = Vec::new();
        let mut page = self.get(&first);
        loop {
            items.extend(
                page[list].as_array().unwrap_or_else(|| panic!("GET {path}: no {list}: {page}")).iter().cloned(),
            );
            match page["next"].as_str() {
                Some(cursor) => page = self.get(&format!("{first}&cursor={cursor}")),
                None => return items,
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    // 1.0, so that the answer ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(bad)?;
    Ok(Answer { status, body: body.to_owned() })
}
