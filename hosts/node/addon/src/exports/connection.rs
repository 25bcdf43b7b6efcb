// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call for any connection.

use std::{path::PathBuf, sync::Arc};

use napi_sys::{napi_env, napi_value};
use polyloop_connection::{Connection, Limits, RemoteConnection, StartOptions, load};
use polyloop_ring::submission;
use serde::Deserialize;

use super::{
    environment::{hub, uncounted},
    inheritance,
};
use crate::{
    ending::{self, Changing},
    member::Member,
    memory,
    napi::{self, Result},
    placement::Placement,
    signals::ConnectionHost,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateOptions {
    max_calls: usize,
    max_payload: usize,
    spin: bool,
    /// Whether its guest is to have a process of its own.
    process: bool,
    /// The number of the memory that its requests lie in, which instances of one kind may have in
    /// common.
    requests: u32,
}

/// createConnection(id, options as JSON): the block of a new connection.
pub fn create_connection(env: napi_env, [id, options]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let options: CreateOptions = serde_json::from_str(&napi::text(env, options)?)?;
    let (id, hub) = (napi::number(env, id)?, hub(env)?);
    let requests = Arc::clone(hub.requests(options.requests)?);
    let (placement, bell) = if options.process {
        let remote = RemoteConnection::new(options.max_calls, requests.share()?)?;
        (Placement::Process(Arc::new(remote)), Some(hub.bell()?))
    } else {
        let host = Box::new(ConnectionHost { id, signals: Arc::clone(&hub.signals) });
        let limits = Limits { calls: options.max_calls, payload: options.max_payload };
        (Placement::Thread(Arc::new(Connection::new(limits, host)?)), None)
    };
    let member = Member::new(id, placement, options.spin, bell, requests)?;
    let block = memory::block(env, &member.placement)?;
    hub.members.push(member);
    Ok(Some(block))
}

/// removeConnection(id, mayRead): the guest's process has ended, or (1) is out of reach: then what
/// that process may read serves no other instance any more.
pub fn remove_connection(env: napi_env, [id, may_read]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, may_read) = (napi::number(env, id)?, napi::number(env, may_read)? != 0);
    hub(env)?.remove(id, may_read);
    Ok(None)
}

fn thread(member: &Member) -> Result<&Arc<Connection>> {
    match &member.placement {
        Placement::Thread(connection) => Ok(connection),
        Placement::Process(_) => Err("the guest is in a process of its own".into()),
    }
}

#[derive(Deserialize)]
struct LoadOptions {
    library: PathBuf,
    threads: u32,
    config: String,
    codec: String,
    loader: String,
}

/// start(id, options as JSON): loads the guest; an event says how it went.
pub fn start(env: napi_env, [id, options]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let options: LoadOptions = serde_json::from_str(&napi::text(env, options)?)?;
    let hub = hub(env)?;
    let connection = Arc::clone(thread(hub.member(id)?)?);
    let (guests, owner) = (Arc::clone(&hub.guests), Arc::clone(&connection));
    let LoadOptions { library, threads, config, codec, loader } = options;
    let begin = StartOptions { threads, config, codec, loader };
    let open = move || polyloop_guest_library::open(&library);
    let starting = Changing::of(&connection);
    let keep = move |guest| {
        ending::prepare();
        guests.keep(id, owner, guest);
        drop(starting);
    };
    inheritance::prepare();
    load(connection, begin, open, keep)?;
    hub.member(id)?.pending += 1;
    hub.ref_loop();
    Ok(None)
}

/// close(id): unloads; an event says when the guest has let go.
pub fn close(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    hub(env)?.unload(napi::number(env, id)?)?;
    Ok(None)
}

/// letGo(id): nobody waits for the guest any more: the loop is not kept alive for it.
pub fn let_go(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    hub(env)?.member(napi::number(env, id)?)?.is_let_go = true;
    Ok(None)
}

/// doorbell(id): wakes the poller, which sleeps.
pub fn doorbell(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let hub = hub(env)?;
    // STOP 5 doorbell
    if submission::ring(hub.member(id)?.parking()) {
        hub.counts.doorbells += 1;
    }
    Ok(None)
}

/// `refLoop()`: keeps the loop alive; the hub lets go by itself.
pub fn ref_loop(env: napi_env, []: [napi_value; 0]) -> Result<Option<napi_value>> {
    hub(env)?.ref_loop();
    Ok(None)
}

/// `actOnControlRing(id)`: has what JavaScript has written into the control ring acted on.
pub fn act_on_control_ring(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    hub(env)?.member(id)?.placement.control();
    Ok(None)
}

/// takeLog(id): what the guest printed, as JSON `[[stream, text], ...]`.
pub fn take_log(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let lines = thread(hub(env)?.member(id)?)?.take_log();
    let lines: Vec<_> = lines.iter().map(|line| (line.stream, String::from_utf8_lossy(&line.text))).collect();
    napi::string(env, &serde_json::to_string(&lines)?).map(Some)
}

/// counts(id): JSON of what was counted in this environment, and in the connection if `id` is not
/// 0.
pub fn counts(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let hub = uncounted(env)?;
    let totals = hub.counts;
    let mut json = serde_json::json!({
        "pinsHold": hub.pinner.holds(),
        "nativeCalls": totals.calls,
        "drains": totals.drains,
        "doorbells": totals.doorbells,
        "helps": totals.helps,
        "turns": totals.turns,
    });
    if id != 0 {
        let member = hub.member(id)?;
        let pinned = member.sweep();
        json["wakeups"] = member.header().wakeups.get().into();
        json["duplicates"] = member.header().duplicates.get().into();
        json["slabBytes"] = member.placement.slab_bytes().into();
        json["pinned"] = pinned.into();
    }
    napi::string(env, &json.to_string()).map(Some)
}
