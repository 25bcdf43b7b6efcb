// SPDX-License-Identifier: Apache-2.0
//! Stands in for the library that serves a host's rings in a guest's process: `process.py` loads
//! it, and it runs one case of the harness, with the harness's host, in the interpreter that runs
//! already. Which case, the environment says. Not shipped.

#[path = "../harness/cases/mod.rs"]
mod cases;
#[path = "../harness/host.rs"]
mod host;

use std::ffi::c_int;
use std::panic::catch_unwind;

/// Runs the case; answers the status that the process ends with.
#[unsafe(no_mangle)]
pub extern "C" fn polyloop_process_main() -> c_int {
    catch_unwind(run).map_or(101, |()| 0)
}

fn run() {
    let [python, case] = ["POLYLOOP_PYTHON", "POLYLOOP_CASE"].map(|name| std::env::var(name).expect(name));
    let env = cases::Env::new(&python, true);
    cases::find(&case).expect("a case")(&env);
    cases::clean();
    println!("passed {case}");
}
