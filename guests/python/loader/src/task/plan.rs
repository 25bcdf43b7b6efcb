// SPDX-License-Identifier: Apache-2.0
//! What the Python kit made of the guest: its functions, and the kit's own that calls need.

use crate::python::object::{Gil, Ref};
use crate::task::codec::Codec;
use std::ffi::CStr;

/// A function of the guest.
pub struct Method {
    pub function: Ref,
    /// Runs on the asyncio loop.
    pub is_async: bool,
}

/// The guest after its start. Held by its threads, dropped with the GIL.
pub struct Plan {
    pub methods: Vec<Method>,
    /// Index of the function that `send` calls.
    pub handle: Option<usize>,
    pub codec: Codec,
    /// The context that the module was loaded in: every call runs in a copy of it.
    pub context: Ref,
    /// `describe(exception) -> str`: the error object.
    pub describe: Ref,
    /// `unfit(result, exception) -> exception`: says what to return instead.
    pub unfit: Ref,
    /// `flush()`: hands over what was printed without a newline.
    pub flush: Ref,
    /// `trace(token)`: has the caller's trace go on if the guest can follow it.
    pub trace: Ref,
    /// `apply(function, arguments)`: calls it, with keywords if the last argument is of that type.
    pub apply: Ref,
    /// The type of keywords.
    pub keywords: Ref,
    /// `serve(token, function, flags)`: runs and answers a call that streams, on a thread of the
    /// pool.
    pub serve: Ref,
    /// `spawn(token, function, flags)`: starts an async function, on the loop's thread.
    pub spawn: Ref,
    /// `notice(number, events)`: tells the loop's calls what happened to one of them.
    pub notice: Ref,
    /// `refused(status, length) -> exception`: why a stream goes no further.
    pub refused: Ref,
    /// `stop()`: waits for the pool, then for the calls on the loop, and ends the loop.
    pub stop: Ref,
    /// `close()`: forgets the guest.
    pub close: Ref,
}

impl Plan {
    /// Reads the object that the kit's `start` returned.
    pub fn read(gil: Gil, guest: &Ref) -> Option<Self> {
        let get = |name: &CStr| gil.attribute(guest.ptr(), name);
        let handle = get(c"handle")?;
        // SAFETY: alive; an int, -1 if there is no such function.
        let handle = unsafe { (gil.api.PyLong_AsLong)(handle.ptr()) };
        Some(Self {
            methods: methods(gil, &get(c"methods")?)?,
            handle: usize::try_from(handle).ok(),
            codec: Codec::read(gil, guest)?,
            context: get(c"context")?,
            describe: get(c"describe")?,
            unfit: get(c"unfit")?,
            flush: get(c"flush")?,
            trace: get(c"trace")?,
            apply: get(c"apply")?,
            keywords: get(c"keywords")?,
            serve: get(c"serve")?,
            spawn: get(c"spawn")?,
            notice: get(c"notice")?,
            refused: get(c"refused")?,
            stop: get(c"stop")?,
            close: get(c"close")?,
        })
    }
}

/// Reads a tuple of pairs: a function, and whether it is async.
fn methods(gil: Gil, pairs: &Ref) -> Option<Vec<Method>> {
    // SAFETY: the kit made a tuple of pairs; items are borrowed from them while they live.
    unsafe {
        let count = (gil.api.PyTuple_Size)(pairs.ptr());
        let mut methods = Vec::with_capacity(usize::try_from(count).ok()?);
        for index in 0..count {
            let pair = (gil.api.PyTuple_GetItem)(pairs.ptr(), index);
            let function = (gil.api.PyTuple_GetItem)(pair, 0);
            let is_async = (gil.api.PyObject_IsTrue)((gil.api.PyTuple_GetItem)(pair, 1)) == 1;
            methods.push(Method { function: gil.share(function), is_async });
        }
        Some(methods)
    }
}
