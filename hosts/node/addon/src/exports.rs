// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call. `native.ts` of the host package gives the types.

mod child;
mod connection;
mod environment;
mod inheritance;
mod memory;
mod process;

use std::ptr;

use napi_sys::{self as sys, napi_callback_info, napi_env, napi_value};

use self::{
    child::{kill_process, resume_process, start_process},
    connection::{
        act_on_control_ring, close, counts, create_connection, doorbell, let_go, ref_loop, remove_connection,
        start, take_log,
    },
    environment::{listen, open_hub, stop_listening},
    inheritance::hand_streams_on,
    memory::{alloc, open_request_heap, pin, release_request_heap, slab},
    process::{
        child_descriptors, close_child_descriptors, join_shared_guest, parking_words, private_memory,
        shared_guest_sockets,
    },
};
use crate::{
    ending::ending,
    napi::{self, Export},
};

/// Adds the functions to the module.
pub fn register(env: napi_env, exports: napi_value) {
    macro_rules! export {
        ($($name:literal => $function:ident),* $(,)?) => {
            $({
                unsafe extern "C" fn entry(env: napi_env, info: napi_callback_info) -> napi_value {
                    napi::run(env, info, $function)
                }
                add(env, exports, $name, entry);
            })*
        };
    }
    export! {
        c"openHub" => open_hub,
        c"listen" => listen,
        c"stopListening" => stop_listening,
        c"createConnection" => create_connection,
        c"privateMemory" => private_memory,
        c"start" => start,
        c"close" => close,
        c"letGo" => let_go,
        c"startProcess" => start_process,
        c"killProcess" => kill_process,
        c"resumeProcess" => resume_process,
        c"childDescriptors" => child_descriptors,
        c"closeChildDescriptors" => close_child_descriptors,
        c"joinSharedGuest" => join_shared_guest,
        c"sharedGuestSockets" => shared_guest_sockets,
        c"parkingWords" => parking_words,
        c"removeConnection" => remove_connection,
        c"doorbell" => doorbell,
        c"refLoop" => ref_loop,
        c"pin" => pin,
        c"actOnControlRing" => act_on_control_ring,
        c"slab" => slab,
        c"alloc" => alloc,
        c"openRequestHeap" => open_request_heap,
        c"releaseRequestHeap" => release_request_heap,
        c"takeLog" => take_log,
        c"counts" => counts,
        c"ending" => ending,
        c"handStreamsOn" => hand_streams_on,
    }
}

type Entry = unsafe extern "C" fn(napi_env, napi_callback_info) -> napi_value;

fn add(env: napi_env, exports: napi_value, name: &std::ffi::CStr, entry: Entry) {
    let mut function = ptr::null_mut();
    // SAFETY: env is live and the name static. If that fails, JavaScript finds the function
    // missing.
    unsafe {
        let len = name.count_bytes().cast_signed();
        let made = sys::napi_create_function(
            env,
            name.as_ptr(),
            len,
            Some(entry),
            ptr::null_mut(),
            &raw mut function,
        );
        if made == sys::Status::napi_ok {
            sys::napi_set_named_property(env, exports, name.as_ptr(), function);
        }
    }
}

/// The type that `export!` expects, spelled once so that a wrong signature is told here.
const _: Export<2> = listen;
