// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call for memory of requests and of responses.

use std::{ptr, slice};

use napi_sys::{self as sys, napi_env, napi_value};
use polyloop_ring::layout::ENTRY_BYTES;

use super::environment::hub;
use crate::{
    member::Member,
    memory,
    napi::{self, Result},
    pins::Pin,
    placement::Placement,
};

/// pin(id, requestBuffer, word, view): writes the view's address into the entry, of either ring,
/// that begins at this 32-bit word of the block, and keeps its memory, or a copy of it, until
/// JavaScript clears the request buffer's byte of pins.
pub fn pin(env: napi_env, [id, number, word, view]: [napi_value; 4]) -> Result<Option<napi_value>> {
    let (id, number, word) = (napi::number(env, id)?, napi::number(env, number)?, napi::number(env, word)?);
    let (mut len, mut start, mut buffer) = (0, ptr::null_mut(), ptr::null_mut());
    // SAFETY: env and view belong to this callback.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            view,
            ptr::null_mut(),
            &raw mut len,
            &raw mut start,
            &raw mut buffer,
            ptr::null_mut(),
        )
    };
    napi::check(status, "a Uint8Array")?;
    let hub = hub(env)?;
    let pin = match &hub.member(id)?.placement {
        Placement::Thread(_) => hub.pinner.pin(env, buffer, start.cast(), len),
        Placement::Process(remote) => {
            // SAFETY: the view is memory that lives through the call.
            let request = unsafe { slice::from_raw_parts(start.cast(), len) };
            Pin::Placed(remote.place(request).map_err(|error| napi::want(&error))?)
        }
    };
    keep(hub.member(id)?, number, word, pin)
}

fn keep(member: &mut Member, buffer: u32, word: u32, pin: Pin) -> Result<Option<napi_value>> {
    let constants = *member.placement.block().constants();
    let address = pin.address();
    let entry = word as usize * size_of::<u32>();
    let within = |offset: u32, entries: u32| {
        let start = offset as usize;
        (start..start + entries as usize * ENTRY_BYTES).contains(&entry)
            && (entry - start).is_multiple_of(ENTRY_BYTES)
    };
    let there = within(constants.sq_offset, constants.sq_entries)
        || within(constants.control_offset, constants.control_entries);
    if buffer >= constants.request_buffers || !there {
        return Err(format!("there is no request buffer {buffer} or entry at {word}").into());
    }
    member.pin(buffer, pin);
    // SAFETY: the entry lies in the block and is not published yet, and the byte is the host's:
    // this thread alone uses both.
    unsafe {
        member.placement.block().memory().as_ptr().add(entry + 16).cast::<u64>().write_unaligned(address);
        member.pin_byte(buffer).write(1);
    }
    Ok(None)
}

/// slab(id, slab, bytes): the slab's memory, at least n bytes. To be called once for each time that
/// a slab number appears again.
pub fn slab(env: napi_env, [id, slab, bytes]: [napi_value; 3]) -> Result<Option<napi_value>> {
    let (id, number, bytes) = (napi::number(env, id)?, napi::number(env, slab)?, napi::number(env, bytes)?);
    let placement = hub(env)?.member(id)?.placement.clone();
    memory::slab(env, &placement, number, bytes as usize).map(Some)
}

/// openRequestHeap(requests, process): memory for requests of a runtime, whose guests have processes
/// of their own (1) or not (0). Once, before the runtime's first connection.
pub fn open_request_heap(env: napi_env, [id, process]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, process) = (napi::number(env, id)?, napi::number(env, process)? != 0);
    hub(env)?.open_requests(id, process)?;
    Ok(None)
}

/// alloc(requests, bytes): memory for requests that guests read without a copy, and its address
/// there. Its bytes are not cleared. The memory is free again when its views are gone: keep one
/// while the guest may read them.
pub fn alloc(env: napi_env, [id, bytes]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, bytes) = (napi::number(env, id)?, napi::number(env, bytes)?);
    memory::requests(env, hub(env)?.requests(id)?, bytes as usize).map(Some)
}

/// releaseRequestHeap(requests): no instance will be made that reads there, and no memory asked
/// for. What JavaScript and guests have stays theirs.
pub fn release_request_heap(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    hub(env)?.requests.remove(&id);
    Ok(None)
}
