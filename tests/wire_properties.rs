//! Properties of the wire, on generated packets.

#[path = "properties/wire.rs"]
mod wire;
