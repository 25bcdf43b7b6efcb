// SPDX-License-Identifier: Apache-2.0
//! Owned references, and the GIL as a token that a function must be given to touch them.

use crate::python::api::{Api, Buffer, Ptr};
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;

/// Proof that this thread is attached to the interpreter and holds the GIL.
#[derive(Clone, Copy)]
pub struct Gil<'a> {
    /// The interpreter's functions.
    pub api: &'a Api,
    attached: PhantomData<*mut ()>,
}

/// An owned reference. Dropped only while the GIL is held: whoever keeps one sees to that.
pub struct Ref(Ptr);

// SAFETY: a reference is a number; it is used only by who holds a `Gil`.
unsafe impl Send for Ref {}
// SAFETY: as above.
unsafe impl Sync for Ref {}

impl Drop for Ref {
    fn drop(&mut self) {
        if let Some(api) = Api::get() {
            // SAFETY: the reference is ours, and the holder of a Ref drops it with the GIL.
            unsafe { (api.Py_DecRef)(self.0) };
        }
    }
}

/// A buffer of a Python object, given back when dropped; with the GIL, as a `Ref`.
pub struct View(pub Buffer);

impl View {
    /// The buffer that an object has for a request of these flags; none, with an exception, if it
    /// has none.
    pub fn of(gil: Gil, object: Ptr, flags: c_int) -> Option<Self> {
        let mut view = Self(Buffer::empty());
        // SAFETY: an object that is alive, and a place to fill.
        (unsafe { (gil.api.PyObject_GetBuffer)(object, &raw mut view.0, flags) } == 0).then_some(view)
    }
}

impl Deref for View {
    type Target = [u8];

    /// The bytes, if the buffer was asked for as one run of them.
    fn deref(&self) -> &[u8] {
        if self.0.buf.is_null() {
            return &[];
        }
        // SAFETY: the object says that they are there for as long as the buffer is not given back.
        unsafe { std::slice::from_raw_parts(self.0.buf.cast_const().cast(), self.0.len.cast_unsigned()) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(api) = Api::get() {
            // SAFETY: filled by GetBuffer, or empty, which Release leaves alone; with the GIL.
            unsafe { (api.PyBuffer_Release)(&raw mut self.0) };
        }
    }
}

impl Ref {
    /// The object, still owned by `self`.
    pub fn ptr(&self) -> Ptr {
        self.0
    }

    /// Gives the reference away, to whom the C API says takes it.
    pub fn into_ptr(self) -> Ptr {
        let object = self.0;
        std::mem::forget(self);
        object
    }
}

/// Attaches this thread for as long as `work` runs.
pub fn attached<R>(api: &'static Api, work: impl FnOnce(Gil) -> R) -> R {
    // SAFETY: the interpreter is initialised before an `Api` is handed out, and is not finalised
    // before every guest is joined: never, if the loader initialised it.
    let state = unsafe { (api.PyGILState_Ensure)() };
    // SAFETY: attached just now.
    let result = work(unsafe { Gil::assume(api) });
    // SAFETY: pairs with Ensure above.
    unsafe { (api.PyGILState_Release)(state) };
    result
}

impl<'a> Gil<'a> {
    /// # Safety
    /// This thread holds the GIL for as long as the token lives.
    pub unsafe fn assume(api: &'a Api) -> Self {
        Self { api, attached: PhantomData }
    }

    /// Lets go of the GIL while `work` runs, which touches no Python object.
    pub fn detached<R>(self, work: impl FnOnce() -> R) -> R {
        // SAFETY: the token says that the GIL is held.
        let state = unsafe { (self.api.PyEval_SaveThread)() };
        let result = work();
        // SAFETY: the state that was saved above, on the same thread.
        unsafe { (self.api.PyEval_RestoreThread)(state) };
        result
    }

    /// Takes over a new reference; none if the C API returned null and left an exception.
    #[allow(clippy::unused_self, reason = "a Ref is made, and dropped, by who holds the GIL")]
    pub fn own(self, object: Ptr) -> Option<Ref> {
        if object.is_null() { None } else { Some(Ref(object)) }
    }

    /// A second reference to an object that is alive.
    pub fn share(self, object: Ptr) -> Ref {
        // SAFETY: alive, says the caller; the GIL is held.
        unsafe { (self.api.Py_IncRef)(object) };
        Ref(object)
    }

    pub fn none(self) -> Ref {
        self.share(self.api._Py_NoneStruct)
    }

    pub fn text(self, text: &str) -> Option<Ref> {
        // SAFETY: a pointer with its length; null errors mean strict.
        self.utf8_text(text.as_bytes())
    }

    /// The `str` of some UTF-8; none, with an exception, if it is none.
    pub fn utf8_text(self, utf8: &[u8]) -> Option<Ref> {
        let (data, len) = (utf8.as_ptr().cast(), utf8.len().cast_signed());
        // SAFETY: a pointer with its length; null errors mean strict.
        self.own(unsafe { (self.api.PyUnicode_DecodeUTF8)(data, len, ptr::null()) })
    }

    /// `bytes` of some bytes.
    pub fn make_bytes(self, bytes: &[u8]) -> Option<Ref> {
        let (data, len) = (bytes.as_ptr().cast(), bytes.len().cast_signed());
        // SAFETY: a pointer with its length.
        self.own(unsafe { (self.api.PyBytes_FromStringAndSize)(data, len) })
    }

    /// The bytes of an object that is one run of them; none, with an exception, of another.
    pub fn bytes(self, object: Ptr) -> Option<View> {
        View::of(self, object, 0)
    }

    /// The UTF-8 of a `str`; none (and no exception) if it has none or is something else.
    pub fn utf8(self, object: &Ref) -> Option<&[u8]> {
        // SAFETY: the reference keeps the object.
        unsafe { self.utf8_of(object.ptr()) }
    }

    /// The same of an object that somebody else keeps.
    ///
    /// # Safety
    /// The object outlives the result.
    pub unsafe fn utf8_of<'b>(self, object: Ptr) -> Option<&'b [u8]> {
        let mut len = 0;
        // SAFETY: the object is alive; the result lives as long as the object.
        let data = unsafe { (self.api.PyUnicode_AsUTF8AndSize)(object, &raw mut len) };
        if data.is_null() {
            self.clear();
            return None;
        }
        // SAFETY: the interpreter says that `len` bytes stand there.
        Some(unsafe { std::slice::from_raw_parts(data.cast(), len.cast_unsigned()) })
    }

    pub fn attribute(self, object: Ptr, name: &CStr) -> Option<Ref> {
        // SAFETY: the object is alive and the name a C string.
        self.own(unsafe { (self.api.PyObject_GetAttrString)(object, name.as_ptr()) })
    }

    /// Calls `function` with `arguments` by position.
    pub fn call(self, function: Ptr, arguments: &[Ptr]) -> Option<Ref> {
        // SAFETY: all are alive while the call runs, since the caller holds them.
        self.own(unsafe {
            (self.api.vectorcall)(function, arguments.as_ptr(), arguments.len(), ptr::null_mut())
        })
    }

    /// A namespace to run code in.
    pub fn globals(self) -> Option<Ref> {
        // SAFETY: with the GIL; a dict made here, and builtins that are borrowed.
        unsafe {
            let globals = self.own((self.api.PyDict_New)())?;
            let builtins = (self.api.PyEval_GetBuiltins)();
            (self.api.PyDict_SetItemString)(globals.ptr(), c"__builtins__".as_ptr(), builtins);
            Some(globals)
        }
    }

    /// Runs source text that is of the kind `*_INPUT`; `name` is the file that tracebacks tell.
    pub fn run(self, source: &CStr, name: &CStr, kind: c_int, globals: &Ref) -> Option<Ref> {
        // SAFETY: with the GIL; C strings, and a dict that is alive.
        unsafe {
            let code = self.own((self.api.Py_CompileString)(source.as_ptr(), name.as_ptr(), kind))?;
            self.own((self.api.PyEval_EvalCode)(code.ptr(), globals.ptr(), globals.ptr()))
        }
    }

    pub fn clear(self) {
        // SAFETY: the GIL is held.
        unsafe { (self.api.PyErr_Clear)() };
    }

    /// Raises an exception object.
    pub fn raise(self, exception: &Ref) {
        // SAFETY: the exception is alive; its type is what it is raised as.
        unsafe { (self.api.PyErr_SetObject)((*exception.ptr()).kind, exception.ptr()) };
    }

    pub fn raise_type_error(self, message: &str) {
        if let Some(message) = self.text(message) {
            // SAFETY: the exception's type is alive; calling it makes an instance to raise.
            unsafe { (self.api.PyErr_SetObject)(*self.api.PyExc_TypeError, message.ptr()) };
        }
    }

    pub fn number(self, number: i64) -> Option<Ref> {
        // SAFETY: the GIL is held.
        self.own(unsafe { (self.api.PyLong_FromLong)(number) })
    }

    /// Takes the exception that was raised, with its traceback.
    pub fn raised(self) -> Option<Ref> {
        let (mut kind, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: three places to write to; what comes back is owned by this function.
        unsafe {
            (self.api.PyErr_Fetch)(&raw mut kind, &raw mut value, &raw mut trace);
            if kind.is_null() {
                return None;
            }
            (self.api.PyErr_NormalizeException)(&raw mut kind, &raw mut value, &raw mut trace);
            if !trace.is_null() {
                (self.api.PyException_SetTraceback)(value, trace);
            }
        }
        drop((self.own(kind), self.own(trace)));
        self.own(value)
    }
}
