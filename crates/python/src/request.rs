// SPDX-License-Identifier: Apache-2.0
//! The object behind the memoryview that a function gets: a task, and the memory of its request.
//!
//! That memory ends with the response, but slices of a memoryview, or arrays made from it, may live
//! on. They all keep an export of this object, so it knows: where one is left when the response is
//! sent, the host is asked to hold the memory, and told when the last one has gone.

use crate::api::{self, Api, Buffer, Object, Ptr, Slot, Spec};
use crate::failure::error_object;
use crate::object::{Gil, Ref};
use crate::runtime::Runtime;
use polyloop_abi::Task;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

#[repr(C)]
struct Request {
    object: Object,
    runtime: *const Runtime,
    task: u64,
    data: *const u8,
    len: usize,
    exports: usize,
    state: State,
    /// Whether the task still wants a response; only those that wait on the asyncio loop set it.
    unanswered: bool,
}

/// 0 is what Python's allocator leaves there: nothing to export.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum State {
    Over = 0,
    Open = 1,
    Held = 2,
}

static TYPE: OnceLock<Ref> = OnceLock::new();

/// An owned reference to a request object.
pub struct Lease(Ref);

impl Lease {
    /// A request object of `runtime`, not open yet.
    pub fn new(gil: Gil, runtime: &Arc<Runtime>) -> Option<Self> {
        let kind = kind(gil)?;
        // SAFETY: a type made here; the memory comes zeroed, which is a valid Request.
        let object = gil.own(unsafe { (gil.api.PyType_GenericAlloc)(kind, 0) })?;
        // SAFETY: an instance of the type is a Request, and nobody else has it yet.
        unsafe { (*object.ptr().cast::<Request>()).runtime = Arc::into_raw(Arc::clone(runtime)) };
        Some(Self(object))
    }

    fn request(&self) -> NonNull<Request> {
        // SAFETY: a reference is never null.
        unsafe { NonNull::new_unchecked(self.0.ptr().cast()) }
    }

    /// Exports the memory of `task` from now on.
    pub fn open(&mut self, task: &Task) {
        // SAFETY: with the GIL, and no view of the object exists.
        let request = unsafe { self.request().as_mut() };
        request.task = task.id;
        request.data = task.data;
        request.len = task.len as usize;
        request.state = State::Open;
    }

    /// A memoryview of the request.
    pub fn view(&self, gil: Gil) -> Option<Ref> {
        // SAFETY: the object is alive.
        gil.own(unsafe { (gil.api.PyMemoryView_FromObject)(self.0.ptr()) })
    }

    /// Ends the request, just before its response: what is still exported stays valid.
    /// Answers whether the object can serve another task.
    pub fn settle(&mut self) -> bool {
        // SAFETY: with the GIL.
        unsafe { settle(self.request()) };
        // SAFETY: alive, with the GIL.
        unsafe { self.request().as_ref().exports == 0 && !Object::is_shared(self.0.ptr()) }
    }

    /// Hands the object to Python as the token of an unanswered task.
    pub fn into_token(self) -> Ref {
        // SAFETY: with the GIL.
        unsafe { (*self.request().as_ptr()).unanswered = true };
        self.0
    }
}

/// The task behind a token, if `object` is one that still wants a response: from now on it does not.
pub fn claim(gil: Gil, object: Ptr) -> Option<Claim> {
    // SAFETY: the object is alive; only instances of the type are Requests.
    unsafe {
        if (*object).kind != kind(gil)? || !(*object.cast::<Request>()).unanswered {
            return None;
        }
        (*object.cast::<Request>()).unanswered = false;
        let request = NonNull::new_unchecked(object.cast::<Request>());
        let Request { task, data, len, .. } = *request.as_ref();
        Some(Claim { request, task, bounds: data as usize..data as usize + len })
    }
}

/// The right to answer a task.
pub struct Claim {
    request: NonNull<Request>,
    pub task: u64,
    /// Where the request lies.
    pub bounds: Range<usize>,
}

impl Claim {
    /// As [`Lease::settle`].
    pub fn settle(&self) {
        // SAFETY: the token is alive, its holder sees to that; with the GIL.
        unsafe { settle(self.request) };
    }
}

unsafe fn settle(mut request: NonNull<Request>) {
    // SAFETY: alive and with the GIL, says the caller.
    let request = unsafe { request.as_mut() };
    if request.exports == 0 {
        request.state = State::Over;
        return;
    }
    // SAFETY: a request with exports was opened, so it has a runtime.
    unsafe { &*request.runtime }.hold(request.task);
    request.state = State::Held;
}

fn kind(gil: Gil) -> Option<Ptr> {
    if let Some(kind) = TYPE.get() {
        return Some(kind.ptr());
    }
    let mut slots = [
        Slot { slot: api::BF_GETBUFFER, function: get_buffer as *mut c_void },
        Slot { slot: api::BF_RELEASEBUFFER, function: release_buffer as *mut c_void },
        Slot { slot: api::TP_DEALLOC, function: dealloc as *mut c_void },
        Slot { slot: 0, function: ptr::null_mut() },
    ];
    let mut spec = Spec {
        name: c"polyloop.Request".as_ptr(),
        basicsize: size_of::<Request>().cast_signed() as c_int,
        itemsize: 0,
        flags: api::TPFLAGS_DEFAULT,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: a spec as documented; the name is static, the rest is copied.
    let kind = gil.own(unsafe { (gil.api.PyType_FromSpec)(&raw mut spec) })?;
    Some(TYPE.get_or_init(|| kind).ptr())
}

unsafe extern "C" fn get_buffer(object: Ptr, view: *mut Buffer, flags: c_int) -> c_int {
    let Some(api) = Api::get() else { return -1 };
    let request: *mut Request = object.cast();
    // SAFETY: Python calls this for an instance, with the GIL and a view to fill.
    unsafe {
        if (*request).state == State::Over {
            (*view).obj = ptr::null_mut();
            raise(api, api.PyExc_BufferError, c"the task is over, and its request with it");
            return -1;
        }
        let (data, len) = ((*request).data.cast_mut().cast(), (*request).len.cast_signed());
        let result = (api.PyBuffer_FillInfo)(view, object, data, len, 1, flags);
        if result == 0 {
            (*request).exports += 1;
        }
        result
    }
}

unsafe extern "C" fn release_buffer(object: Ptr, _view: *mut Buffer) {
    // SAFETY: Python calls this once for each view that get_buffer filled, with the GIL.
    let request = unsafe { &mut *object.cast::<Request>() };
    request.exports -= 1;
    if request.exports == 0 && request.state == State::Held {
        request.state = State::Over;
        // SAFETY: a held request has a runtime.
        unsafe { &*request.runtime }.release(request.task);
    }
}

unsafe extern "C" fn dealloc(object: Ptr) {
    let Some(api) = Api::get() else { return };
    // SAFETY: the last reference has gone; every view holds one, so there are no exports.
    unsafe {
        let request: *mut Request = object.cast();
        let kind = (*object).kind;
        if !(*request).runtime.is_null() {
            let runtime = Arc::from_raw((*request).runtime);
            if (*request).unanswered {
                let message = "the event loop of the guest ended before the function did";
                runtime.respond_error((*request).task, &error_object("RuntimeError", message));
            }
        }
        (api.PyObject_Free)(object.cast());
        (api.Py_DecRef)(kind);
    }
}

unsafe fn raise(api: &Api, exception: *const Ptr, message: &CStr) {
    // SAFETY: an exception of the interpreter and a C string, with the GIL.
    unsafe { (api.PyErr_SetString)(*exception, message.as_ptr()) };
}

const _: () = assert!(offset_of!(Request, runtime) == 2 * size_of::<usize>());
