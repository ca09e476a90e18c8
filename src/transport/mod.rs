//! The outside: sockets, pages and commands. What they carry is decided a floor below.

pub mod bridge;
pub mod cli;
pub mod coa_client;
pub mod http;
pub mod radius_client;
pub mod radius_server;
pub mod reply_cache;
pub mod udp;
