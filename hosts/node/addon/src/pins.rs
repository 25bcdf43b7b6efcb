// SPDX-License-Identifier: Apache-2.0
//! Requests too large for their slot: the guest reads the caller's own memory.
//!
//! A reference to a Buffer does not keep its memory: `postMessage` with a transfer list, or
//! `ArrayBuffer.prototype.transfer`, moves it away and its new owner may free it while a guest
//! reads. V8's backing store can be held instead. Node-API has no word for that, so two symbols of
//! V8 are looked up at run time, and they and the layout of libstdc++'s `shared_ptr` are tried out
//! once; if they are missing or do not answer as expected, requests are copied. A guest in a
//! process of its own gets a copy in memory that both map.

use std::{
    ffi::{CStr, c_void},
    mem::{ManuallyDrop, MaybeUninit},
    ptr::{self, NonNull},
    sync::atomic::{AtomicI32, Ordering},
};

use napi_sys::{self as sys, napi_env, napi_value};
use polyloop_ring::request_heap::Allocation;

use crate::napi::{Result, check, integer, value};

/// Memory that stays readable until it is dropped.
pub enum Pin {
    /// The caller's own.
    Held { start: *const u8, _store: Store },
    /// A copy.
    Copied(Box<[u8]>),
    /// A copy that another process reads.
    Placed(Allocation),
}

// SAFETY: the address is only told; what is there stays as long as the pin, whatever thread drops
// it.
unsafe impl Send for Pin {}

impl Pin {
    /// What the entry says of the memory: where that begins.
    pub fn address(&self) -> u64 {
        match self {
            Self::Held { start, .. } => *start as u64,
            Self::Copied(bytes) => bytes.as_ptr() as u64,
            Self::Placed(allocation) => allocation.address(),
        }
    }
}

/// One owner's share of a `std::shared_ptr<v8::BackingStore>`.
pub struct Store(NonNull<Control>);

/// libstdc++'s `_Sp_counted_base`, whose layout has been the same since GCC 5.
#[repr(C)]
struct Control {
    functions: NonNull<Functions>,
    owners: AtomicI32,
    /// Weak owners, and one for all owners together.
    watchers: AtomicI32,
}

/// Its virtual functions.
#[repr(C)]
struct Functions {
    destructors: [usize; 2],
    /// Destroys the object.
    dispose: unsafe extern "C" fn(NonNull<Control>),
    /// Frees the control block.
    destroy: unsafe extern "C" fn(NonNull<Control>),
}

// SAFETY: the counts are atomic, and V8 itself frees backing stores on other threads.
unsafe impl Send for Store {}

impl Store {
    fn control(&self) -> &Control {
        // SAFETY: the control block lives while this owner does.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Control { functions, owners, watchers } = self.control();
        // SAFETY: the table is static; `answers` has found it to be what it should be.
        let Functions { dispose, destroy, .. } = *unsafe { functions.as_ref() };
        // As `_M_release` does: the last owner destroys, the last watcher frees.
        if owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: nobody owns the object any more.
            unsafe { dispose(self.0) };
            if watchers.fetch_sub(1, Ordering::AcqRel) == 1 {
                // SAFETY: nobody knows the block any more; this owner does not touch it again.
                unsafe { destroy(self.0) };
            }
        }
    }
}

/// `std::shared_ptr` is returned through a hidden pointer. A struct of four words is too by the C
/// ABIs of x86-64 and arm64; the callee fills the first two: object, control block.
#[repr(C)]
struct Shared([MaybeUninit<usize>; 4]);

type GetBackingStore = unsafe extern "C" fn(this: napi_value) -> Shared;
type Data = unsafe extern "C" fn(this: *const c_void) -> *mut c_void;

/// How this process can pin.
#[derive(Clone, Copy)]
pub struct Pinner {
    get: Option<GetBackingStore>,
}

impl Pinner {
    /// Looks the symbols up and tries them on an `ArrayBuffer` of our own.
    pub fn probe(env: napi_env) -> Self {
        let found = symbols()
            .filter(|(get, data)| answers(env, *get, *data).unwrap_or(false))
            .filter(|(get, _)| !reallocates(env, *get).unwrap_or(true));
        Self { get: found.map(|(get, _)| get) }
    }

    /// Whether memory is held rather than copied.
    pub fn holds(self) -> bool {
        self.get.is_some()
    }

    /// Pins the memory of a view: `start` and `len` are its bytes, `buffer` what it views.
    pub fn pin(self, env: napi_env, buffer: napi_value, start: *const u8, len: usize) -> Pin {
        let mut plain = false;
        // SAFETY: env and buffer belong to the running callback. A SharedArrayBuffer is not plain.
        unsafe { sys::napi_is_arraybuffer(env, buffer, &raw mut plain) };
        match self.get.filter(|_| plain).and_then(|get| store(buffer, get)) {
            Some((_, store)) => Pin::Held { start, _store: store },
            // SAFETY: the view's memory, read before the callback returns.
            None => Pin::Copied(unsafe { std::slice::from_raw_parts(start, len) }.into()),
        }
    }
}

/// The backing store of an `ArrayBuffer`, and this owner's share of it.
fn store(buffer: napi_value, get: GetBackingStore) -> Option<(*const c_void, Store)> {
    // SAFETY: a napi_value is the address of a handle slot, as a v8::Local is; `this` of a handle's
    // class is that address. `answers` tried it; `pin` checked that it is an ArrayBuffer.
    let Shared([object, control, ..]) = unsafe { get(buffer) };
    // SAFETY: a shared_ptr is these two words.
    let (object, control) = unsafe { (object.assume_init(), control.assume_init()) };
    Some((object as *const c_void, Store(NonNull::new(control as *mut Control)?)))
}

fn symbols() -> Option<(GetBackingStore, Data)> {
    fn find(name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: a lookup by name in the global scope.
        NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
    }
    let get = find(c"_ZN2v811ArrayBuffer15GetBackingStoreEv")?;
    let data = find(c"_ZNK2v812BackingStore4DataEv")?;
    // SAFETY: the mangled names give the functions' types; `answers` tries them.
    Some(unsafe {
        (
            std::mem::transmute::<NonNull<c_void>, GetBackingStore>(get),
            std::mem::transmute::<NonNull<c_void>, Data>(data),
        )
    })
}

/// Whether the store of a new `ArrayBuffer` is where Node-API says that its memory is, and its
/// owners are counted where we count. (libc++ keeps one count of 64 bits there: its upper half is
/// never 1.)
fn answers(env: napi_env, get: GetBackingStore, data: Data) -> Result<bool> {
    let mut start = ptr::null_mut();
    // SAFETY: env is live.
    let buffer =
        value("a buffer", |out| unsafe { sys::napi_create_arraybuffer(env, 64, &raw mut start, out) })?;
    let (Some((object, first)), Some((same, second))) = (store(buffer, get), store(buffer, get)) else {
        return Ok(false);
    };
    // SAFETY: object is the BackingStore that `first` keeps alive.
    let there = object == same && unsafe { data(object) } == start;
    // A share is dropped only once the counts are known to be ours.
    let (first, second) = (ManuallyDrop::new(first), ManuallyDrop::new(second));
    let Control { owners, watchers, .. } = first.control();
    let counted = owners.load(Ordering::Relaxed) == 3 && watchers.load(Ordering::Relaxed) == 1;
    if !there || !counted {
        return Ok(false);
    }
    drop(ManuallyDrop::into_inner(second));
    let dropped = owners.load(Ordering::Relaxed) == 2;
    drop(ManuallyDrop::into_inner(first));
    Ok(dropped)
}

/// Whether this V8 reallocates a store in place when `transfer` gives its bytes another length, as
/// V8 12 (Node.js 22) does whoever else owns the store: a guest would then read memory that is
/// gone.
fn reallocates(env: napi_env, get: GetBackingStore) -> Result<bool> {
    let mut start = ptr::null_mut();
    // SAFETY: env is live.
    let buffer =
        value("a buffer", |out| unsafe { sys::napi_create_arraybuffer(env, 64, &raw mut start, out) })?;
    // SAFETY: as above; the name is static.
    let transfer = value("transfer", |out| unsafe {
        sys::napi_get_named_property(env, buffer, c"transfer".as_ptr(), out)
    })?;
    let mut kind = sys::ValueType::napi_undefined;
    // SAFETY: as above.
    check(unsafe { sys::napi_typeof(env, transfer, &raw mut kind) }, "transfer")?;
    if kind != sys::ValueType::napi_function {
        return Ok(false);
    }
    let (before, _held) = store(buffer, get).ok_or("no store")?;
    let length = integer(env, 32)?;
    // SAFETY: as above; the function belongs to the buffer.
    let moved = value("transfer", |out| unsafe {
        sys::napi_call_function(env, buffer, transfer, 1, &raw const length, out)
    })?;
    let (after, _moved) = store(moved, get).ok_or("no store")?;
    Ok(after == before)
}
