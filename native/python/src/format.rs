//! How an exchange's line in the access log looks: the user's text, or an object of JSON.
//!
//! The floor above takes the user's text apart, into what stays the same and atoms; JSON's `message`
//! is made of them too. Each atom is written in one place, from the record and its scope. Whatever the
//! application has put into the scope, a line comes out: what is missing or strange is `-`.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use ferricorn_proto::{Field, encode::decimal};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};

use crate::names::Names;
use crate::record::Record;
use crate::text;

/// The header that carries a request's id.
pub const REQUEST_ID: &[u8] = b"x-request-id";
/// A longer id of a client's is replaced: logs are kept, and searched, for long.
const LONGEST_ID: usize = 128;

/// As the floor above describes it.
#[derive(FromPyObject)]
pub struct Layout {
    #[pyo3(attribute("segments"))]
    segments: Vec<Piece>,
    #[pyo3(attribute("json"))]
    json: bool,
    /// What this process's request ids begin with.
    #[pyo3(attribute("prefix"))]
    prefix: String,
}

#[derive(FromPyObject)]
enum Piece {
    Text(Vec<u8>),
    /// A name, and what is between braces.
    Atom(String, String),
}

pub struct Format {
    segments: Vec<Segment>,
    json: bool,
    /// Those of the response that the line shows.
    pub headers: Vec<Vec<u8>>,
    /// The line shows the request's id, so each request has one.
    identifies: bool,
    prefix: String,
    count: AtomicU64,
}

enum Segment {
    Text(Vec<u8>),
    Atom(Atom),
}

#[derive(PartialEq, Eq)]
enum Atom {
    Client,
    /// With the port, as uvicorn has it.
    ClientAddress,
    Peer,
    User,
    Date,
    RequestLine,
    Method,
    Path,
    Query,
    /// Path and query, quoted as uvicorn has them.
    Target,
    Protocol,
    Status,
    Bytes,
    BytesIfAny,
    Seconds,
    Millis,
    Micros,
    Decimal,
    RequestHeader(Vec<u8>),
    ResponseHeader(Vec<u8>),
    RequestId,
}

impl Atom {
    fn named(name: &str, argument: String) -> Option<Self> {
        Some(match name {
            "h" => Self::Client,
            "client_addr" => Self::ClientAddress,
            "peer" => Self::Peer,
            "u" => Self::User,
            "t" => Self::Date,
            "r" => Self::RequestLine,
            "m" => Self::Method,
            "U" => Self::Path,
            "q" => Self::Query,
            "target" => Self::Target,
            "H" => Self::Protocol,
            "s" => Self::Status,
            "B" => Self::Bytes,
            "b" => Self::BytesIfAny,
            "T" => Self::Seconds,
            "M" => Self::Millis,
            "D" => Self::Micros,
            "L" => Self::Decimal,
            "i" => Self::RequestHeader(argument.into_bytes()),
            "o" => Self::ResponseHeader(argument.into_bytes()),
            "request_id" => Self::RequestId,
            _ => return None,
        })
    }
}

/// The id of a request.
pub struct RequestId {
    pub value: Vec<u8>,
    /// The client gave it; else the request's own, if it has any, are to go.
    pub given: bool,
}

impl Format {
    /// # Errors
    /// For an atom that nobody knows.
    pub fn new(layout: Layout) -> PyResult<Self> {
        let segment = |piece| match piece {
            Piece::Text(text) => Ok(Segment::Text(text)),
            Piece::Atom(name, argument) => Atom::named(&name, argument)
                .map(Segment::Atom)
                .ok_or_else(|| PyValueError::new_err(format!("there is no atom {name:?}"))),
        };
        let segments = layout.segments.into_iter().map(segment);
        let segments = segments.collect::<PyResult<Vec<_>>>()?;
        let shows_id = |segment: &Segment| matches!(segment, Segment::Atom(Atom::RequestId));
        let header = |segment: &Segment| match segment {
            Segment::Atom(Atom::ResponseHeader(name)) => Some(name.clone()),
            _ => None,
        };
        Ok(Self {
            headers: segments.iter().filter_map(header).collect(),
            identifies: layout.json || segments.iter().any(shows_id),
            segments,
            json: layout.json,
            prefix: layout.prefix,
            count: AtomicU64::new(0),
        })
    }

    /// Says in a line of this format that so many others are missing.
    pub fn lost(&self) -> fn(u64, &mut Vec<u8>) {
        if self.json { lost_json } else { lost_text }
    }

    /// The id of a request, where lines show it.
    pub fn request_id(&self, fields: &[Field], input: &[u8]) -> Option<RequestId> {
        if !self.identifies {
            return None;
        }
        let mut given = fields.iter().filter(|field| is_request_id(field, input));
        // Of two that differ, applications would take either.
        if let (Some(field), None) = (given.next(), given.next()) {
            let value = field.value.of(input);
            let usable =
                (1..=LONGEST_ID).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
            if usable {
                let value = value.to_vec();
                return Some(RequestId { value, given: true });
            }
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Some(RequestId {
            value: format!("{}{number:08x}", self.prefix).into_bytes(),
            given: false,
        })
    }

    /// Whether lines show this header of the response.
    pub fn shows(&self, header: &[u8]) -> bool {
        let mut shown = self.headers.iter();
        shown.any(|name| name.eq_ignore_ascii_case(header))
    }

    /// Appends the line, without its end. Runs no Python code.
    pub fn line(&self, py: Python<'_>, names: &Names, record: &Record, out: &mut Vec<u8>) {
        let view = View {
            scope: record.scope.bind(py),
            names,
            record,
            micros: u64::try_from(record.start.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        if self.json {
            let mut message = Vec::new();
            view.text(&self.segments, &mut message);
            view.json(&String::from_utf8_lossy(&message), out);
        } else {
            view.text(&self.segments, out);
        }
    }
}

pub fn is_request_id(field: &Field, input: &[u8]) -> bool {
    field.name.of(input) == REQUEST_ID
}

/// Says that lines are missing.
pub fn lost_text(count: u64, out: &mut Vec<u8>) {
    let _ = writeln!(
        out,
        "({count} lines of the access log were lost: it was not read)"
    );
}

fn lost_json(count: u64, out: &mut Vec<u8>) {
    begin_json("WARNING", out);
    let message = format!("{count} lines of the access log were lost: it was not read");
    text::json(&message, out);
    out.extend_from_slice(b"}\n");
}

/// What each object begins with, up to the message.
fn begin_json(level: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    text::date(SystemTime::now(), out);
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(level.as_bytes());
    out.extend_from_slice(b"\",\"logger\":\"uvicorn.access\",\"message\":");
}

/// An exchange that is over, to be written about.
struct View<'a, 'py> {
    scope: &'a Bound<'py, PyDict>,
    names: &'a Names,
    record: &'a Record,
    micros: u64,
}

impl<'py> View<'_, 'py> {
    fn text(&self, segments: &[Segment], out: &mut Vec<u8>) {
        for segment in segments {
            match segment {
                Segment::Text(text) => out.extend_from_slice(text),
                Segment::Atom(atom) => {
                    self.atom(atom, out);
                }
            }
        }
    }

    fn atom(&self, atom: &Atom, out: &mut Vec<u8>) {
        let (names, record) = (self.names, self.record);
        match atom {
            Atom::Client => self.client(|host, _| text::escape(host.as_bytes(), out)),
            Atom::Peer => self.peer(|host| text::escape(host.as_bytes(), out)),
            Atom::ClientAddress => self.client(|host, port| {
                if let Some(port) = port {
                    text::escape(host.as_bytes(), out);
                    out.push(b':');
                    decimal(out, port.into());
                }
            }),
            Atom::User => {
                let user = self.header(b"authorization");
                let user = user.and_then(|value| text::user(value.as_bytes()));
                text::escape(&user.unwrap_or_default(), out);
            }
            Atom::Date => text::common_date(SystemTime::now(), out),
            Atom::RequestLine => {
                self.string(&names.method, |method| text::escape(method.as_bytes(), out));
                out.push(b' ');
                text::escape(octets(self.bytes(&names.raw_path).as_ref()), out);
                self.question(out);
                out.push(b' ');
                self.protocol(out);
            }
            Atom::Method => {
                self.string(&names.method, |method| text::escape(method.as_bytes(), out));
            }
            Atom::Path => self.string(&names.path, |path| text::escape(path.as_bytes(), out)),
            Atom::Query => text::escape(octets(self.bytes(&names.query_string).as_ref()), out),
            Atom::Target => {
                self.string(&names.path, |path| text::quote(path, out));
                self.question(out);
            }
            Atom::Protocol => self.protocol(out),
            Atom::Status => decimal(out, record.status().into()),
            Atom::BytesIfAny if record.bytes == 0 => out.push(b'-'),
            Atom::Bytes | Atom::BytesIfAny => decimal(out, record.bytes),
            Atom::Seconds => decimal(out, self.micros / 1_000_000),
            Atom::Millis => decimal(out, self.micros / 1000),
            Atom::Micros => decimal(out, self.micros),
            Atom::Decimal => {
                // To a vector, which takes everything.
                let _ = write!(
                    out,
                    "{}.{:06}",
                    self.micros / 1_000_000,
                    self.micros % 1_000_000
                );
            }
            Atom::RequestHeader(name) => text::escape(octets(self.header(name).as_ref()), out),
            Atom::ResponseHeader(name) => {
                let mut headers = record.headers.iter();
                let header = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
                text::escape(header.map_or(&[], |(_, value)| value), out);
            }
            Atom::RequestId => text::escape(record.request_id.as_deref().unwrap_or_default(), out),
        }
    }

    fn json(&self, message: &str, out: &mut Vec<u8>) {
        let (names, record) = (self.names, self.record);
        begin_json("INFO", out);
        text::json(message, out);
        out.extend_from_slice(b",\"client\":");
        self.client(|host, _| json_if_any(host, out));
        out.extend_from_slice(b",\"peer\":");
        self.peer(|host| json_if_any(host, out));
        out.extend_from_slice(b",\"method\":");
        self.string(&names.method, |method| text::json(method, out));
        out.extend_from_slice(b",\"path\":");
        self.string(&names.path, |path| text::json(path, out));
        out.extend_from_slice(b",\"query\":");
        let query = self.bytes(&names.query_string);
        text::json(&String::from_utf8_lossy(octets(query.as_ref())), out);
        out.extend_from_slice(b",\"http_version\":");
        self.string(&names.http_version, |version| text::json(version, out));
        out.extend_from_slice(b",\"status\":");
        decimal(out, record.status().into());
        out.extend_from_slice(b",\"bytes\":");
        decimal(out, record.bytes);
        let _ = write!(
            out,
            ",\"duration_ms\":{}.{:03},\"request_id\":",
            self.micros / 1000,
            self.micros % 1000
        );
        let request_id = record.request_id.as_deref().unwrap_or_default();
        text::json(&String::from_utf8_lossy(request_id), out);
        out.push(b'}');
    }

    fn item(&self, name: &Py<PyString>) -> Option<Bound<'py, PyAny>> {
        self.scope.get_item(name).ok().flatten()
    }

    /// Shows a string of the scope's, an empty one for anything else.
    fn string(&self, name: &Py<PyString>, show: impl FnOnce(&str)) {
        with_string(self.item(name).as_ref(), show);
    }

    fn bytes(&self, name: &Py<PyString>) -> Option<Bound<'py, PyBytes>> {
        self.item(name)?.cast_into_exact::<PyBytes>().ok()
    }

    /// The last of the request's headers with this name, as in gunicorn.
    fn header(&self, name: &[u8]) -> Option<Bound<'py, PyBytes>> {
        let headers = self.item(&self.names.headers)?;
        let headers = headers.cast_exact::<PyList>().ok()?;
        let mut found = None;
        for line in headers.iter() {
            if let Ok(line) = line.cast_exact::<PyTuple>()
                && let (Ok(key), Ok(value)) = (line.get_item(0), line.get_item(1))
                && let (Ok(key), Ok(value)) = (
                    key.cast_exact::<PyBytes>(),
                    value.cast_into_exact::<PyBytes>(),
                )
                && key.as_bytes() == name
            {
                found = Some(value);
            }
        }
        found
    }

    fn client(&self, show: impl FnOnce(&str, Option<u16>)) {
        with_end(self.item(&self.names.client).as_ref(), show);
    }

    fn peer(&self, show: impl FnOnce(&str)) {
        let peer = self.record.peer.bind(self.scope.py());
        with_end(Some(peer), |host, _| show(host));
    }

    fn question(&self, out: &mut Vec<u8>) {
        if let Some(query) = self.bytes(&self.names.query_string)
            && !query.as_bytes().is_empty()
        {
            out.push(b'?');
            text::escape(query.as_bytes(), out);
        }
    }

    fn protocol(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/");
        let version = &self.names.http_version;
        self.string(version, |version| text::escape(version.as_bytes(), out));
    }
}

fn octets<'a>(bytes: Option<&'a Bound<'_, PyBytes>>) -> &'a [u8] {
    bytes.map_or(&[], |bytes| bytes.as_bytes())
}

fn json_if_any(value: &str, out: &mut Vec<u8>) {
    if value.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        text::json(value, out);
    }
}

fn with_string(value: Option<&Bound<'_, PyAny>>, show: impl FnOnce(&str)) {
    match value.map(|value| value.cast_exact::<PyString>()) {
        Some(Ok(text)) => show(&text.to_string_lossy()),
        _ => show(""),
    }
}

/// Shows host and port of one end of a connection; nothing of a Unix socket's.
fn with_end(address: Option<&Bound<'_, PyAny>>, show: impl FnOnce(&str, Option<u16>)) {
    let Some(Ok(address)) = address.map(|address| address.cast_exact::<PyTuple>()) else {
        return show("", None);
    };
    let port = address.get_item(1).ok();
    let port = port.and_then(|port| port.cast_exact::<PyInt>().ok()?.extract().ok());
    with_string(address.get_item(0).ok().as_ref(), |host| show(host, port));
}
