// SPDX-License-Identifier: Apache-2.0
//! The crate `log` to the host's stderr. Call [`install`] in `init`.

use log::{LevelFilter, Log, Metadata, Record};

use crate::output::{Stream, write};

struct Logger;

static LOGGER: Logger = Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            write(Stream::Stderr, format_args!("{} {}: {}", record.level(), record.target(), record.args()));
        }
    }
    fn flush(&self) {}
}

/// Sends records up to `level` to the host: one line each, `LEVEL target: message`.
///
/// A second call only changes the level; a logger of the guest's own stays.
pub fn install(level: LevelFilter) {
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
}
