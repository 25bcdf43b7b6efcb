// SPDX-License-Identifier: Apache-2.0
//! The few functions of libuv that the hub needs. The node binary exports them; handles are made
//! by the size that libuv itself tells, so that no header is needed and no layout assumed.

use std::ffi::{c_int, c_void};

/// Opaque: a loop.
pub type Loop = c_void;
/// Opaque: any handle.
pub type Handle = c_void;
/// What libuv calls.
pub type Callback = extern "C" fn(*mut Handle);
/// What libuv calls for a descriptor.
pub type PollCallback = extern "C" fn(*mut Handle, status: c_int, events: c_int);
/// `UV_READABLE`.
pub const READABLE: c_int = 1;

/// `uv_handle_type` of the handles used; the enum is append-only in libuv.
#[derive(Clone, Copy)]
pub enum Type {
    Async = 1,
    Check = 2,
    Idle = 6,
    Poll = 8,
    Prepare = 9,
}

unsafe extern "C" {
    pub fn uv_handle_size(kind: c_int) -> usize;
    pub fn uv_handle_set_data(handle: *mut Handle, data: *mut c_void);
    pub fn uv_handle_get_data(handle: *const Handle) -> *mut c_void;
    pub fn uv_async_init(uv_loop: *mut Loop, handle: *mut Handle, callback: Callback) -> c_int;
    pub fn uv_async_send(handle: *mut Handle) -> c_int;
    pub fn uv_prepare_init(uv_loop: *mut Loop, handle: *mut Handle) -> c_int;
    pub fn uv_prepare_start(handle: *mut Handle, callback: Callback) -> c_int;
    pub fn uv_check_init(uv_loop: *mut Loop, handle: *mut Handle) -> c_int;
    pub fn uv_check_start(handle: *mut Handle, callback: Callback) -> c_int;
    pub fn uv_poll_init(uv_loop: *mut Loop, handle: *mut Handle, descriptor: c_int) -> c_int;
    pub fn uv_poll_start(handle: *mut Handle, events: c_int, callback: PollCallback) -> c_int;
    pub fn uv_poll_stop(handle: *mut Handle) -> c_int;
    pub fn uv_idle_init(uv_loop: *mut Loop, handle: *mut Handle) -> c_int;
    pub fn uv_idle_start(handle: *mut Handle, callback: Callback) -> c_int;
    pub fn uv_idle_stop(handle: *mut Handle) -> c_int;
    pub fn uv_ref(handle: *mut Handle);
    pub fn uv_unref(handle: *mut Handle);
    pub fn uv_loop_alive(uv_loop: *const Loop) -> c_int;
    pub fn uv_tty_reset_mode() -> c_int;
    pub fn uv_close(handle: *mut Handle, callback: Option<Callback>);
}

/// Room for a handle, zeroed. The room is given to libuv and never freed before its close callback.
pub fn allocate(kind: Type) -> *mut Handle {
    // SAFETY: a function of an integer.
    let bytes = unsafe { uv_handle_size(kind as c_int) };
    let words = vec![0u128; bytes.div_ceil(size_of::<u128>())];
    Box::into_raw(words.into_boxed_slice()).cast()
}

/// Frees the room of a closed handle.
///
/// # Safety
/// `handle` came from [`allocate`] with the same `kind`, and libuv has called its close callback.
pub unsafe fn free(handle: *mut Handle, kind: Type) {
    // SAFETY: as in allocate.
    let words = unsafe { uv_handle_size(kind as c_int) }.div_ceil(size_of::<u128>());
    // SAFETY: the same slice that allocate made.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(handle.cast::<u128>(), words)) });
}
