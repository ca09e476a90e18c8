//! Use cases, one a file: what the outside asks for, in the words of the domain.

// The one that decides.
pub mod alarms;
pub mod engine_loop;
pub mod engine_queue;
pub mod health;
pub mod log_pace;
pub mod registry;
pub mod tables_reach;

// What NASes ask for.
pub mod account;
pub mod answers;
pub mod authorize;
pub mod caller;
pub mod fingerprint;
pub mod nas_table;
pub mod nonces;
pub mod packet_log;
pub mod sessions;
pub mod sightings;

// What NASes are asked for.
pub mod control;
pub mod nas_link;

// What a proxy is asked for through the bridge.
pub mod session_request;

// How things are told to people.
pub mod decode;
pub mod escape;
pub mod explain;
pub mod names;
pub mod sample;

// What operators hand in.
pub mod admin;
pub mod catalogue;
pub mod engine_door;
pub mod instant;
pub mod nearest;
pub mod rates;
pub mod stale;
