//! A request head as an ASGI scope.
//!
//! Everything that is the same for each request stands in a template, which is copied. What differs
//! is made once and kept where clients repeat it: header lines in a bounded memo (a browser and a
//! proxy send the same ones with each request), addresses for each connection.

use std::net::{IpAddr, SocketAddr};

use ferricorn_engine::Address;
use ferricorn_proto::{Field, RequestHead, Upgrade, Version, ws};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMappingProxy, PyString, PyTuple};

use crate::memo::Memo;
use crate::names::{Methods, Names, empty};

/// What the floor above says of all scopes.
pub struct Outline<'py> {
    pub state: Bound<'py, PyDict>,
    /// Comes before the paths of requests.
    pub root_path: String,
    /// Where in them the application is mounted.
    pub mount: String,
    pub asgi_version: String,
    /// The event of the extension `ferricorn.drain`.
    pub drain: Option<Bound<'py, PyAny>>,
}

pub struct Scopes {
    template: Py<PyDict>,
    asgi: Py<PyDict>,
    extensions: Py<PyDict>,
    /// What stands for these three in the scope of a WebSocket.
    socket: SocketParts,
    state: Py<PyDict>,
    root_path: String,
    methods: Methods,
    memo: Memo<Py<PyTuple>>,
}

struct SocketParts {
    template: Py<PyDict>,
    asgi: Py<PyDict>,
    extensions: Py<PyDict>,
}

/// Both ends of a connection as scopes show them.
pub struct Ends {
    pub client: Py<PyAny>,
    pub server: Py<PyAny>,
}

/// A request, where it was read.
#[derive(Clone, Copy)]
pub struct Arrived<'a> {
    pub head: &'a RequestHead,
    pub fields: &'a [Field],
    /// What the spans count in.
    pub input: &'a [u8],
}

impl Arrived<'_> {
    /// Whether a header is one that a proxy adds. Names are in lower case.
    pub fn is_forwarded(&self) -> bool {
        self.fields.iter().any(|field| {
            let name = field.name.of(self.input);
            name.starts_with(b"x-forwarded-") || name == b"forwarded"
        })
    }
}

impl Scopes {
    pub fn new(py: Python<'_>, names: &Names, outline: Outline<'_>) -> PyResult<Self> {
        let asgi = PyDict::new(py);
        asgi.set_item(&names.version, outline.asgi_version)?;
        asgi.set_item(&names.spec_version, "2.3")?;
        let socket_asgi = asgi.copy()?;
        socket_asgi.set_item(&names.spec_version, "2.4")?;
        let template = PyDict::new(py);
        template.set_item(&names.type_, &names.http)?;
        template.set_item(&names.asgi, py.None())?;
        template.set_item(&names.http_version, &names.http_11)?;
        template.set_item(&names.server, py.None())?;
        template.set_item(&names.client, py.None())?;
        template.set_item(&names.scheme, &names.http)?;
        template.set_item(&names.method, "GET")?;
        let mounted = format!("{}{}", outline.root_path, outline.mount);
        template.set_item(&names.root_path, mounted)?;
        template.set_item(&names.path, py.None())?;
        template.set_item(&names.raw_path, py.None())?;
        template.set_item(&names.query_string, empty(py))?;
        template.set_item(&names.headers, py.None())?;
        template.set_item(&names.state, py.None())?;
        template.set_item(&names.extensions, py.None())?;
        let socket_template = template.copy()?;
        socket_template.set_item(&names.type_, &names.websocket)?;
        socket_template.set_item(&names.scheme, &names.ws)?;
        socket_template.del_item(&names.method)?;
        socket_template.set_item(&names.subprotocols, py.None())?;
        let socket_extensions = PyDict::new(py);
        let nothing = PyMappingProxy::new(py, PyDict::new(py).as_mapping());
        socket_extensions.set_item(&names.websocket_response, nothing)?;
        Ok(Self {
            socket: SocketParts {
                template: socket_template.unbind(),
                asgi: socket_asgi.unbind(),
                extensions: socket_extensions.unbind(),
            },
            template: template.unbind(),
            asgi: asgi.unbind(),
            extensions: extensions(py, names, outline.drain)?.unbind(),
            state: outline.state.unbind(),
            root_path: outline.root_path,
            methods: Methods::new(py),
            memo: Memo::new(),
        })
    }

    /// The scope of one request.
    pub fn make<'py>(
        &mut self,
        py: Python<'py>,
        names: &Names,
        ends: &Ends,
        request: Arrived<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let Arrived {
            head,
            fields,
            input,
        } = request;
        let socket = head.upgrade == Upgrade::WebSocket;
        let (template, asgi, extensions) = if socket {
            let SocketParts {
                template,
                asgi,
                extensions,
            } = &self.socket;
            (template, asgi, extensions)
        } else {
            (&self.template, &self.asgi, &self.extensions)
        };
        let scope = template.bind(py).copy()?;
        scope.set_item(&names.asgi, asgi.bind(py).copy()?)?;
        let extensions = extensions.bind(py).copy()?;
        if socket {
            let offered = ws::subprotocols(fields, input).map(String::from_utf8_lossy);
            scope.set_item(
                &names.subprotocols,
                PyList::new(py, offered.collect::<Vec<_>>())?,
            )?;
        }
        if head.version == Version::Http10 {
            scope.set_item(&names.http_version, &names.http_10)?;
        }
        scope.set_item(&names.client, &ends.client)?;
        scope.set_item(&names.server, &ends.server)?;
        let method = head.method.of(input);
        if method != b"GET" && !socket {
            scope.set_item(&names.method, self.methods.get(py, method))?;
        }
        let target = head.path.of(input);
        if self.root_path.is_empty() {
            scope.set_item(&names.path, decoded_path(py, target))?;
            scope.set_item(&names.raw_path, PyBytes::new(py, target))?;
        } else {
            let path = format!("{}{}", self.root_path, decoded_path(py, target));
            let raw_path = [self.root_path.as_bytes(), target].concat();
            scope.set_item(&names.path, path)?;
            scope.set_item(&names.raw_path, PyBytes::new(py, &raw_path))?;
        }
        let query = head.query.of(input);
        if !query.is_empty() {
            scope.set_item(&names.query_string, PyBytes::new(py, query))?;
        }
        let mut failed = None;
        let headers = PyList::new(
            py,
            fields.iter().map(|field| {
                let (name, value) = (field.name.of(input), field.value.of(input));
                let make = || {
                    let line = [PyBytes::new(py, name), PyBytes::new(py, value)];
                    PyTuple::new(py, line).map(Bound::unbind)
                };
                let give = |line: &Py<PyTuple>| line.bind(py).clone();
                let line = self.memo.line(name, value, make, give);
                line.map_err(|error| failed = Some(error)).ok()
            }),
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        scope.set_item(&names.headers, headers)?;
        scope.set_item(&names.state, self.state.bind(py).copy()?)?;
        scope.set_item(&names.extensions, extensions)?;
        Ok(scope)
    }
}

/// A path as text: percent-encoding undone once, bytes that are not UTF-8 replaced. Dot segments
/// and empty segments stay: what they mean is the application's to say.
fn decoded_path<'py>(py: Python<'py>, path: &[u8]) -> Bound<'py, PyString> {
    if !path.contains(&b'%') {
        // A parsed target is ASCII.
        return PyString::new(py, str::from_utf8(path).unwrap_or_default());
    }
    PyString::new(py, &String::from_utf8_lossy(&percent_decoded(path)))
}

/// Percent-encoding undone once.
pub fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

impl Ends {
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            client: self.client.clone_ref(py),
            server: self.server.clone_ref(py),
        }
    }

    /// The `client` and `server` of scopes: host and port, a Unix socket's path, or `None`.
    pub fn new(py: Python<'_>, peer: &Address, local: &Address) -> PyResult<Self> {
        let client = match peer {
            Address::Inet(address) => host_and_port(py, address)?,
            Address::Unix(_) | Address::Host => py.None(),
        };
        let server = match local {
            Address::Inet(address) => host_and_port(py, address)?,
            Address::Unix(Some(path)) => (path.as_path().as_os_str(), py.None())
                .into_pyobject(py)?
                .into_any()
                .unbind(),
            Address::Unix(None) | Address::Host => py.None(),
        };
        Ok(Self { client, server })
    }

    /// Who has opened a connection that the event loop made, as far as its transport can say.
    pub fn peer(&self, py: Python<'_>) -> Address {
        if let Ok((host, port)) = self.client.extract::<(String, u16)>(py) {
            // Without the interface that a link-local address is on.
            let host = host.split('%').next().unwrap_or_default();
            let address = host.parse::<IpAddr>();
            return address.map_or(Address::Host, |ip| Address::Inet((ip, port).into()));
        }
        // A peer that is gone has no address either, but our end of its connection has a port.
        match self.server.bind(py).get_item(1) {
            Ok(port) if !port.is_none() => Address::Host,
            _ => Address::Unix(None),
        }
    }

    /// The ends of a connection that the event loop made.
    ///
    /// # Errors
    /// If the transport cannot say.
    pub fn of_transport(transport: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = transport.py();
        let end = |which: &str| -> PyResult<Py<PyAny>> {
            let address = transport.call_method1("get_extra_info", (which,))?;
            // Host and port first, further items for IPv6; a Unix socket's path, maybe empty.
            if let Ok(tuple) = address.cast::<PyTuple>() {
                return Ok(tuple.get_slice(0, 2).into_any().unbind());
            }
            if which == "sockname" && address.is_truthy()? {
                return Ok((address, py.None()).into_pyobject(py)?.into_any().unbind());
            }
            Ok(py.None())
        };
        Ok(Self {
            client: end("peername")?,
            server: end("sockname")?,
        })
    }
}

/// Adds a header to a scope's.
///
/// # Errors
/// If Python is out of memory.
pub fn add_header(
    names: &Names,
    scope: &Bound<'_, PyDict>,
    name: &[u8],
    value: &[u8],
) -> PyResult<()> {
    let py = scope.py();
    let line = PyTuple::new(py, [PyBytes::new(py, name), PyBytes::new(py, value)])?;
    match scope.get_item(&names.headers)? {
        Some(headers) => headers.cast::<PyList>()?.append(line),
        None => Ok(()),
    }
}

/// A host's address and a port, as scopes show them.
///
/// # Errors
/// If Python is out of memory.
pub fn host_and_port(py: Python<'_>, address: &SocketAddr) -> PyResult<Py<PyAny>> {
    let pair = (address.ip().to_string(), address.port());
    Ok(pair.into_pyobject(py)?.into_any().unbind())
}

/// What is offered to applications, to be copied for each scope. What there is to say of an extension
/// cannot be written into: it is the same for all requests.
fn extensions<'py>(
    py: Python<'py>,
    names: &Names,
    drain: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let nothing = PyMappingProxy::new(py, PyDict::new(py).as_mapping());
    let extensions = PyDict::new(py);
    // Not `http.response.debug`: that is for test clients, and applications work for it.
    for name in [
        &names.pathsend,
        &names.zerocopysend,
        &names.response_trailers,
        &names.early_hint,
    ] {
        extensions.set_item(name, &nothing)?;
    }
    if let Some(event) = drain {
        let drain = PyDict::new(py);
        drain.set_item("event", event)?;
        let drain = PyMappingProxy::new(py, drain.as_mapping());
        extensions.set_item("ferricorn.drain", drain)?;
    }
    Ok(extensions)
}
