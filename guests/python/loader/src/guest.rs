// SPDX-License-Identifier: Apache-2.0
//! Start and end of a guest.

use crate::failure::Failure;
use crate::kit;
use crate::natives::entry;
use crate::python::api::Api;
use crate::python::interpreter;
use crate::python::object::{Gil, Ref, attached};
use crate::python::probe::Loader;
use crate::runtime::Runtime;
use crate::task::plan::Plan;
use polyloop_abi::StartInfo;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A started guest, as `join` gets it.
pub struct Guest {
    api: &'static Api,
    runtime: Arc<Runtime>,
}

/// What `start` was asked for.
pub struct Options<'a> {
    threads: u32,
    config: &'a [u8],
    codec: &'a [u8],
    loader: &'a [u8],
}

impl<'a> Options<'a> {
    /// # Safety
    /// `info` and what it points to are valid for `'a`.
    pub unsafe fn read(info: &'a StartInfo) -> Self {
        // SAFETY: as the caller says.
        let slice = |bytes: polyloop_abi::Bytes| unsafe {
            if bytes.len == 0 { &[] } else { std::slice::from_raw_parts(bytes.data, bytes.len) }
        };
        Self {
            threads: info.threads,
            config: slice(info.config),
            codec: slice(info.codec),
            loader: slice(info.loader),
        }
    }
}

impl Guest {
    /// Loads the module, declares its functions and starts its threads.
    pub fn start(runtime: &Arc<Runtime>, options: &Options) -> Result<Self, Failure> {
        let loader = Loader::parse(options.loader)?;
        let api = interpreter::ensure(loader.probe(), |gil| kit::install(gil, options.loader))?;
        let started = attached(api, |gil| {
            let guest = load(gil, runtime, options)?;
            begin(gil, runtime, &guest).ok_or_else(|| kit::failure(gil))
        });
        let guest = Self { api, runtime: Arc::clone(runtime) };
        match started {
            Ok(()) => Ok(guest),
            Err(failure) => {
                runtime.fail(failure.json.as_bytes());
                guest.join();
                Err(failure)
            }
        }
    }

    /// Waits until Python code can run, and has on the asyncio loop too if there is one.
    pub fn beat(&self) {
        attached(self.api, |_| ());
        self.runtime.inbox.beat();
    }

    /// Waits until the guest's threads and calls have ended, and forgets it.
    pub fn join(self) {
        let Self { api, runtime } = self;
        attached(api, |gil| {
            if let Some(plan) = runtime.plan() {
                run(gil, &plan.stop);
                runtime.set_plan(None);
                let close = gil.share(plan.close.ptr());
                // The functions go first: `close` collects what then is garbage, views among it.
                drop(plan);
                run(gil, &close);
            }
            runtime.close();
        });
        while runtime.in_use() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn begin(gil: Gil, runtime: &Runtime, guest: &Ref) -> Option<()> {
    let manifest = gil.attribute(guest.ptr(), c"manifest")?;
    runtime.set_plan(Some(Arc::new(Plan::read(gil, guest)?)));
    runtime.ready(gil.utf8(&manifest)?);
    gil.call(gil.attribute(guest.ptr(), c"begin")?.ptr(), &[]).map(drop)
}

/// Has the kit load the module.
fn load(gil: Gil, runtime: &Arc<Runtime>, options: &Options) -> Result<Ref, Failure> {
    let begin = |gil: Gil| {
        let start = kit::function(gil, c"start")?;
        let capsule = entry::capsule(gil, runtime)?;
        // SAFETY: with the GIL.
        let threads = gil.own(unsafe { (gil.api.PyLong_FromLong)(options.threads.into()) })?;
        let text = |bytes: &[u8]| gil.text(&String::from_utf8_lossy(bytes));
        let (loader, config, codec) = (text(options.loader)?, text(options.config)?, text(options.codec)?);
        let arguments = [capsule.ptr(), loader.ptr(), config.ptr(), codec.ptr(), threads.ptr()];
        gil.call(start.ptr(), &arguments)
    };
    begin(gil).ok_or_else(|| kit::failure(gil))
}

fn run(gil: Gil, function: &Ref) {
    drop(gil.call(function.ptr(), &[]));
    gil.clear();
}
