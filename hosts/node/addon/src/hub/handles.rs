// SPDX-License-Identifier: Apache-2.0
//! A hub's handles in libuv's loop: where a hub begins, what the handles call, and where the hub
//! ends.

use std::{collections::HashMap, ffi::c_void, ptr, sync::Arc};

use napi_sys::{self as sys, napi_env};
use polyloop_connection::unload;

use super::{Copies, Counts, Handles, Hub, notices, turn};
use crate::{
    calls::Calls,
    ending::{self, Changing},
    napi::{self, Result},
    pins::Pinner,
    placement::Placement,
    signals::Signals,
    uv,
};

/// Makes the hub of an environment.
pub fn start(env: napi_env) -> Result<*mut Hub> {
    let mut uv_loop = ptr::null_mut();
    // SAFETY: env is live.
    napi::check(unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) }, "the event loop")?;
    let handles = Handles {
        doorbell: uv::allocate(uv::Type::Async),
        prepare: uv::allocate(uv::Type::Prepare),
        check: uv::allocate(uv::Type::Check),
        idle: uv::allocate(uv::Type::Idle),
    };
    let hub = Box::into_raw(Box::new(Hub {
        calls: Calls::new(env)?,
        copies: Copies::join(env)?,
        uv_loop: uv_loop.cast(),
        guests: Arc::default(),
        signals: Arc::new(Signals::new(handles.doorbell)),
        handles,
        closing: 0,
        hook: ptr::null_mut(),
        words: Box::into_raw(Box::new([0u32; 16])).cast(),
        idling: false,
        pinner: Pinner::probe(env),
        members: Vec::new(),
        requests: HashMap::new(),
        counts: Counts::default(),
    }));
    // SAFETY: the hub was just made, and is freed by the last close callback.
    unsafe { open(&mut *hub, hub) };
    Ok(hub)
}

fn open(hub: &mut Hub, this: *mut Hub) {
    let Handles { doorbell, prepare, check, idle } = hub.handles;
    // SAFETY: handles of the right sizes, on the loop's own thread; none keeps the loop alive yet.
    unsafe {
        uv::uv_async_init(hub.uv_loop, doorbell, on_doorbell);
        uv::uv_prepare_init(hub.uv_loop, prepare);
        uv::uv_check_init(hub.uv_loop, check);
        uv::uv_idle_init(hub.uv_loop, idle);
        for handle in [doorbell, prepare, check, idle] {
            uv::uv_handle_set_data(handle, this.cast());
            uv::uv_unref(handle);
        }
        uv::uv_prepare_start(prepare, on_prepare);
        uv::uv_check_start(check, on_check);
        sys::napi_add_async_cleanup_hook(hub.calls.env, Some(on_cleanup), this.cast(), &raw mut hub.hook);
    }
}

/// # Safety
/// `handle` is one of a hub's, which is freed after the last of them is closed.
unsafe fn hub(handle: *mut uv::Handle) -> *mut Hub {
    // SAFETY: promised by the caller.
    unsafe { uv::uv_handle_get_data(handle).cast() }
}

extern "C" fn on_prepare(handle: *mut uv::Handle) {
    // SAFETY: libuv calls back with the hub's own handle, on its thread, one callback at a time.
    unsafe { turn::turn(hub(handle)) };
}

extern "C" fn on_check(handle: *mut uv::Handle) {
    // SAFETY: as in on_prepare.
    unsafe { (*hub(handle)).wake() };
}

/// A guest in a process of its own has woken the loop: what has come is drained in its prepare
/// phase.
extern "C" fn on_doorbell(handle: *mut uv::Handle) {
    // SAFETY: as in on_prepare.
    unsafe { notices::deliver(hub(handle)) };
}

/// The environment ends: no more JavaScript. Guests are told to stop and finish on their own time;
/// what they still use is theirs.
unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    let this = data.cast::<Hub>();
    // SAFETY: the hub lives until its last handle is closed.
    let hub = unsafe { &mut *this };
    hub.copies.leave();
    hub.signals.close();
    let mut guests = hub.guests.end();
    for mut member in hub.members.drain(..) {
        // Other processes end when they hear that this end is gone.
        let Placement::Thread(connection) = &member.placement else { continue };
        let connection = Arc::clone(connection);
        connection.abandon();
        let guest =
            guests.iter().position(|(id, _)| *id == member.id).map(|index| guests.swap_remove(index).1);
        let lent = (member.lent(), Changing::of(&connection));
        // Without a thread for that the guest is left as it is: stopped, its memory never freed.
        let _ = unload(connection, || (guest, lent));
    }
    ending::prepare_if_at_work();
    let Handles { doorbell, prepare, check, idle } = hub.handles;
    for handle in [doorbell, prepare, check, idle] {
        hub.closing += 1;
        // SAFETY: open handles, on the loop's thread.
        unsafe { uv::uv_close(handle, Some(on_close)) };
    }
}

extern "C" fn on_close(handle: *mut uv::Handle) {
    // SAFETY: libuv is done with the handle; the hub goes with the last one.
    unsafe {
        let this = uv::uv_handle_get_data(handle).cast::<Hub>();
        (*this).closing -= 1;
        if (*this).closing > 0 {
            return;
        }
        let owned = Box::from_raw(this);
        let Handles { doorbell, prepare, check, idle } = owned.handles;
        uv::free(doorbell, uv::Type::Async);
        uv::free(prepare, uv::Type::Prepare);
        uv::free(check, uv::Type::Check);
        uv::free(idle, uv::Type::Idle);
        sys::napi_remove_async_cleanup_hook(owned.hook);
        owned.calls.free();
    }
}
