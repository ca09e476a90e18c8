//! Real SIP: Kamailio as a proxy and sipp as the phones on both sides of it, all on loopback. A test
//! that includes this includes `live` as well.
#![allow(dead_code)] // no test uses all of it

pub mod kamailio;
pub mod sipp;
