// SPDX-License-Identifier: Apache-2.0
//! Where hosts of a shared guest find each other: who listens there, and in which folder.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use polyloop_connection::address::{Address, Found};
use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket},
    process::geteuid,
};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(of: &str) -> Self {
        let folder = env::temp_dir().join(format!("polyloop-address-{of}-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        Self(folder)
    }

    fn address(&self, name: &str) -> Address {
        Address::at(self.0.join(name).as_os_str()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn names(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn one_listens_and_others_find_it_and_nothing_is_left() {
    let folder = Folder::new("found");
    let address = folder.address("guest");
    assert!(matches!(address.reach().unwrap(), Found::Nobody));
    let listener = address.listen().unwrap().unwrap();
    assert!(address.listen().unwrap().is_none());
    assert!(matches!(address.reach().unwrap(), Found::Connected(_)));
    assert_eq!(fs::metadata(address.path()).unwrap().mode() & 0o777, 0o600);
    address.clear();
    assert!(matches!(address.reach().unwrap(), Found::Connected(_)), "somebody listens");
    let copy = listener.try_clone().unwrap();
    address.close(listener);
    drop(copy);
    assert!(names(&folder.0).is_empty());
}

#[test]
fn what_a_broker_that_was_killed_has_left_is_replaced_by_one_of_many() {
    let folder = Folder::new("stale");
    let address = folder.address("guest");
    for _ in 0..50 {
        // As the kernel leaves it.
        drop(address.listen().unwrap().unwrap());
        assert!(address.path().exists());
        let barrier = Barrier::new(4);
        let listeners: Vec<_> = thread::scope(|scope| {
            let seek = || {
                barrier.wait();
                loop {
                    match address.reach().unwrap() {
                        Found::Connected(_) => return None,
                        Found::Busy => {}
                        Found::Nobody => {
                            if let Some(listener) = address.listen().unwrap() {
                                return Some(listener);
                            }
                        }
                    }
                }
            };
            let seekers: Vec<_> = (0..4).map(|_| scope.spawn(seek)).collect();
            seekers.into_iter().filter_map(|seeker| seeker.join().unwrap()).collect()
        });
        assert_eq!(listeners.len(), 1);
    }
    address.clear();
    assert!(names(&folder.0).is_empty());
}

#[test]
fn who_listens_and_lets_nobody_in_is_not_waited_for() {
    let folder = Folder::new("busy");
    let address = folder.address("guest");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(address.path()).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let mut inside = Vec::new();
    let found = loop {
        match address.reach().unwrap() {
            Found::Connected(stream) => inside.push(stream),
            found => break found,
        }
    };
    assert!(matches!(found, Found::Busy));
    assert!(address.listen().unwrap().is_none());
    address.clear();
    assert!(address.path().exists());
}

#[test]
fn a_path_may_be_longer_than_the_address_of_a_socket() {
    let folder = Folder::new(&"x".repeat(150));
    let address = folder.address("guest");
    let listener = address.listen().unwrap().unwrap();
    assert!(matches!(address.reach().unwrap(), Found::Connected(_)));
    drop(listener);
    address.clear();
    assert!(names(&folder.0).is_empty());
}

#[test]
fn the_folder_is_that_of_the_user_who_alone_may_enter_it() {
    let folder = Folder::new("runtime");
    let of = |runtime: Option<&Path>| Address::in_folder_of(runtime, &folder.0, "guest");
    let mine = format!("polyloop-{}", geteuid().as_raw());
    let runtime = folder.0.join("runtime");
    // What is not there, what others may write, and what is no whole path is not meant.
    assert_eq!(of(Some(&runtime)).unwrap().path(), folder.0.join(&mine).join("guest"));
    DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    assert_eq!(of(Some(&runtime)).unwrap().path(), runtime.join("polyloop/guest"));
    assert_eq!(fs::metadata(runtime.join("polyloop")).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o777)).unwrap();
    for other in [Some(&*runtime), Some(Path::new("runtime")), None] {
        assert_eq!(of(other).unwrap().path(), folder.0.join(&mine).join("guest"));
    }
}

#[test]
fn a_folder_that_others_may_enter_is_refused_with_advice() {
    let folder = Folder::new("open");
    let of = || Address::in_folder_of(None, &folder.0, "guest").unwrap_err().to_string();
    let mine = folder.0.join(format!("polyloop-{}", geteuid().as_raw()));
    fs::create_dir(&mine).unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o750)).unwrap();
    let why = of();
    assert!(why.contains("is open to other users") && why.contains("set XDG_RUNTIME_DIR"), "{why}");
    // Nor may it lead elsewhere, or be no folder.
    fs::remove_dir(&mine).unwrap();
    symlink(&folder.0, &mine).unwrap();
    assert!(of().contains("cannot meet in"), "{}", of());
    fs::remove_file(&mine).unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(of().contains("set its sticky bit"), "{}", of());
}

#[test]
fn a_temporary_folder_that_is_missing_is_to_be_made() {
    let folder = Folder::new("missing");
    let missing = folder.0.join("none");
    let why = Address::in_folder_of(None, &missing, "guest").unwrap_err().to_string();
    assert!(why.contains("make it, set TMPDIR") && !why.contains("remove it"), "{why}");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let folder = Folder::new("others");
    let mine = folder.0.join("polyloop-0");
    DirBuilder::new().mode(0o700).create(&mine).unwrap();
    std::os::unix::fs::chown(&mine, Some(65534), None).unwrap();
    let why = Address::in_folder_of(None, &folder.0, "guest").unwrap_err().to_string();
    assert!(why.contains("belongs to user 65534"), "{why}");
}
