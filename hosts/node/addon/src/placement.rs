// SPDX-License-Identifier: Apache-2.0
//! Where a connection's guest lives, as its hub sees it.

use std::sync::Arc;

use polyloop_connection::{Connection, RemoteConnection};
use polyloop_ring::{control, region::Block};

/// In this process, or in one of its own.
#[derive(Clone)]
pub enum Placement {
    Thread(Arc<Connection>),
    Process(Arc<RemoteConnection>),
}

impl Placement {
    pub fn block(&self) -> &Block {
        match self {
            Self::Thread(connection) => connection.block(),
            Self::Process(remote) => remote.block(),
        }
    }

    /// Has what JavaScript wrote into the control ring acted on.
    pub fn control(&self) {
        match self {
            Self::Thread(connection) => connection.control(),
            Self::Process(remote) => drop(control::ring(remote.block().rings().header)),
        }
    }

    /// Bytes of large responses' memory, in use or kept.
    pub fn slab_bytes(&self) -> usize {
        match self {
            Self::Thread(connection) => connection.slabs().bytes(),
            Self::Process(remote) => remote.responses().bytes(),
        }
    }
}
