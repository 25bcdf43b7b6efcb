// SPDX-License-Identifier: Apache-2.0
//! The object behind the memoryview that a function gets: a task, and the memory of its request.
//!
//! That memory ends with the response, but slices of a memoryview, or arrays made from it, may live
//! on. They all keep an export of this object, so the object knows: if one is left when the
//! response is sent, the host is asked to hold the memory, and told when the last one has gone.

use crate::failure::error_object;
use crate::python::api::{self, Api, Buffer, Object, Ptr, Slot, Spec};
use crate::python::object::{Gil, Ref};
use crate::runtime::Runtime;
use crate::task::watch::Watch;
use polyloop_abi::{KIND_ITEM, Task};
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

/// The object. An item of a request stream has one of its own, as a task whose kind says so: an
/// item needs no answer but is given back, once no view of it is left.
#[repr(C)]
pub struct Request {
    object: Object,
    pub runtime: *const Runtime,
    pub task: Task,
    /// The items of the task's request stream that were handed out last, the newest first: owned,
    /// or null.
    pub items: [Ptr; 2],
    /// What the host tells of the task's events, or null: a `Box`.
    pub watch: *mut Watch,
    exports: usize,
    state: State,
    /// The task is not answered yet: the host may be asked about it.
    pub live: bool,
    /// Whether the task still wants a response from who holds the token; only those that are
    /// Python's set it.
    pub unanswered: bool,
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

    /// The object itself, still owned by `self`.
    pub fn ptr(&self) -> Ptr {
        self.0.ptr()
    }

    /// Exports the memory of `task` from now on.
    pub fn open(&mut self, task: &Task) {
        // SAFETY: with the GIL, and no view of the object exists.
        let request = unsafe { self.request().as_mut() };
        request.task = *task;
        request.state = State::Open;
        request.live = true;
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

    /// The object of an item, for its task to keep.
    pub fn into_item(self) -> Ref {
        self.0
    }
}

/// A memoryview of the memory of a request object, which is open.
pub fn view(gil: Gil, object: Ptr) -> Option<Ref> {
    // SAFETY: the object is alive, its holder sees to that.
    gil.own(unsafe { (gil.api.PyMemoryView_FromObject)(object) })
}

/// The request object behind `object`, if it is one.
pub fn cast(gil: Gil, object: Ptr) -> Option<NonNull<Request>> {
    // SAFETY: the object is alive; only its type is looked at, and only instances of the type are
    // Requests.
    if unsafe { (*object).kind } == kind(gil)? { NonNull::new(object.cast()) } else { None }
}

/// Ends a task's request, just before the response.
///
/// # Safety
/// The object is alive and the GIL held.
pub unsafe fn settle(mut request: NonNull<Request>) {
    // SAFETY: as the caller says.
    unsafe {
        settle_items(request);
        request.as_mut().live = false;
        if request.as_ref().exports != 0 {
            hold(request);
        } else {
            request.as_mut().state = State::Over;
        }
    }
}

/// Gives back every item that was handed out: those that are still exported stay valid.
///
/// # Safety
/// As for [`settle`].
pub unsafe fn settle_items(mut request: NonNull<Request>) {
    // SAFETY: as the caller says.
    for item in std::mem::replace(unsafe { &mut request.as_mut().items }, [ptr::null_mut(); 2]) {
        // SAFETY: null, or an object that the task owned.
        unsafe { settle_owned(item) };
    }
}

/// Whether a view of an item is left.
pub fn is_viewed(item: &Ref) -> bool {
    // SAFETY: an item's object is a Request; alive, with the GIL.
    unsafe { (*item.ptr().cast::<Request>()).exports != 0 }
}

/// Gives an item back.
pub fn settle_item(item: Ref) {
    // SAFETY: an object that is owned, with the GIL.
    unsafe { settle_owned(item.into_ptr()) };
}

/// Has a task keep an item that was handed out, and gives back the one before the last: in a loop
/// the last one is still in a variable when the next is asked for, and holding each for that would
/// cost two calls.
///
/// # Safety
/// As for [`settle`].
pub unsafe fn keep_item(mut request: NonNull<Request>, item: Ref) {
    // SAFETY: as the caller says.
    let items = unsafe { &mut request.as_mut().items };
    let oldest = std::mem::replace(items, [item.into_ptr(), items[0]])[1];
    // SAFETY: null, or an object that the task owned.
    unsafe { settle_owned(oldest) };
}

unsafe fn settle_owned(item: Ptr) {
    let (Some(mut item), Some(api)) = (NonNull::new(item.cast::<Request>()), Api::get()) else { return };
    // SAFETY: alive until the reference that the task had is dropped here; an item has a runtime.
    unsafe {
        if item.as_ref().state == State::Open {
            if item.as_ref().exports != 0 {
                hold(item);
            } else {
                item.as_mut().state = State::Over;
            }
            (*item.as_ref().runtime).give_back(item.as_ref().task.id);
        }
        (api.Py_DecRef)(item.as_ptr().cast());
    }
}

/// Asks the host to keep the memory until `release_buffer` gives the last view back.
unsafe fn hold(mut request: NonNull<Request>) {
    // SAFETY: a request with exports was opened, so it has a runtime; with the GIL.
    unsafe {
        let request = request.as_mut();
        (*request.runtime).hold(request.task.id);
        request.state = State::Held;
    }
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
        let task = &(*request).task;
        let (data, len) = (task.data.cast_mut().cast(), task.len.cast_signed() as isize);
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
    if request.exports != 0 {
        return;
    }
    let Task { id, kind, .. } = request.task;
    // SAFETY: an object that was exported has a runtime.
    let runtime = unsafe { &*request.runtime };
    match request.state {
        State::Held => runtime.release(id),
        State::Open if kind == KIND_ITEM => runtime.give_back(id),
        _ => return,
    }
    request.state = State::Over;
}

unsafe extern "C" fn dealloc(object: Ptr) {
    let Some(api) = Api::get() else { return };
    // SAFETY: the last reference has gone; every view holds one, so there are no exports.
    unsafe {
        let request: *mut Request = object.cast();
        let kind = (*object).kind;
        if !(*request).runtime.is_null() {
            let runtime = Arc::from_raw((*request).runtime);
            forget(&runtime, NonNull::new_unchecked(request));
        }
        (api.PyObject_Free)(object.cast());
        (api.Py_DecRef)(kind);
    }
}

/// Answers a task that nobody else will answer any more, and lets go of what the object owns.
unsafe fn forget(runtime: &Runtime, mut request: NonNull<Request>) {
    // SAFETY: the last reference has gone, with the GIL.
    unsafe {
        let open = runtime.is_open();
        settle_items(request);
        if request.as_ref().unanswered {
            let message = "the guest let go of the call before it was answered: its event loop ended, maybe";
            runtime.respond_error(request.as_ref().task.id, &error_object("RuntimeError", message));
        }
        let Request { watch, unanswered, .. } = request.as_mut();
        // A task that cannot be answered any more may be watched for ever.
        if !watch.is_null() && (open || !*unanswered) {
            drop(Box::from_raw(*watch));
        }
    }
}

unsafe fn raise(api: &Api, exception: *const Ptr, message: &CStr) {
    // SAFETY: an exception of the interpreter and a C string, with the GIL.
    unsafe { (api.PyErr_SetString)(*exception, message.as_ptr()) };
}

const _: () = assert!(offset_of!(Request, runtime) == 2 * size_of::<usize>());
