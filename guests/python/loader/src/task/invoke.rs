// SPDX-License-Identifier: Apache-2.0
//! One call: arguments in, response out.

use crate::failure::error_object;
use crate::json::Text;
use crate::python::api::{self, Buffer, Ptr};
use crate::python::object::{Gil, Ref, View};
use crate::runtime::Runtime;
use crate::task::plan::Plan;
use crate::task::request::view;
use polyloop_abi::{FLAG_BYTES, FLAG_EMPTY, FLAG_SPREAD, STATUS_ERROR, STATUS_OK, Task};
use std::ffi::CStr;
use std::ops::Range;
use std::ptr;

/// The arguments of a call, by position.
pub enum Arguments {
    None,
    One(Ref),
    /// A Python list.
    Many(Ref),
}

/// Functions with more arguments than this are called through a tuple.
const SMALL: usize = 8;

impl Arguments {
    /// Decodes the request of `task`, which the object `request` is open for; none if an exception
    /// was raised.
    pub fn read(gil: Gil, plan: &Plan, request: Ptr, task: &Task) -> Option<Self> {
        if task.flags & FLAG_EMPTY != 0 {
            return Some(Self::None);
        }
        if task.flags & FLAG_BYTES != 0 {
            return view(gil, request).map(Self::One);
        }
        // SAFETY: the request is readable until the response.
        let payload = unsafe { std::slice::from_raw_parts(task.data, task.len as usize) };
        let value = plan.codec.decode(gil, payload, || view(gil, request))?;
        if task.flags & FLAG_SPREAD == 0 {
            return Some(Self::One(value));
        }
        // SAFETY: alive; only its type is looked at.
        if unsafe { (*value.ptr()).kind } != gil.api.PyList_Type {
            gil.raise_type_error("the arguments are not an array");
            return None;
        }
        Some(Self::Many(value))
    }

    /// Calls `function` with them.
    pub fn call(&self, gil: Gil, plan: &Plan, function: Ptr) -> Option<Ref> {
        match self {
            Self::None => gil.call(function, &[]),
            Self::One(argument) => gil.call(function, &[argument.ptr()]),
            Self::Many(list) if has_keywords(gil, plan, list) => {
                gil.call(plan.apply.ptr(), &[function, list.ptr()])
            }
            Self::Many(list) => call_spread(gil, function, list),
        }
    }

    /// The same as a tuple.
    pub fn into_tuple(self, gil: Gil) -> Option<Ref> {
        // SAFETY: sizes are as stated; SetItem takes over the reference it is given.
        unsafe {
            match self {
                Self::None => gil.own((gil.api.PyTuple_New)(0)),
                Self::Many(list) => gil.own((gil.api.PyList_AsTuple)(list.ptr())),
                Self::One(argument) => {
                    let tuple = gil.own((gil.api.PyTuple_New)(1))?;
                    (gil.api.PyTuple_SetItem)(tuple.ptr(), 0, argument.into_ptr());
                    Some(tuple)
                }
            }
        }
    }
}

/// Whether the last of the arguments is keywords.
fn has_keywords(gil: Gil, plan: &Plan, list: &Ref) -> bool {
    // SAFETY: a list that nobody else has; only the type of its last item is looked at.
    unsafe {
        let count = (gil.api.PyList_Size)(list.ptr());
        count > 0 && (*(gil.api.PyList_GetItem)(list.ptr(), count - 1)).kind == plan.keywords.ptr().cast()
    }
}

fn call_spread(gil: Gil, function: Ptr, list: &Ref) -> Option<Ref> {
    // SAFETY: a list that nobody else has, so its items stay while it lives.
    unsafe {
        let count = (gil.api.PyList_Size)(list.ptr()).cast_unsigned();
        if count > SMALL {
            let tuple = gil.own((gil.api.PyList_AsTuple)(list.ptr()))?;
            return gil.own((gil.api.PyObject_CallObject)(function, tuple.ptr()));
        }
        let mut items = [ptr::null_mut(); SMALL];
        for (index, item) in items[..count].iter_mut().enumerate() {
            *item = (gil.api.PyList_GetItem)(list.ptr(), index.cast_signed());
        }
        gil.call(function, &items[..count])
    }
}

/// A response, with whatever keeps its bytes alive.
pub struct Response {
    status: u32,
    flags: u8,
    data: *const u8,
    len: usize,
    _owner: Owner,
}

enum Owner {
    /// Nothing, or the memory of the request itself, which lasts until the response is sent.
    Host,
    Object(#[allow(dead_code, reason = "held for its drop")] Ref),
    Buffer(#[allow(dead_code, reason = "held for its drop")] View),
    Text(#[allow(dead_code, reason = "held for its drop")] Text),
}

impl Response {
    /// The response for what a function returned, or raised.
    pub fn of(gil: Gil, plan: &Plan, result: Option<Ref>, request: &Range<usize>) -> Self {
        let response = match result {
            Some(value) => Self::pack(gil, plan, value, request),
            None => None,
        };
        response.unwrap_or_else(|| Self::raised(gil, plan))
    }

    /// A value as it travels, as a result or as an item; none, with an exception, if the value
    /// cannot.
    pub fn pack(gil: Gil, plan: &Plan, value: Ref, request: &Range<usize>) -> Option<Self> {
        let api = gil.api;
        if value.ptr() == api._Py_NoneStruct {
            return Some(Self::new(STATUS_OK, FLAG_EMPTY, &[], Owner::Host));
        }
        // SAFETY: alive.
        let kind = unsafe { (*value.ptr()).kind };
        // SAFETY: types are alive as long as their instances.
        unsafe {
            if kind == api.PyBytes_Type || (api.PyType_GetFlags)(kind) & api::TPFLAGS_BYTES_SUBCLASS != 0 {
                return Some(Self::bytes(gil, value, FLAG_BYTES));
            }
            let is_view = kind == api.PyMemoryView_Type && is_of_bytes(gil, &value)?;
            if is_view || (api.PyType_IsSubtype)(kind, api.PyByteArray_Type) == 1 {
                return Self::buffer(gil, &value, request);
            }
        }
        if let Some(text) = plan.codec.write(gil, &value) {
            let (data, len) = (text.as_ptr(), text.len());
            return Some(Self { status: STATUS_OK, flags: 0, data, len, _owner: Owner::Text(text) });
        }
        if let Some(encoded) = plan.codec.encode(gil, &value) {
            return Some(Self::bytes(gil, encoded, 0));
        }
        let error = gil.raised()?;
        gil.raise(&gil.call(plan.unfit.ptr(), &[value.ptr(), error.ptr()])?);
        None
    }

    /// The UTF-8 of a text.
    fn text(gil: Gil, text: Ref) -> Option<Self> {
        let utf8 = gil.utf8(&text)?;
        let (data, len) = (utf8.as_ptr(), utf8.len());
        Some(Self { status: STATUS_OK, flags: 0, data, len, _owner: Owner::Object(text) })
    }

    fn bytes(gil: Gil, value: Ref, flags: u8) -> Self {
        // SAFETY: a bytes object, alive and immutable.
        let (data, len) =
            unsafe { ((gil.api.PyBytes_AsString)(value.ptr()), (gil.api.PyBytes_Size)(value.ptr())) };
        Self {
            status: STATUS_OK,
            flags,
            data: data.cast(),
            len: len.cast_unsigned(),
            _owner: Owner::Object(value),
        }
    }

    /// A view into the request itself is let go at once: its memory outlives the objects.
    fn buffer(gil: Gil, value: &Ref, request: &Range<usize>) -> Option<Self> {
        let Some(view) = gil.bytes(value.ptr()) else {
            gil.clear();
            // SAFETY: alive; a view with strides becomes a copy.
            return gil
                .own(unsafe { (gil.api.PyBytes_FromObject)(value.ptr()) })
                .map(|copy| Self::bytes(gil, copy, FLAG_BYTES));
        };
        let (data, len) = (view.0.buf.cast_const().cast(), view.0.len.cast_unsigned());
        let start = data as usize;
        let within = request.start <= start && start + len <= request.end;
        let owner = if within { Owner::Host } else { Owner::Buffer(view) };
        Some(Self { status: STATUS_OK, flags: FLAG_BYTES, data, len, _owner: owner })
    }

    /// The response for the exception that is being raised.
    pub fn raised(gil: Gil, plan: &Plan) -> Self {
        match gil.raised() {
            Some(error) => Self::error(gil, plan, &error),
            None => Self::failure(gil, "the function failed without an exception"),
        }
    }

    /// The response for an exception.
    pub fn error(gil: Gil, plan: &Plan, error: &Ref) -> Self {
        let described = gil.call(plan.describe.ptr(), &[error.ptr()]);
        match described.and_then(|text| Self::text(gil, text)) {
            Some(response) => Self { status: STATUS_ERROR, ..response },
            None => Self::failure(gil, "an exception that cannot be described"),
        }
    }

    /// An error of the loader's own.
    pub fn failure(gil: Gil, message: &str) -> Self {
        gil.clear();
        let text = gil.text(&error_object("RuntimeError", message));
        match text.and_then(|text| Self::text(gil, text)) {
            Some(response) => Self { status: STATUS_ERROR, ..response },
            None => Self::new(
                STATUS_ERROR,
                0,
                br#"{"type":"MemoryError","message":"out of memory"}"#,
                Owner::Host,
            ),
        }
    }

    fn new(status: u32, flags: u8, data: &'static [u8], owner: Owner) -> Self {
        Self { status, flags, data: data.as_ptr(), len: data.len(), _owner: owner }
    }

    pub fn send(self, runtime: &Runtime, task: u64) {
        // SAFETY: the owner, or the request that is not answered yet, keeps the bytes.
        unsafe { runtime.respond(task, self.status, self.flags, self.data, self.len) };
    }
}

impl Response {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sends the response as an item of the task's response stream: `STREAM_*`. Without the GIL,
    /// and between the runtime's `enter` and `leave` if that may wait.
    pub fn stream(&self, runtime: &Runtime, task: u64, wait: bool) -> i32 {
        // SAFETY: the owner, or the request that is not answered yet, keeps the bytes.
        unsafe { runtime.send(task, self.flags, self.data, self.len, wait) }
    }
}

/// Whether a memoryview is one of bytes; others are arrays of numbers.
fn is_of_bytes(gil: Gil, value: &Ref) -> Option<bool> {
    let view = View::of(gil, value.ptr(), api::BUF_FULL_RO)?;
    let Buffer { ndim, format, .. } = view.0;
    // SAFETY: null, or a C string that lives as long as the view.
    let format = unsafe { format.as_ref().map(|_| CStr::from_ptr(format)) };
    Some(ndim == 1 && format.is_none_or(|format| format == c"B" || format == c"c"))
}

/// Where the request of `task` lies.
pub fn bounds(task: &Task) -> Range<usize> {
    let start = task.data as usize;
    start..start + task.len as usize
}
