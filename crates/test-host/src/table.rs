// SPDX-License-Identifier: Apache-2.0
//! The table of functions that a guest is started with.

use polyloop_abi::Host;

use crate::{streams, tasks};

/// The functions, for a guest that is told this version of the ABI.
pub const fn table(abi: u32) -> Host {
    Host {
        size: size_of::<Host>() as u32,
        abi,
        take: tasks::take,
        respond: tasks::respond,
        hold: tasks::hold,
        release: tasks::release,
        ready: tasks::ready,
        fail: tasks::fail,
        log: tasks::log,
        receive: streams::receive,
        send: streams::send,
        watch: streams::watch,
        cancelled: streams::cancelled,
        annotate: streams::annotate,
    }
}
