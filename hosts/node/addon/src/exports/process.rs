// SPDX-License-Identifier: Apache-2.0
//! What JavaScript may call for a guest in another process.

use std::sync::Arc;

use napi_sys::{napi_env, napi_value};
use polyloop_connection::{
    RemoteConnection,
    join::{self, Wanted},
};

use super::{child, environment::hub};
use crate::{
    member::{Member, Own},
    memory,
    napi::{self, Result},
    placement::Placement,
    signals::Notice,
};

/// privateMemory(id): what the host keeps of a connection whose block another process maps, in
/// memory that no other process maps: a word, how many calls are outstanding, and at 64 a byte of
/// pins for each request buffer.
pub fn private_memory(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let own = own_of(hub(env)?.member(id)?)?;
    let (memory, owner) = (own.memory.as_ptr(), Arc::clone(&own.memory));
    // SAFETY: the owner keeps the mapping.
    unsafe { napi::external(env, memory, owner.len(), owner) }.map(Some)
}

/// childDescriptors(id): descriptors that the guest's process inherits, as JSON: block, requests,
/// responses, doorbell.
pub fn child_descriptors(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let member = hub(env)?.member(napi::number(env, id)?)?;
    let bell = member.own.as_ref().and_then(|own| own.bell.far());
    let files = process(member)?.files().zip(bell);
    let ([block, requests, responses], bell) = files.ok_or("its process has them already")?;
    napi::string(env, &format!("[{block},{requests},{responses},{bell}]")).map(Some)
}

/// closeChildDescriptors(id): the guest's process has them, this one needs them no more.
pub fn close_child_descriptors(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let member = hub(env)?.member(napi::number(env, id)?)?;
    process(member)?.close_files();
    if let Some(own) = &mut member.own {
        own.bell.close_far();
    }
    Ok(None)
}

/// joinSharedGuest(id, options): has a guest that is shared serve the connection, too; an event
/// says how that has gone: `joined` or `refused`. The options are those of [`Wanted`], as JSON.
pub fn join_shared_guest(env: napi_env, [id, options]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let (id, options) = (napi::number(env, id)?, napi::text(env, options)?);
    let wanted: Wanted = serde_json::from_str(&options).map_err(|error| error.to_string())?;
    let hub = hub(env)?;
    let signals = Arc::clone(&hub.signals);
    let member = hub.member(id)?;
    let [block, requests, responses] = process(member)?.copy_files()?;
    let own = own_of(member)?;
    let files = [block, requests, responses, own.bell.copy_far()?];
    own.joining = Some(join::begin(wanted, files, move |news| signals.post(id, Notice::Join(news)))?);
    hub.ref_loop();
    Ok(None)
}

/// sharedGuestSockets(id): as JSON, the descriptors of the sockets to the broker and to the guest
/// and of the one where what the guest prints comes, which are the caller's from now on, and the
/// guest's process. Once, after `joined`.
pub fn shared_guest_sockets(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let own = own_of(hub(env)?.member(napi::number(env, id)?)?)?;
    let place = own.place.take().ok_or("it has no place, or its sockets were taken")?;
    own.parking = Some(place.parking);
    let given = child::keep(env, vec![Some(place.broker), Some(place.output), Some(place.lifeline)])?;
    let text = serde_json::json!({
        "broker": given[0],
        "output": given[1],
        "lifeline": given[2],
        "pid": place.pid,
    });
    napi::string(env, &text.to_string()).map(Some)
}

/// parkingWords(id): the shared guest has started, and has the descriptors: the words by which its
/// threads wait. Until then the connection may join another guest.
pub fn parking_words(env: napi_env, [id]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let id = napi::number(env, id)?;
    let member = hub(env)?.member(id)?;
    let own = own_of(member)?;
    let parking = own.parking.take().ok_or("the connection has no parking words")?;
    own.bell.close_far();
    let remote = process(member)?;
    remote.close_files();
    if !remote.block().park_at(Arc::clone(&parking)) {
        return Err("the connection has parking words".into());
    }
    memory::parking_words(env, parking).map(Some)
}

fn process(member: &Member) -> Result<&Arc<RemoteConnection>> {
    match &member.placement {
        Placement::Process(remote) => Ok(remote),
        Placement::Thread(_) => Err("the guest is in this process".into()),
    }
}

fn own_of(member: &mut Member) -> Result<&mut Own> {
    member.own.as_mut().ok_or_else(|| "the guest is in this process".into())
}
