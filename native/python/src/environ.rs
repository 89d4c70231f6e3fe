//! A request head as a WSGI environ (PEP 3333).
//!
//! As with scopes, what is the same for each request stands in a template, and header lines that clients
//! repeat are made once. Text is what PEP 3333 calls native strings: each octet as the character of
//! that number. Headers whose names have an underscore are left out and counted: a CGI name cannot tell
//! them from those with a hyphen, and `X_Forwarded_For` is how one gets past a proxy.

use ferricorn_proto::Version;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::memo::Memo;
use crate::names::{Methods, Names};
use crate::scope::{Arrived, Ends, percent_decoded};

macro_rules! keys {
    ($($field:ident = $text:literal),* $(,)?) => {
        struct Keys { $($field: Py<PyString>,)* }

        impl Keys {
            fn new(py: Python<'_>) -> Self {
                Self { $($field: PyString::intern(py, $text).unbind(),)* }
            }
        }
    };
}

keys! {
    request_method = "REQUEST_METHOD", script_name = "SCRIPT_NAME", path_info = "PATH_INFO",
    query_string = "QUERY_STRING", raw_uri = "RAW_URI", request_uri = "REQUEST_URI",
    server_name = "SERVER_NAME", server_port = "SERVER_PORT", server_protocol = "SERVER_PROTOCOL",
    remote_addr = "REMOTE_ADDR", remote_port = "REMOTE_PORT", cookie = "HTTP_COOKIE", host = "HTTP_HOST",
    request_id = "HTTP_X_REQUEST_ID", url_scheme = "wsgi.url_scheme",
}

pub struct Environs {
    template: Py<PyDict>,
    keys: Keys,
    methods: Methods,
    /// The length of the path at which the application is mounted.
    mount: usize,
    /// Keys and values.
    memo: Memo<(Py<PyString>, Py<PyString>)>,
    http_10: Py<PyString>,
    /// Header lines that were left out for their underscores, until somebody takes the count.
    pub left_out: u64,
}

impl Environs {
    /// `template` holds what the floor above says of all requests; `mount` is the length of what
    /// `SCRIPT_NAME` says of their paths.
    pub fn new(py: Python<'_>, template: Bound<'_, PyDict>, mount: usize) -> Self {
        Self {
            mount,
            template: template.unbind(),
            keys: Keys::new(py),
            methods: Methods::new(py),
            memo: Memo::new(),
            http_10: PyString::intern(py, "HTTP/1.0").unbind(),
            left_out: 0,
        }
    }

    /// The environ of one request, but for its body.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn make<'py>(
        &mut self,
        py: Python<'py>,
        ends: &Ends,
        request: Arrived<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let Arrived {
            head,
            fields,
            input,
        } = request;
        let environ = self.template.bind(py).copy()?;
        let keys = &self.keys;
        let method = head.method.of(input);
        if method != b"GET" {
            environ.set_item(&keys.request_method, self.methods.get(py, method))?;
        }
        if head.version == Version::Http10 {
            environ.set_item(&keys.server_protocol, &self.http_10)?;
        }
        let target = head.path.of(input);
        let path = native(py, target);
        if target.contains(&b'%') {
            let decoded = percent_decoded(target);
            let rest = decoded.get(self.mount..).unwrap_or_default();
            environ.set_item(&keys.path_info, native(py, rest))?;
        } else if self.mount > 0 {
            let rest = target.get(self.mount..).unwrap_or_default();
            environ.set_item(&keys.path_info, native(py, rest))?;
        } else {
            environ.set_item(&keys.path_info, &path)?;
        }
        let query = head.query.of(input);
        let uri = if query.is_empty() {
            path
        } else {
            environ.set_item(&keys.query_string, native(py, query))?;
            native(py, &[target, b"?", query].concat())
        };
        environ.set_item(&keys.raw_uri, &uri)?;
        environ.set_item(&keys.request_uri, uri)?;
        self.ends(py, &environ, ends)?;
        for field in fields {
            let (name, value) = (field.name.of(input), field.value.of(input));
            if name.contains(&b'_') {
                self.left_out += 1;
                continue;
            }
            // Not interned: Python may keep such a string for ever, and clients choose it.
            let make = || {
                Ok((
                    PyString::new(py, &cgi_name(name)).unbind(),
                    native(py, value).unbind(),
                ))
            };
            let give = |(key, value): &(Py<PyString>, Py<PyString>)| {
                (key.bind(py).clone(), value.bind(py).clone())
            };
            let (key, value) = self.memo.line(name, value, make, give)?;
            match environ.get_item(&key)? {
                None => environ.set_item(key, value)?,
                Some(earlier) => {
                    let cookie = key.as_any().eq(&keys.cookie)?;
                    let between = if cookie { "; " } else { "," };
                    let earlier = earlier.cast_into::<PyString>()?;
                    let joined = format!("{}{between}{}", earlier.to_cow()?, value.to_cow()?);
                    environ.set_item(key, joined)?;
                }
            }
        }
        Ok(environ)
    }

    fn ends(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, ends: &Ends) -> PyResult<()> {
        let keys = &self.keys;
        if let Ok(client) = ends.client.bind(py).cast::<PyTuple>() {
            environ.set_item(&keys.remote_addr, client.get_item(0)?)?;
            environ.set_item(&keys.remote_port, client.get_item(1)?.str()?)?;
        }
        // A Unix socket has no port, and the template's words must do: neither may be empty.
        if let Ok(server) = ends.server.bind(py).cast::<PyTuple>() {
            let port = server.get_item(1)?;
            if !port.is_none() {
                environ.set_item(&keys.server_name, server.get_item(0)?)?;
                environ.set_item(&keys.server_port, port.str()?)?;
            }
        }
        Ok(())
    }

    /// The request has this id: its own, or one that was made for it.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn identify(&self, environ: &Bound<'_, PyDict>, id: &[u8]) -> PyResult<()> {
        environ.set_item(&self.keys.request_id, native(environ.py(), id))
    }

    /// Has the environ say what trusted proxies report, which the scope says already.
    ///
    /// # Errors
    /// If the scope is not as it was made.
    pub fn believe(
        &self,
        names: &Names,
        environ: &Bound<'_, PyDict>,
        scope: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let keys = &self.keys;
        let scope = scope.cast::<PyDict>()?;
        if let Some(client) = scope.get_item(&names.client)?
            && let Ok(client) = client.cast_into::<PyTuple>()
        {
            environ.set_item(&keys.remote_addr, client.get_item(0)?)?;
            environ.set_item(&keys.remote_port, client.get_item(1)?.str()?)?;
        }
        if let Some(scheme) = scope.get_item(&names.scheme)? {
            environ.set_item(&keys.url_scheme, scheme)?;
        }
        if let Some(root) = scope.get_item(&names.root_path)? {
            let root = root.cast_into::<PyString>()?;
            environ.set_item(
                &keys.script_name,
                native(root.py(), root.to_cow()?.as_bytes()),
            )?;
        }
        let Some(headers) = scope.get_item(&names.headers)? else {
            return Ok(());
        };
        for line in headers.cast_into::<PyList>()?.iter() {
            let (name, value) = line.extract::<(Vec<u8>, Vec<u8>)>()?;
            if name == b"host" {
                environ.set_item(&keys.host, native(environ.py(), &value))?;
            }
        }
        Ok(())
    }
}

/// The body has come, and this is its length: one that came in chunks has it from now on.
///
/// # Errors
/// If Python is out of memory.
pub fn set_length(names: &Names, environ: &Bound<'_, PyDict>, length: u64) -> PyResult<()> {
    if environ.contains(&names.transfer_encoding)? {
        environ.del_item(&names.transfer_encoding)?;
        environ.set_item(&names.content_length, length.to_string())?;
    }
    Ok(())
}

/// Octets as a native string of PEP 3333.
fn native<'py>(py: Python<'py>, octets: &[u8]) -> Bound<'py, PyString> {
    match str::from_utf8(octets) {
        Ok(text) if octets.is_ascii() => PyString::new(py, text),
        _ => PyString::new(
            py,
            &octets.iter().copied().map(char::from).collect::<String>(),
        ),
    }
}

/// The CGI name of a header, whose name is in lower case.
fn cgi_name(name: &[u8]) -> String {
    let upper = name.iter().map(|octet| match octet {
        b'-' => '_',
        other => char::from(other.to_ascii_uppercase()),
    });
    match name {
        b"content-type" | b"content-length" => upper.collect(),
        _ => "HTTP_".chars().chain(upper).collect(),
    }
}
