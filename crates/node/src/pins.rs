// SPDX-License-Identifier: Apache-2.0
//! Requests too large for their slot: the guest reads the caller's own memory.
//!
//! A reference to a Buffer does not keep its memory: `postMessage` with a transfer list, or
//! `ArrayBuffer.prototype.transfer`, moves it away and its new owner may free it while a guest reads.
//! V8's backing store can be held instead. Node-API has no word for that, so three symbols of V8 and
//! libstdc++ are looked up at run time and tried out once; where they are missing or do not answer
//! as expected, requests are copied.

use std::{
    ffi::{CStr, c_void},
    mem::MaybeUninit,
    ptr,
};

use napi_sys::{self as sys, napi_env, napi_value};

use crate::napi::{Result, check, value};

/// Memory that stays readable until it is dropped.
pub enum Pin {
    Held { _store: Store },
    Copied(Box<[u8]>),
}

impl Pin {
    /// First byte, where it was copied: elsewhere it stays where it was.
    pub fn copied(&self) -> Option<*const u8> {
        match self {
            Self::Held { .. } => None,
            Self::Copied(bytes) => Some(bytes.as_ptr()),
        }
    }
}

/// A `std::shared_ptr<v8::BackingStore>`.
pub struct Store {
    control: *mut c_void,
    release: Release,
}

// SAFETY: the count of a shared_ptr is atomic, and V8 itself frees backing stores on other threads.
unsafe impl Send for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the control block that GetBackingStore returned, released once.
        unsafe { (self.release)(self.control) };
    }
}

/// `std::shared_ptr` is returned through a hidden pointer. A struct of four words is too by the C
/// ABIs of x86-64 and arm64; the callee fills the first two: object, control block.
#[repr(C)]
struct Shared([MaybeUninit<usize>; 4]);

type GetBackingStore = unsafe extern "C" fn(this: napi_value) -> Shared;
type Release = unsafe extern "C" fn(control: *mut c_void);
type Data = unsafe extern "C" fn(this: *const c_void) -> *mut c_void;

/// How this process can pin.
#[derive(Clone, Copy)]
pub struct Pinner {
    hold: Option<(GetBackingStore, Release)>,
}

impl Pinner {
    /// Looks the symbols up and tries them on an `ArrayBuffer` of our own.
    pub fn probe(env: napi_env) -> Self {
        Self {
            hold: symbols()
                .filter(|found| answers(env, *found).unwrap_or(false))
                .map(|(get, release, _)| (get, release)),
        }
    }

    /// Whether memory is held rather than copied.
    pub fn holds(self) -> bool {
        self.hold.is_some()
    }

    /// Pins the memory of a view: `start` and `len` are its bytes, `buffer` what it views.
    pub fn pin(self, env: napi_env, buffer: napi_value, start: *const u8, len: usize) -> Pin {
        let mut plain = false;
        // SAFETY: env and buffer belong to the running callback. A SharedArrayBuffer is not plain.
        unsafe { sys::napi_is_arraybuffer(env, buffer, &raw mut plain) };
        match self.hold.filter(|_| plain).and_then(|found| store(buffer, found)) {
            Some((_, store)) => Pin::Held { _store: store },
            // SAFETY: the view's memory, read before the callback returns.
            None => Pin::Copied(unsafe { std::slice::from_raw_parts(start, len) }.into()),
        }
    }
}

fn store(buffer: napi_value, (get, release): (GetBackingStore, Release)) -> Option<(*const c_void, Store)> {
    // SAFETY: a napi_value is the address of a handle slot, as a v8::Local is; `this` of a handle's
    // class is that address. `answers` tried it; `pin` checked that it is an ArrayBuffer.
    let Shared([object, control, ..]) = unsafe { get(buffer) };
    // SAFETY: a shared_ptr is these two words.
    let (object, control) = unsafe { (object.assume_init(), control.assume_init()) };
    (control != 0).then(|| (object as *const c_void, Store { control: control as *mut c_void, release }))
}

fn symbols() -> Option<(GetBackingStore, Release, Data)> {
    fn find(name: &CStr) -> Option<ptr::NonNull<c_void>> {
        // SAFETY: a lookup by name in the global scope.
        ptr::NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
    }
    let get = find(c"_ZN2v811ArrayBuffer15GetBackingStoreEv")?;
    let release = find(c"_ZNSt16_Sp_counted_baseILN9__gnu_cxx12_Lock_policyE2EE10_M_releaseEv")?;
    let data = find(c"_ZNK2v812BackingStore4DataEv")?;
    // SAFETY: the mangled names give the functions' types; `answers` tries them.
    Some(unsafe {
        (
            std::mem::transmute::<ptr::NonNull<c_void>, GetBackingStore>(get),
            std::mem::transmute::<ptr::NonNull<c_void>, Release>(release),
            std::mem::transmute::<ptr::NonNull<c_void>, Data>(data),
        )
    })
}

/// Whether the store of a new `ArrayBuffer` is where Node-API says that its memory is.
fn answers(env: napi_env, (get, release, data): (GetBackingStore, Release, Data)) -> Result<bool> {
    let mut start = ptr::null_mut();
    // SAFETY: env is live.
    let buffer =
        value("a buffer", |out| unsafe { sys::napi_create_arraybuffer(env, 64, &raw mut start, out) })?;
    let mut len = 0;
    // SAFETY: buffer was just made.
    check(unsafe { sys::napi_get_arraybuffer_info(env, buffer, &raw mut start, &raw mut len) }, "a buffer")?;
    let Some((object, _store)) = store(buffer, (get, release)) else { return Ok(false) };
    // SAFETY: object is the BackingStore that _store keeps alive.
    Ok(unsafe { data(object) } == start)
}
