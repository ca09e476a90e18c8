//! Why a NAS does not do what it was asked to: Error-Cause (RFC 5176, 3.5).

/// Residual-Session-Context-Removed: the call was gone, and what was left of it is now; in an ACK.
pub const RESIDUAL_SESSION_CONTEXT_REMOVED: u32 = 201;
/// Unsupported-Attribute: something is asked for that is no part of what was understood.
pub const UNSUPPORTED_ATTRIBUTE: u32 = 401;
/// Missing-Attribute: nothing says which call is meant.
pub const MISSING_ATTRIBUTE: u32 = 402;
/// Invalid-Request: the request says what no request may say.
pub const INVALID_REQUEST: u32 = 404;
/// Unsupported-Service: a Service-Type in a request that ends or changes a call.
pub const UNSUPPORTED_SERVICE: u32 = 405;
/// Unsupported-Extension: requests of this code are not obeyed here.
pub const UNSUPPORTED_EXTENSION: u32 = 406;
/// Invalid-Attribute-Value: a value that nothing can have.
pub const INVALID_ATTRIBUTE_VALUE: u32 = 407;
/// Session-Context-Not-Found: the NAS has no such call.
pub const SESSION_CONTEXT_NOT_FOUND: u32 = 503;
/// Session-Context-Not-Removable: the call is there, and cannot be ended as it is now.
pub const SESSION_CONTEXT_NOT_REMOVABLE: u32 = 504;
/// Resources-Unavailable: whoever would have to end the call cannot.
pub const RESOURCES_UNAVAILABLE: u32 = 506;
/// Multiple-Session-Selection-Unsupported: several calls are meant.
pub const MULTIPLE_SESSION_SELECTION_UNSUPPORTED: u32 = 508;

/// All that the RFC has, with their names.
pub const NAMES: [(u32, &str); 17] = [
    (RESIDUAL_SESSION_CONTEXT_REMOVED, "Residual-Session-Context-Removed"),
    (202, "Invalid-EAP-Packet"),
    (UNSUPPORTED_ATTRIBUTE, "Unsupported-Attribute"),
    (MISSING_ATTRIBUTE, "Missing-Attribute"),
    (403, "NAS-Identification-Mismatch"),
    (INVALID_REQUEST, "Invalid-Request"),
    (UNSUPPORTED_SERVICE, "Unsupported-Service"),
    (UNSUPPORTED_EXTENSION, "Unsupported-Extension"),
    (INVALID_ATTRIBUTE_VALUE, "Invalid-Attribute-Value"),
    (501, "Administratively-Prohibited"),
    (502, "Request-Not-Routable"),
    (SESSION_CONTEXT_NOT_FOUND, "Session-Context-Not-Found"),
    (SESSION_CONTEXT_NOT_REMOVABLE, "Session-Context-Not-Removable"),
    (505, "Other-Proxy-Processing-Error"),
    (RESOURCES_UNAVAILABLE, "Resources-Unavailable"),
    (507, "Request-Initiated"),
    (MULTIPLE_SESSION_SELECTION_UNSUPPORTED, "Multiple-Session-Selection-Unsupported"),
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
