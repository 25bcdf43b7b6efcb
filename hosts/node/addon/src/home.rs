// SPDX-License-Identifier: Apache-2.0
//! Where a runtime lives, as its hub sees it.

use std::sync::Arc;

use polyloop_connection::{Remote, Runtime};
use polyloop_ring::{control, region::Block};

/// In this process, or in one of its own.
#[derive(Clone)]
pub enum Home {
    Thread(Arc<Runtime>),
    Process(Arc<Remote>),
}

impl Home {
    pub fn block(&self) -> &Block {
        match self {
            Self::Thread(runtime) => runtime.block(),
            Self::Process(remote) => remote.block(),
        }
    }

    /// Has what JavaScript wrote into the control ring acted on.
    pub fn control(&self) {
        match self {
            Self::Thread(runtime) => runtime.control(),
            Self::Process(remote) => drop(control::ring(remote.block().rings().header)),
        }
    }

    /// Bytes of large responses' memory, in use or kept.
    pub fn slab_bytes(&self) -> usize {
        match self {
            Self::Thread(runtime) => runtime.slabs().bytes(),
            Self::Process(remote) => remote.responses().bytes(),
        }
    }
}
