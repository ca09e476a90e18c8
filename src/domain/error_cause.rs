//! Why a NAS does not do what it was asked to: Error-Cause (RFC 5176, 3.5).

/// Residual-Session-Context-Removed: the call was gone, and what was left of it is now; in an ACK.
pub const RESIDUAL_SESSION_CONTEXT_REMOVED: u32 = 201;
/// Session-Context-Not-Found: the NAS has no such call.
pub const SESSION_CONTEXT_NOT_FOUND: u32 = 503;

/// All that the RFC has, with their names.
pub const NAMES: [(u32, &str); 17] = [
    (RESIDUAL_SESSION_CONTEXT_REMOVED, "Residual-Session-Context-Removed"),
    (202, "Invalid-EAP-Packet"),
    (401, "Unsupported-Attribute"),
    (402, "Missing-Attribute"),
    (403, "NAS-Identification-Mismatch"),
    (404, "Invalid-Request"),
    (405, "Unsupported-Service"),
    (406, "Unsupported-Extension"),
    (407, "Invalid-Attribute-Value"),
    (501, "Administratively-Prohibited"),
    (502, "Request-Not-Routable"),
    (SESSION_CONTEXT_NOT_FOUND, "Session-Context-Not-Found"),
    (504, "Session-Context-Not-Removable"),
    (505, "Other-Proxy-Processing-Error"),
    (506, "Resources-Unavailable"),
    (507, "Request-Initiated"),
    (508, "Multiple-Session-Selection-Unsupported"),
];

/// Its name, where the RFC has one.
pub fn name(cause: u32) -> Option<&'static str> {
    NAMES.into_iter().find(|(known, _)| *known == cause).map(|(_, name)| name)
}

/// Number and name, as people read it.
pub fn in_words(cause: u32) -> String {
    match name(cause) {
        Some(name) => format!("{cause} {name}"),
        None => cause.to_string(),
    }
}
