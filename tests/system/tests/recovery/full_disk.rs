//! A disk that is full: the node says so and ends, loses nothing, and goes on when there is room again.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::files::copy_folder;
use sealbook_system::{TestNetwork, checks};

/// A small file system in memory, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let done = Command::new("mount").args(arguments).arg(folder).output();
    done.is_ok_and(|output| output.status.success())
}

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let arguments = ["-t", "tmpfs", "-o", "size=12m", "tmpfs"];
        mount(&arguments, folder).then_some(Self(folder))
    }

    fn enlarge(&self) {
        assert!(mount(&["-o", "remount,size=512m"], self.0));
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_node_with_a_reason_and_loses_nothing() {
    let mut network = TestNetwork::running(4, 0);
    open_books(&network);
    network.stop("node-3");
    let ledger = network.folder().join("node-3").join("ledger");
    let aside = network.scratch().join("ledger-of-node-3");
    copy_folder(&ledger, &aside);
    for entry in fs::read_dir(&ledger).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let Some(disk) = SmallDisk::mount(&ledger) else {
        println!("skipped: this machine does not let the test mount a small file system");
        return;
    };
    copy_folder(&aside, &ledger);
    network.start("node-3");
    network.wait_for_height("node-3", crowd::highest(&network));
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(5);
    // Something else on the same disk takes the room.
    let mut size = 16 * 1024 * 1024;
    while size >= 4096 {
        let filler = ledger.join(format!("filler-{size}"));
        if fs::write(filler, vec![1; size]).is_err() {
            size /= 2;
        }
    }
    assert_eq!(network.wait_for_end("node-3"), Some(1));
    let log = network.log("node-3");
    assert!(log.contains("finalized blocks cannot be stored"), "{log}");
    crowd.wait_for_more(20);
    disk.enlarge();
    network.start("node-3");
    network.wait_for_height("node-3", crowd::highest(&network));
    let damaged = ledger.join("blocks.damaged-1");
    assert!(!damaged.exists(), "a full disk is no damage");
    crowd.end().check(&network);
    checks::in_one_state(&network);
    network.stop_all();
}
