//! Who erred, and what answers it.
//!
//! A [`Fault`] is the peer's: it carries the status that answers it, if anything does, a clause for
//! the log and the response body that never repeats what was sent, and a key to count it by. A [`Misuse`] is the
//! application's: it becomes an error of the call that made it. Neither says what happens to the
//! connection; that is the state machine's.

use std::fmt;

/// Why a peer is refused: one variant for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    InvalidMethod,
    MethodTooLong,
    ConnectMethod,
    InvalidTarget,
    TargetForm,
    TargetScheme,
    TargetAuthority,
    MissingVersion,
    InvalidVersion,
    UnsupportedVersion,
    RequestLineTooLong,
    EmptyLines,
    HeadTooLarge,
    TooManyFields,
    BareLf,
    BareCr,
    LeadingSpace,
    FoldedField,
    InvalidFieldName,
    SpaceBeforeColon,
    MissingColon,
    InvalidFieldValue,
    MissingHost,
    DuplicateHost,
    InvalidHost,
    InvalidContentLength,
    ContentLengthTooLarge,
    DuplicateContentLength,
    InvalidTransferEncoding,
    UnsupportedTransferEncoding,
    DuplicateTransferEncoding,
    OldTransferEncoding,
    LengthAndEncoding,
    UnmetExpectation,
    InvalidWebSocketKey,
    WebSocketVersion,
    InvalidSubprotocol,
    InvalidExtensions,
    InvalidChunkSize,
    ChunkTooLarge,
    InvalidChunkExtension,
    ChunkExtensionsTooLarge,
    MissingChunkEnd,
    TrailersTooLarge,
    TooManyTrailers,
    FramingTrailer,
    HeadTimeout,
    BodyTimeout,
    ApplicationTimeout,
    Overloaded,
    ProxyPeer,
    ProxyMissing,
    ProxyLine,
    ProxyAddress,
    ProxyCommand,
    ProxyFamily,
    ProxyTooLong,
    ProxyTooShort,
    ProxyExtension,
    ProxyChecksum,
    ProxyTimeout,
}

impl Fault {
    /// Every fault, at its [`index`](Self::index).
    pub const ALL: &[Self] = &[
        Self::InvalidMethod,
        Self::MethodTooLong,
        Self::ConnectMethod,
        Self::InvalidTarget,
        Self::TargetForm,
        Self::TargetScheme,
        Self::TargetAuthority,
        Self::MissingVersion,
        Self::InvalidVersion,
        Self::UnsupportedVersion,
        Self::RequestLineTooLong,
        Self::EmptyLines,
        Self::HeadTooLarge,
        Self::TooManyFields,
        Self::BareLf,
        Self::BareCr,
        Self::LeadingSpace,
        Self::FoldedField,
        Self::InvalidFieldName,
        Self::SpaceBeforeColon,
        Self::MissingColon,
        Self::InvalidFieldValue,
        Self::MissingHost,
        Self::DuplicateHost,
        Self::InvalidHost,
        Self::InvalidContentLength,
        Self::ContentLengthTooLarge,
        Self::DuplicateContentLength,
        Self::InvalidTransferEncoding,
        Self::UnsupportedTransferEncoding,
        Self::DuplicateTransferEncoding,
        Self::OldTransferEncoding,
        Self::LengthAndEncoding,
        Self::UnmetExpectation,
        Self::InvalidWebSocketKey,
        Self::WebSocketVersion,
        Self::InvalidSubprotocol,
        Self::InvalidExtensions,
        Self::InvalidChunkSize,
        Self::ChunkTooLarge,
        Self::InvalidChunkExtension,
        Self::ChunkExtensionsTooLarge,
        Self::MissingChunkEnd,
        Self::TrailersTooLarge,
        Self::TooManyTrailers,
        Self::FramingTrailer,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::ApplicationTimeout,
        Self::Overloaded,
        Self::ProxyPeer,
        Self::ProxyMissing,
        Self::ProxyLine,
        Self::ProxyAddress,
        Self::ProxyCommand,
        Self::ProxyFamily,
        Self::ProxyTooLong,
        Self::ProxyTooShort,
        Self::ProxyExtension,
        Self::ProxyChecksum,
        Self::ProxyTimeout,
    ];

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

    #[expect(clippy::too_many_lines, reason = "a table: one row for each fault")]
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidMethod => (400, "invalid_method", "the method is not a token"),
            Self::MethodTooLong => (
                501,
                "method_too_long",
                "the method is too long to be one that is known",
            ),
            Self::ConnectMethod => (501, "connect_method", "CONNECT is for proxies"),
            Self::InvalidTarget => (
                400,
                "invalid_target",
                "the request target has a byte that no target may have",
            ),
            Self::TargetForm => (
                400,
                "target_form",
                "the form of the request target does not suit the method",
            ),
            Self::TargetScheme => (
                400,
                "target_scheme",
                "the scheme of the request target is not http or https",
            ),
            Self::TargetAuthority => (
                400,
                "target_authority",
                "the authority of the request target is not a host with an optional port",
            ),
            Self::MissingVersion => (
                400,
                "missing_version",
                "the request line has no HTTP version",
            ),
            Self::InvalidVersion => (
                400,
                "invalid_version",
                "the request line does not end in an HTTP version",
            ),
            Self::UnsupportedVersion => (
                505,
                "unsupported_version",
                "the HTTP version is not 1.0 or 1.1",
            ),
            Self::RequestLineTooLong => {
                (414, "request_line_too_long", "the request line is too long")
            }
            Self::EmptyLines => (
                400,
                "empty_lines",
                "too many empty lines stand before the request",
            ),
            Self::HeadTooLarge => (431, "head_too_large", "the request head is too large"),
            Self::TooManyFields => (
                431,
                "too_many_fields",
                "the request head has too many fields",
            ),
            Self::BareLf => (400, "bare_lf", "a line ends in LF without CR"),
            Self::BareCr => (400, "bare_cr", "a CR is not followed by LF"),
            Self::LeadingSpace => (
                400,
                "leading_space",
                "whitespace stands before the first field",
            ),
            Self::FoldedField => (400, "folded_field", "a field is folded over two lines"),
            Self::InvalidFieldName => (400, "invalid_field_name", "a field name is not a token"),
            Self::SpaceBeforeColon => (
                400,
                "space_before_colon",
                "whitespace stands between a field name and its colon",
            ),
            Self::MissingColon => (400, "missing_colon", "a field line has no colon"),
            Self::InvalidFieldValue => (
                400,
                "invalid_field_value",
                "a field value has a control character",
            ),
            Self::MissingHost => (400, "missing_host", "the Host field is missing"),
            Self::DuplicateHost => (
                400,
                "duplicate_host",
                "the Host field is there more than once",
            ),
            Self::InvalidHost => (
                400,
                "invalid_host",
                "the Host field is not a host with an optional port",
            ),
            Self::InvalidContentLength => (
                400,
                "invalid_content_length",
                "the Content-Length field is not a number",
            ),
            Self::ContentLengthTooLarge => (
                413,
                "content_length_too_large",
                "the Content-Length field is too large a number",
            ),
            Self::DuplicateContentLength => (
                400,
                "duplicate_content_length",
                "the Content-Length field is there more than once",
            ),
            Self::InvalidTransferEncoding => (
                400,
                "invalid_transfer_encoding",
                "the Transfer-Encoding field is malformed, or chunked is not its last coding",
            ),
            Self::UnsupportedTransferEncoding => (
                501,
                "unsupported_transfer_encoding",
                "the Transfer-Encoding field names a coding that is not supported",
            ),
            Self::DuplicateTransferEncoding => (
                400,
                "duplicate_transfer_encoding",
                "the Transfer-Encoding field is there more than once",
            ),
            Self::OldTransferEncoding => (
                400,
                "old_transfer_encoding",
                "HTTP/1.0 has no Transfer-Encoding",
            ),
            Self::LengthAndEncoding => (
                400,
                "length_and_encoding",
                "Content-Length and Transfer-Encoding exclude each other",
            ),
            Self::UnmetExpectation => (
                417,
                "unmet_expectation",
                "the only expectation that can be met is 100-continue",
            ),
            Self::InvalidWebSocketKey => (
                400,
                "invalid_websocket_key",
                "the Sec-WebSocket-Key field is not there once with sixteen bytes in base64",
            ),
            Self::WebSocketVersion => (
                426,
                "websocket_version",
                "the version of the WebSocket protocol is not 13",
            ),
            Self::InvalidSubprotocol => (
                400,
                "invalid_subprotocol",
                "a WebSocket subprotocol is not a token",
            ),
            Self::InvalidExtensions => (
                400,
                "invalid_extensions",
                "the Sec-WebSocket-Extensions field is malformed",
            ),
            Self::InvalidChunkSize => (
                400,
                "invalid_chunk_size",
                "a chunk size is not a hexadecimal number",
            ),
            Self::ChunkTooLarge => (
                413,
                "chunk_too_large",
                "a chunk size has more than 16 digits",
            ),
            Self::InvalidChunkExtension => (
                400,
                "invalid_chunk_extension",
                "a chunk extension is malformed",
            ),
            Self::ChunkExtensionsTooLarge => (
                400,
                "chunk_extensions_too_large",
                "the chunk extensions of the body are too large",
            ),
            Self::MissingChunkEnd => (
                400,
                "missing_chunk_end",
                "chunk data is not followed by CRLF",
            ),
            Self::TrailersTooLarge => (
                431,
                "trailers_too_large",
                "the trailer section is too large",
            ),
            Self::TooManyTrailers => (
                431,
                "too_many_trailers",
                "the trailer section has too many fields",
            ),
            Self::FramingTrailer => (
                400,
                "framing_trailer",
                "a trailer field has the name of one that frames",
            ),
            Self::HeadTimeout => (408, "head_timeout", "the request head took too long"),
            Self::BodyTimeout => (408, "body_timeout", "the request body took too long"),
            Self::ApplicationTimeout => {
                (504, "application_timeout", "the application took too long")
            }
            Self::Overloaded => (503, "overloaded", "the server is at its limit"),
            Self::ProxyPeer => (
                0,
                "proxy_peer",
                "the peer may not speak for others by the PROXY protocol",
            ),
            Self::ProxyMissing => (
                0,
                "proxy_missing",
                "the connection does not begin with a PROXY header",
            ),
            Self::ProxyLine => (0, "proxy_line", "the PROXY line is malformed"),
            Self::ProxyAddress => (
                0,
                "proxy_address",
                "an address or a port in the PROXY line is invalid",
            ),
            Self::ProxyCommand => (
                0,
                "proxy_command",
                "the version or the command of the PROXY header is unknown",
            ),
            Self::ProxyFamily => (
                0,
                "proxy_family",
                "the PROXY header is for no TCP connection and no Unix stream",
            ),
            Self::ProxyTooLong => (0, "proxy_too_long", "the PROXY header is too long"),
            Self::ProxyTooShort => (
                0,
                "proxy_too_short",
                "the PROXY header is too short for its addresses",
            ),
            Self::ProxyExtension => (
                0,
                "proxy_extension",
                "the extensions of the PROXY header do not fill its length",
            ),
            Self::ProxyChecksum => (
                0,
                "proxy_checksum",
                "the checksum of the PROXY header is wrong",
            ),
            Self::ProxyTimeout => (0, "proxy_timeout", "the PROXY header took too long"),
        }
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
    fn every_fault_is_listed_at_its_index_under_a_key_of_its_own() {
        for (index, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault.index(), index);
            assert!(fault.is_silent() || (400..600).contains(&fault.status()));
            assert!(
                fault
                    .code()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
        let last = Fault::ProxyTimeout;
        assert_eq!(last.index() + 1, Fault::ALL.len());
        let codes: HashSet<_> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), Fault::ALL.len());
    }
}
