//! What an application says to a WebSocket, read from its dictionaries.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::message::{Headers, Message, bytes};
use crate::names::Names;

/// What a close without a code means.
const NORMAL: u16 = 1000;

pub enum Said<'py> {
    Accept {
        subprotocol: Option<Bound<'py, PyString>>,
        headers: Headers<'py>,
    },
    Text(Bound<'py, PyString>),
    Bytes(Bound<'py, PyBytes>),
    Close {
        code: u16,
        reason: String,
    },
    /// A part of an answer in plain HTTP.
    Answer(Message<'py>),
}

impl<'py> Said<'py> {
    /// # Errors
    /// If it is no message of a WebSocket's.
    pub fn read(message: &Bound<'py, PyAny>, names: &Names) -> PyResult<Self> {
        let (message, kind) = crate::message::of_type(message, names)?;
        match kind.to_str()? {
            "websocket.send" => Self::read_data(&message, names),
            "websocket.accept" => {
                let subprotocol = present(&message, &names.subprotocol)?
                    .map(Bound::cast_into::<PyString>)
                    .transpose()
                    .map_err(|_| PyTypeError::new_err("a \"subprotocol\" is a str"))?;
                subprotocol.as_ref().map_or(Ok(()), encodable)?;
                Ok(Self::Accept {
                    subprotocol,
                    headers: Headers::read(message.get_item(&names.headers)?)?,
                })
            }
            "websocket.close" => {
                let code = present(&message, &names.code)?;
                let reason = present(&message, &names.reason)?;
                Ok(Self::Close {
                    code: code.map_or(Ok(NORMAL), |code| code.extract())?,
                    reason: reason.map_or(Ok(String::new()), |reason| reason.extract())?,
                })
            }
            "websocket.http.response.start" => {
                let mut start = Message::read_start(&message, names)?;
                // Such an answer has none: there is no message that could bring them.
                if let Message::Start { trailers, .. } = &mut start {
                    *trailers = false;
                }
                Ok(Self::Answer(start))
            }
            "websocket.http.response.body" => {
                Ok(Self::Answer(Message::read_body(&message, names)?))
            }
            other => Err(PyRuntimeError::new_err(format!(
                "Unexpected ASGI message '{other}'."
            ))),
        }
    }

    fn read_data(message: &Bound<'py, PyDict>, names: &Names) -> PyResult<Self> {
        if let Some(data) = present(message, &names.bytes)? {
            return Ok(Self::Bytes(bytes(data)?));
        }
        match present(message, &names.text)? {
            Some(text) => {
                let text = text
                    .cast_into::<PyString>()
                    .map_err(|_| PyTypeError::new_err("the \"text\" of a message is a str"))?;
                encodable(&text)?;
                Ok(Self::Text(text))
            }
            None => Err(PyValueError::new_err(
                "a message needs \"bytes\" or \"text\"",
            )),
        }
    }

    /// The type's name, for messages about its order.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "websocket.accept",
            Self::Text(_) | Self::Bytes(_) => "websocket.send",
            Self::Close { .. } => "websocket.close",
            Self::Answer(Message::Start { .. }) => "websocket.http.response.start",
            Self::Answer(_) => "websocket.http.response.body",
        }
    }
}

/// Has a text keep its UTF-8 form. That it has none is found here, without the lock: the error is an
/// object, and making one may have garbage collected.
fn encodable(text: &Bound<'_, PyString>) -> PyResult<()> {
    text.to_str().map(drop)
}

fn present<'py>(
    message: &Bound<'py, PyDict>,
    key: &Py<PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(message.get_item(key)?.filter(|value| !value.is_none()))
}
