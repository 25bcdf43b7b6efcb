// SPDX-License-Identifier: Apache-2.0
//! Blocks and slabs as `ArrayBuffer`s.

use std::sync::Arc;

use napi_sys::{napi_env, napi_value};
use polyloop_ring::region::Mapping;
use polyloop_runtime::Runtime;

use crate::napi::{Result, external};

/// A runtime's block; the runtime lives as long as JavaScript can see it.
pub fn block(env: napi_env, runtime: &Arc<Runtime>) -> Result<napi_value> {
    let memory = runtime.block().memory();
    // SAFETY: the owner keeps the mapping.
    unsafe { external(env, memory.as_ptr(), memory.len(), Arc::clone(runtime)) }
}

/// A slab in JavaScript's hands. Both fields matter for their drop alone: the slab goes back to the
/// runtime that carves from it, and its pages stay mapped until then.
struct Lent {
    runtime: Arc<Runtime>,
    slab: u32,
    _memory: Arc<Mapping>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.runtime.slabs().recycle(self.slab);
    }
}

/// A slab of responses. Open it once; it is recycled when its views are gone.
pub fn slab(env: napi_env, runtime: &Arc<Runtime>, slab: u32) -> Result<napi_value> {
    let memory = runtime.slabs().open(slab).ok_or_else(|| format!("there is no slab {slab}"))?;
    let (start, len) = (memory.as_ptr(), memory.len());
    // SAFETY: the owner keeps the mapping.
    unsafe { external(env, start, len, Lent { runtime: Arc::clone(runtime), slab, _memory: memory }) }
}
