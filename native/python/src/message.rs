//! The dictionaries that an application sends, as values.
//!
//! Reading a message runs no code of the application's: keys are strings, header lines are brought
//! to a list of tuples of `bytes` first. So the engine can take them while it is locked.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use ferricorn_engine::file;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

use crate::ffi;
use crate::names::{Names, empty};

pub enum Message<'py> {
    Start {
        status: u16,
        /// What a WSGI application says of it; empty for the standard's phrase.
        reason: Vec<u8>,
        headers: Headers<'py>,
        trailers: bool,
    },
    Body {
        body: Bound<'py, PyBytes>,
        more: bool,
    },
    File {
        /// Taken when it is sent.
        part: Option<FilePart>,
        more: bool,
    },
    EarlyHint {
        links: Vec<Bound<'py, PyBytes>>,
    },
    Trailers {
        headers: Headers<'py>,
        more: bool,
    },
    /// Something for test clients, which no peer is to see.
    Debug,
}

/// Bytes of a file.
pub struct FilePart {
    pub file: File,
    pub offset: u64,
    pub length: u64,
}

/// Header lines.
pub struct Headers<'py>(Lines<'py>);

enum Lines<'py> {
    None,
    /// Every item is a tuple of two `bytes`.
    Bytes(Bound<'py, PyList>),
    /// As WSGI's text comes.
    Octets(Octets),
}

/// Header lines, one after the other.
#[derive(Default)]
pub struct Octets {
    octets: Vec<u8>,
    /// Where each name and its value end.
    ends: Vec<(usize, usize)>,
}

impl<'py> Message<'py> {
    /// # Errors
    /// `TypeError` and `ValueError` for a message that is not formed as ASGI says, `RuntimeError`
    /// for a type of message that is none of a response's, `OSError` for a file that does not open.
    pub fn read(message: &Bound<'py, PyAny>, names: &Names) -> PyResult<Self> {
        let (message, kind) = of_type(message, names)?;
        let message = &message;
        match Kind::of(&kind)? {
            Kind::Body => Self::read_body(message, names),
            Kind::Start => Self::read_start(message, names),
            Kind::PathSend => {
                let path = required(message, &names.path)?.extract::<std::path::PathBuf>()?;
                let (file, length) = file::open(&path)?;
                Ok(Self::File {
                    part: Some(FilePart {
                        file,
                        offset: 0,
                        length,
                    }),
                    more: false,
                })
            }
            Kind::ZeroCopySend => zero_copy(message, names),
            Kind::EarlyHint => {
                let links = required(message, &names.links)?.try_iter()?;
                Ok(Self::EarlyHint {
                    links: links.map(|link| bytes(link?)).collect::<PyResult<_>>()?,
                })
            }
            Kind::Trailers => {
                let headers = Headers::read(message.get_item(&names.headers)?)?;
                Ok(Self::Trailers {
                    headers,
                    more: flag(message, &names.more_trailers)?,
                })
            }
            Kind::Debug => Ok(Self::Debug),
        }
    }

    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_body(message: &Bound<'py, PyDict>, names: &Names) -> PyResult<Self> {
        let body = match message.get_item(&names.body)? {
            Some(body) => bytes(body)?,
            None => empty(message.py()),
        };
        Ok(Self::Body {
            body,
            more: flag(message, &names.more_body)?,
        })
    }

    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_start(message: &Bound<'py, PyDict>, names: &Names) -> PyResult<Self> {
        let status = message
            .get_item(&names.status)?
            .and_then(|status| status.extract::<u16>().ok());
        let Some(status) = status else {
            return Err(PyTypeError::new_err(
                "a response's \"status\" is an int from 200 to 599",
            ));
        };
        let headers = Headers::read(message.get_item(&names.headers)?)?;
        Ok(Self::Start {
            status,
            reason: Vec::new(),
            headers,
            trailers: flag(message, &names.trailers)?,
        })
    }

    /// The type's name, for messages about its order.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "http.response.start",
            Self::Body { .. } => "http.response.body",
            Self::File { .. } => "http.response.pathsend",
            Self::EarlyHint { .. } => "http.response.early_hint",
            Self::Trailers { .. } => "http.response.trailers",
            Self::Debug => "http.response.debug",
        }
    }
}

/// A message as a dictionary, and its type.
///
/// # Errors
/// If it is no dictionary or has no type.
pub fn of_type<'py>(
    message: &Bound<'py, PyAny>,
    names: &Names,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyString>)> {
    let message = message.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!("an ASGI message must be a dict, not {message:?}"))
    })?;
    let Some(kind) = message.get_item(&names.type_)? else {
        return Err(PyValueError::new_err(
            "an ASGI message must have a \"type\"",
        ));
    };
    let kind = kind
        .cast_into::<PyString>()
        .map_err(|_| PyTypeError::new_err("a message's \"type\" is a str"))?;
    Ok((message.clone(), kind))
}

#[derive(Clone, Copy)]
enum Kind {
    Start,
    Body,
    PathSend,
    ZeroCopySend,
    EarlyHint,
    Trailers,
    Debug,
}

impl Kind {
    fn of(name: &Bound<'_, PyString>) -> PyResult<Self> {
        match name.to_str()? {
            "http.response.body" => Ok(Self::Body),
            "http.response.start" => Ok(Self::Start),
            "http.response.pathsend" => Ok(Self::PathSend),
            "http.response.zerocopysend" => Ok(Self::ZeroCopySend),
            "http.response.early_hint" => Ok(Self::EarlyHint),
            "http.response.trailers" => Ok(Self::Trailers),
            "http.response.debug" => Ok(Self::Debug),
            other => Err(PyRuntimeError::new_err(format!(
                "Unexpected ASGI message '{other}'."
            ))),
        }
    }
}

fn zero_copy<'py>(message: &Bound<'py, PyDict>, names: &Names) -> PyResult<Message<'py>> {
    let number = |key: &Py<PyString>| -> PyResult<Option<u64>> {
        message
            .get_item(key)?
            .filter(|value| !value.is_none())
            .map(|value| value.extract())
            .transpose()
    };
    let descriptor = required(message, &names.file)?
        .call_method0("fileno")?
        .extract::<i32>()?;
    let mut file = File::from(ffi::duplicate(descriptor)?);
    let size = file::size(&file)?;
    let given = number(&names.offset)?;
    let offset = given.map_or_else(|| file.stream_position(), Ok)?;
    let rest = size.saturating_sub(offset);
    let length = number(&names.count)?.map_or(rest, |count| count.min(rest));
    if given.is_none() {
        // As `os.sendfile` does: the next message goes on from there.
        file.seek(SeekFrom::Start(offset + length))?;
    }
    Ok(Message::File {
        part: Some(FilePart {
            file,
            offset,
            length,
        }),
        more: flag(message, &names.more_body)?,
    })
}

fn required<'py>(message: &Bound<'py, PyDict>, key: &Py<PyString>) -> PyResult<Bound<'py, PyAny>> {
    message
        .get_item(key)?
        .ok_or_else(|| PyValueError::new_err(format!("the message lacks \"{key}\"")))
}

fn flag(message: &Bound<'_, PyDict>, key: &Py<PyString>) -> PyResult<bool> {
    message
        .get_item(key)?
        .map_or(Ok(false), |value| value.is_truthy())
}

/// Bytes of any kind as a `bytes` object, copied only if they may change.
pub fn bytes(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    let value = match value.cast_into_exact::<PyBytes>() {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error.into_inner(),
    };
    let py = value.py();
    let convertible = value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>();
    if !convertible {
        let kind = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a bytes-like object is required, not '{kind}'"
        )));
    }
    let made = py.get_type::<PyBytes>().call1((value,))?;
    match made.cast_into_exact::<PyBytes>() {
        Ok(bytes) => Ok(bytes),
        // `__bytes__` may give an instance of a subclass, with code of its own.
        Err(error) => Ok(PyBytes::new(
            py,
            error.into_inner().cast::<PyBytes>()?.as_bytes(),
        )),
    }
}

impl<'py> Headers<'py> {
    /// Those of a message without content.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn empty_content(py: Python<'py>) -> PyResult<Self> {
        let line = (PyBytes::new(py, b"content-length"), PyBytes::new(py, b"0"));
        Ok(Self(Lines::Bytes(PyList::new(py, [line])?)))
    }

    pub fn of(octets: Octets) -> Self {
        Self(Lines::Octets(octets))
    }

    /// # Errors
    /// If it is no iterable of pairs of bytes.
    pub fn read(value: Option<Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(value) = value.filter(|value| !value.is_none()) else {
            return Ok(Self(Lines::None));
        };
        let value = match value.cast_into_exact::<PyList>() {
            Ok(list) if list.iter().all(|line| is_line(&line)) => {
                return Ok(Self(Lines::Bytes(list)));
            }
            Ok(list) => list.into_any(),
            Err(error) => error.into_inner(),
        };
        // Some frameworks pass lists of lists, generators or subclasses of bytes.
        let lines = PyList::empty(value.py());
        for line in value.try_iter()? {
            let line = line?.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            let [name, value] = <[_; 2]>::try_from(line).map_err(|_| {
                PyValueError::new_err("a header is a pair of bytes: name and value")
            })?;
            lines.append((bytes(name)?, bytes(value)?))?;
        }
        Ok(Self(Lines::Bytes(lines)))
    }

    /// Gives each line to `take` until that fails. Runs no Python code.
    ///
    /// # Errors
    /// What `take` returns.
    pub fn each<E>(&self, mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let list = match &self.0 {
            Lines::None => return Ok(()),
            Lines::Octets(octets) => return octets.each(take),
            Lines::Bytes(list) => list,
        };
        for line in list.iter() {
            if let Ok(line) = line.cast_exact::<PyTuple>()
                && let (Ok(name), Ok(value)) =
                    (line.get_borrowed_item(0), line.get_borrowed_item(1))
                && let (Ok(name), Ok(value)) =
                    (name.cast_exact::<PyBytes>(), value.cast_exact::<PyBytes>())
            {
                take(name.as_bytes(), value.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The octets of a native string (PEP 3333); `None` if it is none.
pub fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|character| u8::try_from(character).ok())
        .collect()
}

impl Octets {
    /// Reads a list of tuples of native strings (PEP 3333).
    ///
    /// # Errors
    /// If it is none, or has a character that is no octet.
    pub fn read(lines: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut octets = Self::default();
        let wrong = || PyTypeError::new_err("headers are a list of tuples of two str");
        for line in lines.cast::<PyList>().map_err(|_| wrong())?.iter() {
            let line = line.cast_into::<PyTuple>().map_err(|_| wrong())?;
            if line.len() != 2 {
                return Err(wrong());
            }
            let name = line.get_item(0)?.cast_into::<PyString>();
            let value = line.get_item(1)?.cast_into::<PyString>();
            octets.text(&name.map_err(|_| wrong())?)?;
            let end = octets.octets.len();
            octets.text(&value.map_err(|_| wrong())?)?;
            octets.ends.push((end, octets.octets.len()));
        }
        Ok(octets)
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        let text = text.to_str()?;
        if text.is_ascii() {
            self.octets.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let octets = latin_1(text).ok_or_else(|| {
            PyValueError::new_err(format!("{text:?} has characters beyond Latin-1"))
        })?;
        self.octets.extend_from_slice(&octets);
        Ok(())
    }

    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.octets.extend_from_slice(name);
        let end = self.octets.len();
        self.octets.extend_from_slice(value);
        self.ends.push((end, self.octets.len()));
    }

    pub fn has(&self, name: &[u8]) -> bool {
        self.lines()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// What `content-length` says.
    pub fn length(&self) -> Option<u64> {
        let mut lines = self.lines();
        let (_, value) = lines.find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))?;
        str::from_utf8(value).ok()?.trim().parse().ok()
    }

    /// # Errors
    /// What `take` returns.
    pub fn each<E>(&self, mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.lines().try_for_each(|(name, value)| take(name, value))
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        starts
            .zip(&self.ends)
            .map(|(start, &(middle, end))| (&self.octets[start..middle], &self.octets[middle..end]))
    }
}

fn is_line(line: &Bound<'_, PyAny>) -> bool {
    line.cast_exact::<PyTuple>().is_ok_and(|pair| {
        pair.len() == 2
            && pair
                .get_borrowed_item(0)
                .is_ok_and(|name| name.is_exact_instance_of::<PyBytes>())
            && pair
                .get_borrowed_item(1)
                .is_ok_and(|value| value.is_exact_instance_of::<PyBytes>())
    })
}
