//! Interned strings and constants, made once for each server.
//!
//! Scope keys, message keys and types, header names and methods come again with every request: they
//! are made once, so that a request only counts references and a comparison is one of pointers.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

macro_rules! names {
    ($($field:ident = $text:literal),* $(,)?) => {
        /// Strings that requests are made of.
        pub struct Names { $(pub $field: Py<PyString>,)* }

        impl Names {
            pub fn new(py: Python<'_>) -> Self {
                Self { $($field: PyString::intern(py, $text).unbind(),)* }
            }
        }
    };
}

names! {
    asgi = "asgi", body = "body", bytes = "bytes", code = "code", client = "client", count = "count",
    early_hint = "http.response.early_hint", extensions = "extensions", file = "file",
    headers = "headers", http = "http", http_10 = "1.0", http_11 = "1.1", http_disconnect = "http.disconnect",
    http_request = "http.request", http_version = "http_version", links = "links", method = "method",
    more_body = "more_body", more_trailers = "more_trailers", offset = "offset", path = "path",
    pathsend = "http.response.pathsend", query_string = "query_string", raw_path = "raw_path", reason = "reason",
    response_trailers = "http.response.trailers", root_path = "root_path", scheme = "scheme",
    server = "server", spec_version = "spec_version", state = "state",
    status = "status", subprotocol = "subprotocol", subprotocols = "subprotocols", text = "text",
    trailers = "trailers", type_ = "type", version = "version",
    websocket = "websocket", websocket_connect = "websocket.connect", websocket_receive = "websocket.receive",
    websocket_disconnect = "websocket.disconnect", websocket_response = "websocket.http.response", ws = "ws",
    zerocopysend = "http.response.zerocopysend",
    client_disconnected = "ferricorn.client_disconnected", early_hints = "wsgi.early_hints", input = "wsgi.input",
    content_length = "CONTENT_LENGTH", transfer_encoding = "HTTP_TRANSFER_ENCODING",
    create_task = "create_task", throw = "throw", close = "close", cancel = "cancel",
}

/// Methods of RFC 9110 and 5789; others are made when they come.
const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT",
];

/// The strings of the common methods.
pub struct Methods([Py<PyString>; METHODS.len()]);

impl Methods {
    pub fn new(py: Python<'_>) -> Self {
        Self(METHODS.map(|name| PyString::intern(py, name).unbind()))
    }

    pub fn get<'py>(&self, py: Python<'py>, method: &[u8]) -> Bound<'py, PyString> {
        match METHODS.iter().position(|name| name.as_bytes() == method) {
            Some(index) => self.0[index].bind(py).clone(),
            // A token is ASCII, so this loses nothing.
            None => PyString::new(py, &String::from_utf8_lossy(method)),
        }
    }
}

/// Empty `bytes`, which Python shares anyway.
pub fn empty(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, b"")
}
