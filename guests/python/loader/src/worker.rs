// SPDX-License-Identifier: Apache-2.0
//! The threads of the pool: each takes tasks and runs sync functions; async ones it passes on.

use crate::natives::current;
use crate::natives::streams::flags;
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use crate::runtime::{Runtime, Taken};
use crate::task::invoke::{Arguments, Response, bounds};
use crate::task::plan::{Method, Plan};
use crate::task::request::Lease;
use polyloop_abi::{FLAG_INPUT, FLAG_OUTPUT, METHOD_RAW, Task};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

/// After n tasks in a row a thread offers the GIL to others: builtins never do.
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
    /// Where the call that runs is noted.
    current: &'a Cell<Ptr>,
    /// A request object left over from the last task.
    spare: Option<Lease>,
}

/// Runs tasks until the host stops the runtime.
pub fn work(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan) {
    current::noting(|current| work_noting(gil, runtime, plan, current));
}

fn work_noting(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan, current: &Cell<Ptr>) {
    let mut worker = Worker { runtime, plan, current, spare: None };
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
            Some(method) if task.flags & (FLAG_INPUT | FLAG_OUTPUT) != 0 => {
                self.stream(gil, task, &method.function);
            }
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
        self.current.set(lease.ptr());
        let result = self.in_context(gil, || {
            if task.context_len > 0 {
                drop(gil.call(self.plan.trace.ptr(), &[lease.ptr()]));
                gil.clear();
            }
            Arguments::read(gil, self.plan, lease.ptr(), task)?.call(gil, self.plan, function.ptr())
        });
        self.current.set(ptr::null_mut());
        // The result goes, and with it every view that only it kept, before the request is settled.
        let response = Response::of(gil, self.plan, result, &bounds(task));
        self.flush(gil);
        if lease.settle() {
            self.spare = Some(lease);
        }
        response.send(self.runtime, task.id);
    }

    /// Runs a call that streams: the kit sees to it, and answers it.
    fn stream(&mut self, gil: Gil, task: &Task, function: &Ref) {
        let Some((mut lease, flags)) = Lease::new(gil, self.runtime).zip(flags(gil, task)) else {
            return Response::raised(gil, self.plan).send(self.runtime, task.id);
        };
        lease.open(task);
        let token = lease.into_token();
        self.current.set(token.ptr());
        let served = [token.ptr(), function.ptr(), flags.ptr()];
        // If this fails, the token dies unanswered, which answers the task.
        drop(self.in_context(gil, || gil.call(self.plan.serve.ptr(), &served)));
        self.current.set(ptr::null_mut());
        gil.clear();
        self.flush(gil);
    }

    fn flush(&self, gil: Gil) {
        if PARTIAL.take() {
            drop(gil.call(self.plan.flush.ptr(), &[]));
            gil.clear();
        }
    }

    /// Runs `body` in a copy of the module's context.
    fn in_context(&self, gil: Gil, body: impl FnOnce() -> Option<Ref>) -> Option<Ref> {
        // SAFETY: a context object; the copy is entered and left on this thread.
        unsafe {
            let context = gil.own((gil.api.PyContext_Copy)(self.plan.context.ptr()))?;
            if (gil.api.PyContext_Enter)(context.ptr()) != 0 {
                return None;
            }
            let result = body();
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

/// Starts the async functions that were posted, and tells those that run what happened to them;
/// runs on the loop's thread.
pub fn drain(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan) {
    for task in runtime.inbox.tasks() {
        begin(gil, runtime, plan, &task);
    }
    for (task, events) in runtime.inbox.events() {
        let told = gil.number(task.cast_signed()).zip(gil.number(events.into()));
        drop(told.and_then(|(task, events)| gil.call(plan.notice.ptr(), &[task.ptr(), events.ptr()])));
        gil.clear();
    }
}

fn begin(gil: Gil, runtime: &Arc<Runtime>, plan: &Plan, task: &Task) {
    let ready = Lease::new(gil, runtime).zip(flags(gil, task)).zip(method(plan, task));
    let Some(((mut lease, flags), method)) = ready else {
        return Response::raised(gil, plan).send(runtime, task.id);
    };
    lease.open(task);
    let token = lease.into_token();
    let spawned = [token.ptr(), method.function.ptr(), flags.ptr()];
    // If this fails, the token dies unanswered, which answers the task.
    drop(gil.call(plan.spawn.ptr(), &spawned));
    gil.clear();
}
