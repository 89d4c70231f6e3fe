//! Who erred, and what answers it.
//!
//! A [`Fault`] is the peer's: it carries the status that answers it, if anything does, a clause for
//! the log and the response body that never repeats what was sent, and a key to count it by. A [`Misuse`] is the
//! application's: it becomes an error of the call that made it. Neither says what happens to the
//! connection; that is the state machine's.

use std::fmt;

/// The table of the faults: each with the status that answers it (0: none does), the key under which it
/// is counted, and the clause that names it.
macro_rules! faults {
    ($($name:ident $status:literal $code:literal $reason:literal)*) => {
        /// Why a peer is refused: one variant for each reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($name,)*
        }

        impl Fault {
            /// Every fault, at its [`index`](Self::index).
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            fn row(self) -> (u16, &'static str, &'static str) {
                match self {
                    $(Self::$name => ($status, $code, $reason),)*
                }
            }
        }
    };
}

faults! {
    InvalidMethod 400 "invalid_method" "the method is not a token"
    MethodTooLong 501 "method_too_long" "the method is too long to be one that is known"
    ConnectMethod 501 "connect_method" "CONNECT is for proxies"
    InvalidTarget 400 "invalid_target" "the request target has a byte that no target may have"
    TargetForm 400 "target_form" "the form of the request target does not suit the method"
    TargetScheme 400 "target_scheme" "the scheme of the request target is not http or https"
    TargetAuthority 400 "target_authority"
        "the authority of the request target is not a host with an optional port"
    MissingVersion 400 "missing_version" "the request line has no HTTP version"
    InvalidVersion 400 "invalid_version" "the request line does not end in an HTTP version"
    UnsupportedVersion 505 "unsupported_version" "the HTTP version is not 1.0 or 1.1"
    RequestLineTooLong 414 "request_line_too_long" "the request line is too long"
    EmptyLines 400 "empty_lines" "too many empty lines stand before the request"
    HeadTooLarge 431 "head_too_large" "the request head is too large"
    TooManyFields 431 "too_many_fields" "the request head has too many fields"
    BareLf 400 "bare_lf" "a line ends in LF without CR"
    BareCr 400 "bare_cr" "a CR is not followed by LF"
    LeadingSpace 400 "leading_space" "whitespace stands before the first field"
    FoldedField 400 "folded_field" "a field is folded over two lines"
    InvalidFieldName 400 "invalid_field_name" "a field name is not a token"
    SpaceBeforeColon 400 "space_before_colon" "whitespace stands between a field name and its colon"
    MissingColon 400 "missing_colon" "a field line has no colon"
    InvalidFieldValue 400 "invalid_field_value" "a field value has a control character"
    MissingHost 400 "missing_host" "the Host field is missing"
    DuplicateHost 400 "duplicate_host" "the Host field is there more than once"
    InvalidHost 400 "invalid_host" "the Host field is not a host with an optional port"
    InvalidContentLength 400 "invalid_content_length" "the Content-Length field is not a number"
    ContentLengthTooLarge 413 "content_length_too_large"
        "the Content-Length field is too large a number"
    DuplicateContentLength 400 "duplicate_content_length"
        "the Content-Length field is there more than once"
    InvalidTransferEncoding 400 "invalid_transfer_encoding"
        "the Transfer-Encoding field is malformed, or chunked is not its last coding"
    UnsupportedTransferEncoding 501 "unsupported_transfer_encoding"
        "the Transfer-Encoding field names a coding that is not supported"
    DuplicateTransferEncoding 400 "duplicate_transfer_encoding"
        "the Transfer-Encoding field is there more than once"
    OldTransferEncoding 400 "old_transfer_encoding" "HTTP/1.0 has no Transfer-Encoding"
    LengthAndEncoding 400 "length_and_encoding"
        "Content-Length and Transfer-Encoding exclude each other"
    UnmetExpectation 417 "unmet_expectation" "the only expectation that can be met is 100-continue"
    InvalidWebSocketKey 400 "invalid_websocket_key"
        "the Sec-WebSocket-Key field is not there once with sixteen bytes in base64"
    WebSocketVersion 426 "websocket_version" "the version of the WebSocket protocol is not 13"
    InvalidSubprotocol 400 "invalid_subprotocol" "a WebSocket subprotocol is not a token"
    InvalidExtensions 400 "invalid_extensions" "the Sec-WebSocket-Extensions field is malformed"
    InvalidChunkSize 400 "invalid_chunk_size" "a chunk size is not a hexadecimal number"
    ChunkTooLarge 413 "chunk_too_large" "a chunk size has more than 16 digits"
    InvalidChunkExtension 400 "invalid_chunk_extension" "a chunk extension is malformed"
    ChunkExtensionsTooLarge 400 "chunk_extensions_too_large"
        "the chunk extensions of the body are too large"
    MissingChunkEnd 400 "missing_chunk_end" "chunk data is not followed by CRLF"
    TrailersTooLarge 431 "trailers_too_large" "the trailer section is too large"
    TooManyTrailers 431 "too_many_trailers" "the trailer section has too many fields"
    FramingTrailer 400 "framing_trailer" "a trailer field has the name of one that frames"
    HeadTimeout 408 "head_timeout" "the request head took too long"
    BodyTimeout 408 "body_timeout" "the request body took too long"
    ApplicationTimeout 504 "application_timeout" "the application took too long"
    Overloaded 503 "overloaded" "the server is at its limit"
    ProxyPeer 0 "proxy_peer" "the peer may not speak for others by the PROXY protocol"
    ProxyMissing 0 "proxy_missing" "the connection does not begin with a PROXY header"
    ProxyLine 0 "proxy_line" "the PROXY line is malformed"
    ProxyAddress 0 "proxy_address" "an address or a port in the PROXY line is invalid"
    ProxyCommand 0 "proxy_command" "the version or the command of the PROXY header is unknown"
    ProxyFamily 0 "proxy_family" "the PROXY header is for no TCP connection and no Unix stream"
    ProxyTooLong 0 "proxy_too_long" "the PROXY header is too long"
    ProxyTooShort 0 "proxy_too_short" "the PROXY header is too short for its addresses"
    ProxyExtension 0 "proxy_extension" "the extensions of the PROXY header do not fill its length"
    ProxyChecksum 0 "proxy_checksum" "the checksum of the PROXY header is wrong"
    ProxyTimeout 0 "proxy_timeout" "the PROXY header took too long"
}

impl Fault {
    /// The status of the response that refuses the peer; 0 where it gets none.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// Whether the connection is closed without a word: who speaks no HTTP yet is not answered in it.
    #[must_use]
    pub fn is_silent(self) -> bool {
        self.status() == 0
    }

    /// The key under which the fault is counted, in snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// One clause that names the fault to the peer and in the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.row().2
    }

    /// The place of the fault in [`ALL`](Self::ALL), for tables of counters.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}

/// What the application said, where that is what a [`Misuse`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Body,
    Trailers,
    Informational,
}

impl Verb {
    fn message(self) -> &'static str {
        match self {
            Self::Start => "http.response.start",
            Self::Body => "http.response.body",
            Self::Trailers => "http.response.trailers",
            Self::Informational => "http.response.early_hint",
        }
    }
}

/// What the application did wrong. The texts are those that applications meet elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// Before the response was started.
    StartExpected(Verb),
    /// After the response was started and before it ended.
    BodyExpected(Verb),
    /// After a body that is followed by trailers.
    TrailersExpected(Verb),
    /// After the response ended, or when nobody listens any more.
    Complete(Verb),
    /// A response status outside 200 to 599, or an informational one outside 102 to 199.
    InvalidStatus(u16),
    /// A phrase that is not one line of text (RFC 9112 section 4).
    InvalidReason,
    InvalidFieldName,
    InvalidFieldValue,
    InvalidContentLength,
    DuplicateContentLength,
    /// Any transfer coding but one `chunked`: the server frames, the application does not encode.
    InvalidTransferEncoding,
    /// A field that frames, routes or authenticates, where such a field has no effect or does harm.
    ForbiddenField,
    ContentTooLong,
    ContentTooShort,
    /// What only an open `WebSocket` can do.
    NotWebSocket,
    /// A close code that no close frame may carry.
    InvalidCloseCode(u16),
    InvalidSubprotocol,
    /// A subprotocol that the client did not offer, or a second one.
    UnexpectedSubprotocol,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = |f: &mut fmt::Formatter<'_>, expected: Verb, got: &Verb| {
            write!(
                f,
                "Expected ASGI message '{}', but got '{}'.",
                expected.message(),
                got.message()
            )
        };
        match self {
            Self::StartExpected(got) => expected(f, Verb::Start, got),
            Self::BodyExpected(got) => expected(f, Verb::Body, got),
            Self::TrailersExpected(got) => expected(f, Verb::Trailers, got),
            Self::Complete(got) => write!(
                f,
                "Unexpected ASGI message '{}' sent, after response already completed.",
                got.message()
            ),
            Self::InvalidReason => f.write_str("Invalid HTTP reason phrase."),
            Self::InvalidStatus(status) => write!(f, "Invalid HTTP status code {status}."),
            Self::InvalidFieldName => f.write_str("Invalid HTTP header name."),
            Self::InvalidFieldValue => f.write_str("Invalid HTTP header value."),
            Self::InvalidContentLength => f.write_str("Invalid Content-Length header."),
            Self::DuplicateContentLength => f.write_str("More than one Content-Length header."),
            Self::InvalidTransferEncoding => {
                f.write_str("The only transfer coding of a response is one 'chunked'.")
            }
            Self::ForbiddenField => f.write_str("This header is not allowed here."),
            Self::ContentTooLong => f.write_str("Response content longer than Content-Length"),
            Self::ContentTooShort => f.write_str("Response content shorter than Content-Length"),
            Self::NotWebSocket => f.write_str("There is no open WebSocket."),
            Self::InvalidCloseCode(code) => write!(f, "Invalid WebSocket close code {code}."),
            Self::InvalidSubprotocol => f.write_str("Invalid WebSocket subprotocol."),
            Self::UnexpectedSubprotocol => {
                f.write_str("The client did not offer this WebSocket subprotocol.")
            }
        }
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_fault_has_a_status_and_a_key_of_its_own() {
        for fault in Fault::ALL {
            assert!(fault.is_silent() || (400..600).contains(&fault.status()));
            assert!(
                fault
                    .code()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
        let codes: HashSet<_> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), Fault::ALL.len());
    }
}
