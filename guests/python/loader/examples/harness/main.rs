// SPDX-License-Identifier: Apache-2.0
//! Runs one case, or the benchmark, with one interpreter: `harness PYTHON CASE`. Not shipped; the
//! tests run it in a child process, since a process holds one interpreter.

mod bench;
mod cases;
mod host;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, case, ..] = arguments.as_slice() else {
        eprintln!("usage: harness PYTHON CASE");
        return ExitCode::FAILURE;
    };
    let env = cases::Env::new(python, false);
    if case == "bench" {
        bench::run(&env);
        return ExitCode::SUCCESS;
    }
    let Some(run) = cases::find(case) else {
        eprintln!("no case {case}");
        return ExitCode::FAILURE;
    };
    run(&env);
    cases::clean();
    println!("passed {case}");
    ExitCode::SUCCESS
}
