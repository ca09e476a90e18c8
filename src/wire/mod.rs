//! RADIUS as bytes: what a packet is, whether it is what it claims, and how one is made.
//!
//! This floor turns datagrams into checked views and back. It uses nothing else of ours: no
//! domain, no socket, no clock. Nothing here panics, loops without bound or grows without bound
//! whatever the bytes are, and nothing is copied while a packet is read.
//!
//! Order of reading: [`packet`] (structure), [`attribute`] (what is inside), [`authenticator`]
//! (proof of the shared secret), [`credential`] and [`digest`] (proof of the caller), [`reply`] and [`request`]
//! (making packets), [`proof`] (both digests apart, for people), [`value`] (typed values), [`dictionary`] (names),
//! [`kind`] (numbers),
//! [`error`] (what can be wrong).
//!
//! | RFC | section | here |
//! | --- | --- | --- |
//! | 2865 | 3, packet format and length rules | [`packet::Packet::decode`] |
//! | 2865 | 3, Response Authenticator | [`reply::ReplyBuilder`], [`request::verify_reply`] |
//! | 2865 | 5, attribute format | [`attribute::Attributes`] |
//! | 2865 | 5.2, User-Password | [`authenticator::reveal_user_password`], [`credential::pap_matches`] |
//! | 2865 | 5.3 and 5.40, CHAP | [`credential::chap_matches`] |
//! | 2865 | 5.26, Vendor-Specific | [`attribute::VendorSpecific`]; other formats stay raw |
//! | 2865 | 5.33, Proxy-State | echoed by [`reply::ReplyBuilder`] |
//! | 2866 | 3, Request Authenticator of accounting | [`authenticator::verify_request`] |
//! | 2868 | tunnel attributes | not read: no phone service sends them |
//! | 2869 | 5.14, Message-Authenticator (and 3579, 3.2) | [`authenticator`], [`reply`] |
//! | 3162 | IPv6 attributes | [`value`] |
//! | 5090 | Digest | [`digest::DigestAnswer`]; where its values stand, the dialects know |
//! | 5176 | 3.4, Disconnect and CoA | [`request::RequestBuilder`], [`request::verify_reply`] |
//! | 5997 | Status-Server | [`authenticator::verify_request`] always wants Message-Authenticator |
//! | 6929 | extended attributes | not read; kept raw |
#![deny(clippy::indexing_slicing)]

pub mod attribute;
pub mod authenticator;
pub mod credential;
pub mod dictionary;
pub mod digest;
pub mod error;
pub mod kind;
pub mod packet;
pub mod proof;
pub mod reply;
pub mod request;
pub mod value;
