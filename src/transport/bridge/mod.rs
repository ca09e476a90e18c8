//! The bridge: stands beside a proxy that speaks no RFC 5176 and obeys Disconnect-Requests for it.
//!
//! [`server`] hears the requests, proves them and answers; a [`Door`] is the proxy's own way to end a
//! call: [`kamailio`] or [`sippy`]. What a request means is a floor below, in
//! [`crate::service::session_request`].

pub mod kamailio;
pub mod server;
pub mod sippy;

use crate::service::session_request::{CallToEnd, Refusal};

/// The way into a proxy. Each call of it takes no longer than the proxy is given, and a moment.
pub trait Door: Send + Sync {
    /// Ends the calls of this Call-ID, or those of them that have the tags, where the proxy knows tags. When it comes back well they are over, as far as the proxy tells:
    /// Kamailio has no such dialog any more that was answered, Sippy has taken the order.
    ///
    /// # Errors
    /// What keeps the call from being ended, as a NAK tells it.
    fn end(&self, call: &CallToEnd) -> Result<(), Refusal>;

    /// Whether somebody is behind the door, without changing anything.
    ///
    /// # Errors
    /// Why nobody is, and what to look at.
    fn knock(&self) -> Result<(), String>;
}
