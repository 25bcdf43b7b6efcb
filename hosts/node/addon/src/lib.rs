// SPDX-License-Identifier: Apache-2.0
//! The Node-API border: gives blocks and slabs to JavaScript as memory, and drains rings in step
//! with Node's own event loop. What can be done in TypeScript is not done here.

mod bell;
mod calls;
mod ending;
mod exports;
mod guests;
mod hub;
mod member;
mod memory;
mod napi;
mod pins;
mod placement;
mod requests;
mod signals;
mod uv;

use napi_sys as sys;

/// Called by Node once for every environment (the main thread, each worker).
///
/// # Safety
/// Node calls this with a live environment and the module's exports object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(
    env: sys::napi_env,
    exports: sys::napi_value,
) -> sys::napi_value {
    exports::register(env, exports);
    exports
}

/// The version of Node-API that the add-on needs.
#[unsafe(no_mangle)]
pub extern "C" fn node_api_module_get_api_version_v1() -> i32 {
    8
}
