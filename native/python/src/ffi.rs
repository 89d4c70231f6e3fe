//! The one file of this crate that is not safe Rust.
//!
//! It holds what `PyO3` has no safe or no fast form for, and nothing else: the type of the callables
//! that an application gets as `receive` and `send` (vectorcall: no argument tuple for a call), one
//! step of a foreign coroutine (`PyIter_Send`) and of what we give applications to await, contexts, a
//! `bytes` object whose contents the engine may read without the interpreter, a `str` of much ASCII,
//! memory that processes share, and duplicates of descriptors that Python owns.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::RangeInclusive;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::raw::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::AtomicU64;

use pyo3::PyClass;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

/// A `bytes` or `str` object on its way to a socket.
pub struct Payload {
    /// Keeps `start` alive.
    _owner: Py<PyAny>,
    start: *const u8,
    length: usize,
}

// SAFETY: `start` points into an immutable object that `_owner` keeps alive; reading it needs no
// interpreter. `_owner` itself is Send.
unsafe impl Send for Payload {}
// SAFETY: shared access only reads those immutable bytes.
unsafe impl Sync for Payload {}

impl Payload {
    pub fn new(bytes: &Bound<'_, PyBytes>) -> Self {
        let contents = bytes.as_bytes();
        Self {
            start: contents.as_ptr(),
            length: contents.len(),
            _owner: bytes.clone().into_any().unbind(),
        }
    }

    /// The UTF-8 form of a text, which the `str` object keeps.
    ///
    /// # Errors
    /// If it has lone surrogates.
    pub fn of_text(text: &Bound<'_, PyString>) -> PyResult<Self> {
        let contents = text.to_str()?;
        Ok(Self {
            start: contents.as_ptr(),
            length: contents.len(),
            _owner: text.clone().into_any().unbind(),
        })
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: start and length are those of the contents of a bytes object, or of the UTF-8 form
        // that a str object holds; neither moves or changes while `_owner` lives, and the result
        // borrows from self.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// From so many bytes on, looking for the first that is not ASCII is worth the while.
const MUCH: usize = 256;
/// What is looked at before it is copied, while it lies in the nearest cache.
const PIECE: usize = 4096;

/// The `str` of some UTF-8. Python's own decoder looks at ASCII a word at a time.
///
/// # Errors
/// If it is not UTF-8, or Python is out of memory.
#[expect(
    clippy::cast_possible_wrap,
    reason = "a slice is never longer than isize::MAX"
)]
pub fn decode<'py>(py: Python<'py>, contents: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if contents.len() < MUCH || !contents[..MUCH].is_ascii() {
        return PyString::from_bytes(py, contents);
    }
    // SAFETY: the new string has room for as many characters of ASCII, each of one byte, and nobody
    // else has seen it, nor will before all of them are there.
    unsafe {
        let text = ffi::PyUnicode_New(contents.len() as ffi::Py_ssize_t, 127);
        let text = Bound::from_owned_ptr_or_err(py, text)?;
        let mut place = ffi::PyUnicode_DATA(text.as_ptr()).cast::<u8>();
        for piece in contents.chunks(PIECE) {
            if !piece.is_ascii() {
                return PyString::from_bytes(py, contents);
            }
            ptr::copy_nonoverlapping(piece.as_ptr(), place, piece.len());
            place = place.add(piece.len());
        }
        Ok(text.cast_into_unchecked())
    }
}

/// Words of memory that several processes share, in a buffer that Python owns.
pub struct SharedWords {
    buffer: PyBuffer<u8>,
}

impl SharedWords {
    /// # Errors
    /// If the buffer cannot be written, or holds no whole words.
    pub fn new(buffer: PyBuffer<u8>) -> PyResult<Self> {
        let size = size_of::<AtomicU64>();
        let whole = buffer.buf_ptr().align_offset(align_of::<AtomicU64>()) == 0
            && buffer.len_bytes().is_multiple_of(size);
        if whole && buffer.is_c_contiguous() && !buffer.readonly() {
            return Ok(Self { buffer });
        }
        Err(PyValueError::new_err("not writable memory of whole words"))
    }
}

impl AsRef<[AtomicU64]> for SharedWords {
    fn as_ref(&self) -> &[AtomicU64] {
        let words = self.buffer.len_bytes() / size_of::<AtomicU64>();
        // SAFETY: the buffer is contiguous, aligned and writable, which `new` saw to, and stays where it
        // is until it is released, which happens when `self` is dropped. Whoever shares the memory
        // reads and writes whole words.
        unsafe { std::slice::from_raw_parts(self.buffer.buf_ptr().cast(), words) }
    }
}

/// What one step of a coroutine came to.
pub enum Step {
    /// It waits, and this is what for.
    Yielded(Py<PyAny>),
    /// It returned.
    Returned(Py<PyAny>),
}

/// Resumes a coroutine with `value`.
///
/// # Errors
/// Whatever the coroutine raises.
pub fn resume(coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Step> {
    let py = coroutine.py();
    let mut result: *mut ffi::PyObject = ptr::null_mut();
    // SAFETY: both arguments are live objects, `result` is a valid place, and we are attached.
    let status = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &raw mut result) };
    match status {
        // SAFETY: for NEXT and RETURN the call stores a new reference, which is passed on here.
        ffi::PySendResult::PYGEN_NEXT => Ok(Step::Yielded(
            unsafe { Bound::from_owned_ptr(py, result) }.unbind(),
        )),
        // SAFETY: as above.
        ffi::PySendResult::PYGEN_RETURN => Ok(Step::Returned(
            unsafe { Bound::from_owned_ptr(py, result) }.unbind(),
        )),
        ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
    }
}

/// What goes on whenever it is resumed, and then waits or returns: nothing, or what is neither a tuple nor
/// an exception.
pub trait Resume: PyClass {
    /// # Errors
    /// What the caller is to see raised.
    fn resume(slf: &Bound<'_, Self>) -> PyResult<Step>;
}

/// Has instances of a class give their results to those who await them as Python's own iterators do. `PyO3`
/// makes an exception of each, from which Python takes it out again.
///
/// For a class whose type nobody can change, before it has instances.
pub fn resume_directly<T: Resume>(py: Python<'_>) {
    // SAFETY: it is the type of a class of ours, which nobody else writes to. We are attached.
    unsafe { (*T::type_object_raw(py)).tp_iternext = Some(next::<T>) };
}

unsafe extern "C" fn next<T: Resume>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python calls this, so this thread is attached.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: it is an instance of the one type that has this in its slot.
    let object = unsafe { Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>() };
    match guarded(|| T::resume(&object)) {
        Ok(Step::Yielded(awaited)) => return awaited.into_ptr(),
        Ok(Step::Returned(result)) => {
            let result = result.into_bound(py);
            // An end without an exception is one without a result.
            if !result.is_none() {
                // SAFETY: both are live objects. Python takes the result for the only argument of the
                // exception, as it is no tuple and no exception itself.
                unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr()) };
            }
        }
        Err(error) => error.restore(py),
    }
    ptr::null_mut()
}

/// Runs what Python has called: a panic goes no further.
fn guarded<T>(act: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("internal error of the server")))
}

/// What a function written in C is a method of.
pub fn method_of<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: it is a live object, and read only if it is a function in C. What that is bound to may be
    // null, and lives as long as the function.
    unsafe {
        if ffi::PyCFunction_CheckExact(function.as_ptr()) == 0 {
            return None;
        }
        let object = ffi::PyCFunction_GetSelf(function.as_ptr());
        Bound::from_borrowed_ptr_or_opt(function.py(), object)
    }
}

/// Calls `function(argument)` in a context, as `context.run` does.
///
/// # Errors
/// If the context is entered already, and whatever the function raises.
pub fn call_in_context(
    context: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
    argument: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = context.py();
    // SAFETY: the call checks that the object is a context, and we are attached.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: both are live objects; the result is a new reference or null with an exception set.
    let called = unsafe {
        let result = ffi::PyObject_CallOneArg(function.as_ptr(), argument.as_ptr());
        Bound::from_owned_ptr_or_err(py, result)
    };
    // SAFETY: as above; it was entered by this thread.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    called.map(drop)
}

/// An empty context, which its thread is in until this is dropped.
pub struct NewContext<'py>(Bound<'py, PyAny>);

impl<'py> NewContext<'py> {
    /// # Errors
    /// If Python is out of memory.
    pub fn enter(py: Python<'py>) -> PyResult<Self> {
        // SAFETY: we are attached; the result is a new reference or null with an exception set.
        let context = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }?;
        // SAFETY: it is a context, and we are attached.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Self(context))
    }
}

impl Drop for NewContext<'_> {
    fn drop(&mut self) {
        // SAFETY: it is a context that was entered, and by this thread: a `Bound` stays in its own.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } < 0 {
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), None);
        }
    }
}

/// A descriptor of our own for what `fd` refers to.
///
/// # Errors
/// If `fd` is not open.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the descriptor is not -1 and borrowed only for the call, which fails if it is closed.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// The arguments of a call, borrowed for its time.
#[derive(Clone, Copy)]
pub struct Arguments<'a, 'py> {
    first: *const *mut ffi::PyObject,
    count: usize,
    py: Python<'py>,
    borrow: PhantomData<&'a ()>,
}

impl<'py> Arguments<'_, 'py> {
    pub fn get(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the vector holds `count` references that live for the time of the call.
        (index < self.count)
            .then(|| unsafe { Bound::from_borrowed_ptr(self.py, *self.first.add(index)) })
    }

    /// # Errors
    /// If there are not so many: [`Call::ARGUMENTS`] says how many there are.
    pub fn required(&self, index: usize) -> PyResult<Bound<'py, PyAny>> {
        self.get(index)
            .ok_or_else(|| PyTypeError::new_err("an argument is missing"))
    }
}

/// What an instance of a [`CallableType`] does when it is called, by several threads at once for all that
/// is known.
pub trait Call: Sized + Send + Sync + 'static {
    /// The type's dotted name.
    const NAME: &'static CStr;
    /// How many arguments it takes; whether by position or by keyword is the caller's business.
    const ARGUMENTS: RangeInclusive<usize>;

    /// # Errors
    /// What the caller is to see raised.
    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>>;
}

#[repr(C)]
struct Callable<T> {
    base: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    state: T,
}

/// A type whose instances are called with few arguments.
pub struct CallableType<T: Call> {
    object: Py<PyType>,
    state: PhantomData<fn(T)>,
}

impl<T: Call> CallableType<T> {
    /// # Errors
    /// If Python refuses (out of memory).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "the size of a small struct, a place in it, and flags of 32 bits"
    )]
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let mut members = [
            ffi::PyMemberDef {
                name: c"__vectorcalloffset__".as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: offset_of!(Callable<T>, vectorcall) as ffi::Py_ssize_t,
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            },
            ffi::PyMemberDef {
                name: ptr::null(),
                type_code: 0,
                offset: 0,
                flags: 0,
                doc: ptr::null(),
            },
        ];
        let mut slots = [
            ffi::PyType_Slot {
                slot: ffi::Py_tp_dealloc,
                pfunc: dealloc::<T> as *mut c_void,
            },
            ffi::PyType_Slot {
                slot: ffi::Py_tp_call,
                pfunc: ffi::PyVectorcall_Call as *mut c_void,
            },
            ffi::PyType_Slot {
                slot: ffi::Py_tp_members,
                pfunc: members.as_mut_ptr().cast(),
            },
            ffi::PyType_Slot {
                slot: 0,
                pfunc: ptr::null_mut(),
            },
        ];
        let mut spec = ffi::PyType_Spec {
            name: T::NAME.as_ptr(),
            basicsize: size_of::<Callable<T>>() as i32,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT | HAVE_VECTORCALL | DISALLOW_INSTANTIATION) as u32,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the specification describes `Callable<T>` and lives through the call; Python
        // copies the members, and the name is static.
        let made =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec)) }?;
        Ok(Self {
            object: made.cast_into::<PyType>()?.unbind(),
            state: PhantomData,
        })
    }

    pub fn object(&self) -> &Py<PyType> {
        &self.object
    }

    /// # Errors
    /// If Python is out of memory.
    pub fn instance<'py>(&self, py: Python<'py>, state: T) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: the type's instances are `Callable<T>`s and not tracked by the collector: memory of
        // that size gets its head (and its reference to the heap type) from PyObject_Init, and both
        // fields are written before anybody sees the object.
        unsafe {
            let memory = ffi::PyObject_Malloc(size_of::<Callable<T>>()).cast::<ffi::PyObject>();
            if memory.is_null() {
                return Err(PyMemoryError::new_err(()));
            }
            let object = ffi::PyObject_Init(memory, self.object.as_ptr().cast());
            let callable = object.cast::<Callable<T>>();
            (&raw mut (*callable).vectorcall).write(vectorcall::<T>);
            (&raw mut (*callable).state).write(state);
            Ok(Bound::from_owned_ptr(py, object))
        }
    }
}

/// `Py_TPFLAGS_HAVE_VECTORCALL`.
const HAVE_VECTORCALL: std::os::raw::c_ulong = 1 << 11;
/// `Py_TPFLAGS_DISALLOW_INSTANTIATION`: an instance that Python made would have no state.
const DISALLOW_INSTANTIATION: std::os::raw::c_ulong = 1 << 7;

unsafe extern "C" fn dealloc<T>(object: *mut ffi::PyObject) {
    // SAFETY: Python calls this once, with an instance that `instance` made; its state is dropped
    // while attached, then the memory and the instance's reference to its heap type are given back.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ptr::drop_in_place(&raw mut (*object.cast::<Callable<T>>()).state);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

unsafe extern "C" fn vectorcall<T: Call>(
    callable: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this, so this thread is attached.
    let py = unsafe { Python::assume_attached() };
    let call = || {
        // The topmost bit is a flag of the protocol. A keyword counts like a position.
        let mut given = count & !(1 << (usize::BITS - 1));
        if !keywords.is_null() {
            // SAFETY: if there, it is a tuple.
            given += unsafe { ffi::PyTuple_GET_SIZE(keywords) }.unsigned_abs();
        }
        if !T::ARGUMENTS.contains(&given) {
            let most = T::ARGUMENTS.end();
            let text = format!("takes {most} arguments, and {given} were given");
            return Err(PyTypeError::new_err(text));
        }
        let arguments = Arguments {
            first: arguments,
            count: given,
            py,
            borrow: PhantomData,
        };
        // SAFETY: only instances of `CallableType<T>` carry this function.
        let state = unsafe { &(*callable.cast::<Callable<T>>()).state };
        state.call(py, arguments)
    };
    match guarded(call) {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}
