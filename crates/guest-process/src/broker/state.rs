// SPDX-License-Identifier: Apache-2.0
//! What has become of a guest, as its broker sees it.

use std::{process::ExitStatus, time::Instant};

/// Serving, ending, draining, told; or serving, draining, told, if the guest ends by itself.
#[derive(Clone, Copy)]
pub enum State {
    /// The guest serves hosts, or waits for the first.
    Serving,
    /// The last host has left, and the guest was told to end. The guest is killed at this time; `None`
    /// once that was done.
    Ending(Option<Instant>),
    /// The guest has ended. What it printed is read until this time; `None` once that is over.
    Draining(ExitStatus, Option<Instant>),
    /// The hosts know how the guest has ended.
    Told,
}

impl State {
    /// Whether the guest's process has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Draining(..) | Self::Told)
    }

    /// When the guest has had its time to end, or its streams.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            Self::Ending(until) | Self::Draining(_, until) => until,
            Self::Serving | Self::Told => None,
        }
    }
}
