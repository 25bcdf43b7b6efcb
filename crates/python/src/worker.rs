// SPDX-License-Identifier: Apache-2.0
//! The threads of the pool: each takes tasks and runs sync functions; async ones it passes on.

use crate::invoke::{Arguments, Response, bounds};
use crate::object::{Gil, Ref};
use crate::plan::{Method, Plan};
use crate::request::Lease;
use crate::runtime::{Runtime, Taken};
use polyloop_abi::{METHOD_RAW, Task};
use std::cell::Cell;
use std::sync::Arc;

/// After so many tasks in a row a thread offers the GIL to others: builtins never do.
const BURST: u32 = 64;

thread_local! {
    /// Whether this thread printed something that has no newline yet.
    static PARTIAL: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread's task left a line unfinished.
pub fn note_partial() {
    PARTIAL.set(true);
}

/// A thread of the pool.
struct Worker<'a> {
    runtime: &'a Arc<Runtime>,
    plan: &'a Plan,
    /// A request object left over from the last task.
    spare: Option<Lease>,
}

/// Runs tasks until the host stops the runtime.
pub fn work(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan) {
    let mut worker = Worker { runtime, plan, spare: None };
    let mut burst = 0;
    loop {
        let taken = match runtime.take(false) {
            Taken::Empty => {
                burst = 0;
                gil.detached(|| wait(runtime, plan))
            }
            taken => taken,
        };
        match taken {
            Taken::Task(task) => worker.serve(gil, &task),
            Taken::Empty => {}
            Taken::Stopped => break,
        }
        burst += 1;
        if burst == BURST {
            burst = 0;
            gil.detached(|| ());
        }
    }
}

/// Waits for a task that needs this thread; passes async ones on meanwhile, without the GIL.
fn wait(runtime: &Runtime, plan: &Plan) -> Taken {
    loop {
        match runtime.take(true) {
            Taken::Task(task) if method(plan, &task).is_some_and(|method| method.is_async) => {
                runtime.post(&task);
            }
            taken => return taken,
        }
    }
}

impl Worker<'_> {
    fn serve(&mut self, gil: Gil, task: &Task) {
        match method(self.plan, task) {
            Some(method) if method.is_async => self.runtime.post(task),
            Some(method) => self.run(gil, task, &method.function),
            None => Response::failure(gil, &unknown(task)).send(self.runtime, task.id),
        }
    }

    fn run(&mut self, gil: Gil, task: &Task, function: &Ref) {
        let lease = self.spare.take().or_else(|| Lease::new(gil, self.runtime));
        let Some(mut lease) = lease else {
            return Response::raised(gil, self.plan).send(self.runtime, task.id);
        };
        lease.open(task);
        let result = self.call(gil, task, &lease, function);
        // The result goes, and with it every view that only it kept, before the request is settled.
        let response = Response::of(gil, self.plan, result, &bounds(task));
        if PARTIAL.take() {
            drop(gil.call(self.plan.flush.ptr(), &[]));
            gil.clear();
        }
        if lease.settle() {
            self.spare = Some(lease);
        }
        response.send(self.runtime, task.id);
    }

    /// Runs the function in a copy of the module's context.
    fn call(&self, gil: Gil, task: &Task, lease: &Lease, function: &Ref) -> Option<Ref> {
        let arguments = Arguments::read(gil, self.plan, lease, task)?;
        // SAFETY: a context object; the copy is entered and left on this thread.
        unsafe {
            let context = gil.own((gil.api.PyContext_Copy)(self.plan.context.ptr()))?;
            if (gil.api.PyContext_Enter)(context.ptr()) != 0 {
                return None;
            }
            let result = arguments.call(gil, function.ptr());
            // Leaving is allowed with an exception set: it touches the context alone.
            (gil.api.PyContext_Exit)(context.ptr());
            result
        }
    }
}

fn method<'a>(plan: &'a Plan, task: &Task) -> Option<&'a Method> {
    let index = if task.method == METHOD_RAW { plan.handle? } else { task.method.into() };
    plan.methods.get(index)
}

fn unknown(task: &Task) -> String {
    if task.method == METHOD_RAW {
        return "the module has no function `handle`, which is what send() calls: define one".to_owned();
    }
    format!("the guest has no method number {}", task.method)
}

/// Starts the async functions that were posted; runs on the loop's thread.
pub fn drain(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan) {
    for task in runtime.collect() {
        let Some(mut lease) = Lease::new(gil, runtime) else {
            Response::raised(gil, plan).send(runtime, task.id);
            continue;
        };
        lease.open(&task);
        let arguments =
            Arguments::read(gil, plan, &lease, &task).and_then(|arguments| arguments.into_tuple(gil));
        let Some((arguments, method)) = arguments.zip(method(plan, &task)) else {
            let response = Response::raised(gil, plan);
            lease.settle();
            response.send(runtime, task.id);
            continue;
        };
        let token = lease.into_token();
        let spawned = [token.ptr(), method.function.ptr(), arguments.ptr()];
        // Where this fails the token dies unanswered, which answers the task.
        drop(gil.call(plan.spawn.ptr(), &spawned));
        gil.clear();
    }
}
